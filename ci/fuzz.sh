#!/usr/bin/env bash
# Fuzzes each target of fuzz/ for a while: ci/fuzz.sh [SECONDS, default 30; 0 only builds] [TARGET...]
#
# Starts from the inputs of fuzz/seeds/TARGET/ and from what earlier runs found, kept in fuzz/corpus/TARGET/. An input that
# breaks a law is left in fuzz/artifacts/TARGET/; the command to run it again is printed. Needs a nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-30}
if ! [[ $seconds =~ ^(0|[1-9][0-9]*)$ ]]; then
  echo "fuzz: '$seconds' is not a number of seconds" >&2
  exit 2
fi
shift $(($# > 0 ? 1 : 0))

# Asks for the list first: `cargo +nightly` would try to download a missing toolchain.
if ! command -v rustup >/dev/null || ! rustup toolchain list | grep -q '^nightly'; then
  echo 'fuzz: skipped: no nightly toolchain (rustup toolchain install nightly)'
  exit
fi

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# What `cargo fuzz` passes. Coverage of the standard library would need its sources; the targets do without.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Zsanitizer=address --cfg fuzzing"
cargo +nightly build --release --locked --manifest-path fuzz/Cargo.toml --target-dir fuzz/target --target "$host"
if ((seconds == 0)); then exit; fi

if (($# > 0)); then
  targets=("$@")
else
  mapfile -t targets < <(cargo +nightly metadata --no-deps --format-version 1 --locked --manifest-path fuzz/Cargo.toml |
    python3 -c 'import json, sys
for package in json.load(sys.stdin)["packages"]:
    print(*(target["name"] for target in package["targets"] if "bin" in target["kind"]), sep="\n")')
fi

# fuzz TARGET: tells what it came to in one piece, as others run beside it.
fuzz() {
  local target=$1 program=fuzz/target/$host/release/$1 log=fuzz/artifacts/$1/log corpora=("fuzz/corpus/$1")
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  if [[ -d fuzz/seeds/$target ]]; then corpora+=("fuzz/seeds/$target"); fi
  if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=1 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$target/" "${corpora[@]}" >"$log" 2>&1; then
    printf 'fuzz: %s for %s s\n%s\n' "$target" "$seconds" \
      "$(grep -E 'number_of_executed_units|new_units_added|peak_rss_mb' "$log")"
    return
  fi
  printf 'fuzz: %s failed; all of it is in %s. To see it again: %s FILE, with the file named there\n%s\n%s\n' \
    "$target" "$log" "$program" "$(grep -m 1 -A 4 'panicked at' "$log")" "$(tail -n 14 "$log")"
  return 1
}

# One on each processor.
failed=0
for target in "${targets[@]}"; do
  if (($(jobs -rp | wc -l) >= $(nproc))); then wait -n || failed=1; fi
  fuzz "$target" &
done
while (($(jobs -p | wc -l) > 0)); do wait -n || failed=1; done
exit "$failed"
