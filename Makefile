# `make help` lists the verbs. The automatic check of a change runs .ci/run: `make test`, `make instructions`, `make fuzz`.

CARGO ?= cargo
FUZZ_SECONDS ?= 30
CAPTURE ?= testdata/tap/http.pcap
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo test bench instructions fuzz lab deny libpcap azurite python fmt lint doc arrows

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: libpcap ## build vtap and replay a mirrored HTTP request; CAPTURE=FILE for another capture
	$(CARGO) build --release --locked --package vtap
	$(TARGET_DIR)/release/vtap replay $(CAPTURE)

test: fmt lint doc arrows azurite python ## all that has to pass before a commit
	$(CARGO) test --workspace --locked

bench: libpcap ## measure; takes minutes and wants a quiet machine
	$(CARGO) bench --locked --package vtap-benches

instructions: ## count instructions a packet (valgrind), fail on 3 % more than on record; BLESS=1 records them
	ci/instructions.py $(if $(BLESS),--bless)

fuzz: ## run every fuzz target for FUZZ_SECONDS (30)
	ci/fuzz.sh $(FUZZ_SECONDS)

lab: ## record the captures of testdata/tap again (root, network namespaces)
	$(if $(filter-out 0,$(shell id -u)),sudo )testdata/lab/record.sh

deny: ## licences, banned crates and sources of dependencies (cargo-deny)
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check licenses bans sources; \
	else echo 'cargo-deny is missing: cargo install cargo-deny --locked' >&2; exit 1; fi

libpcap:
	@ci/libpcap.sh

azurite:
	@ci/azurite.sh

python: $(TARGET_DIR)/python/done ## the Python packages that tests compare with (ci/python.txt)

# Without a network, or without venv, the tests that need them say so and are skipped.
$(TARGET_DIR)/python/done: ci/python.txt
	@python3 -m venv $(TARGET_DIR)/python && $(TARGET_DIR)/python/bin/pip install --quiet --disable-pip-version-check \
	  --requirement ci/python.txt && touch $@ || echo 'no Python packages: tests that compare with them are skipped' >&2

fmt:
	$(CARGO) fmt --all --check
	$(if $(wildcard fuzz/Cargo.toml),$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check)
	$(CARGO) fmt --manifest-path benches/peers/Cargo.toml --check

lint: libpcap
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc: libpcap
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps --locked

arrows:
	python3 ci/arrows.py
