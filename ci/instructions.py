#!/usr/bin/env python3
"""Instructions that a packet costs, against benches/instructions.txt: ci/instructions.py [--bless | --build]

Counts do not depend on what else the machine does, so unlike times they can be judged in a check. Each stage runs under
valgrind for two numbers of packets; the difference belongs to the packets alone. What is left to chance is the seed of the
flow table's hash, below 0.1 %. Another compiler makes other code, so the figures hold for the one they were taken with.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "benches/instructions.txt"
STAGES = ["decap", "track-off", "track", "records", "replay"]
PACKETS = 20_000
TOLERANCE = 0.03


def compiler():
    told = subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout
    return {"rustc": re.search("release: (.+)", told)[1], "target": re.search("host: (.+)", told)[1]}


def build():
    """With the profile that is shipped, whatever flags the caller compiles the rest with."""
    plain = {name: value for name, value in os.environ.items() if "RUSTFLAGS" not in name}
    command = ["cargo", "build", "--release", "--locked", "--package", "vtap-instructions"]
    subprocess.run(command, cwd=ROOT, env=plain, check=True)
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/vtap-instructions"


def count(program, stage, packets):
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, program, stage, str(packets)], check=False, text=True, stderr=subprocess.PIPE)
    found = re.search(r"I +refs: +([\d,]+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{done.stderr}\ninstructions: {stage} did not run")
    return int(found[1].replace(",", ""))


def measure():
    program = build()
    for stage in STAGES:
        yield stage, (count(program, stage, 2 * PACKETS) - count(program, stage, PACKETS)) / PACKETS


def bless():
    FIGURES.write_text("# Instructions a packet, by stage. `make instructions BLESS=1` writes this file.\n"
                       + "".join(f"{name} {value}\n" for name, value in compiler().items())
                       + "".join(f"{stage} {figure:.0f}\n" for stage, figure in measure()))
    print(FIGURES.read_text(), end="")


def judge(known):
    worse = False
    for stage, figure in measure():
        if stage not in known:
            sys.exit(f"instructions: {stage} has no figure: make instructions BLESS=1")
        change = figure / float(known[stage]) - 1
        print(f"{stage:10} {figure:6.0f} instructions a packet, {change:+.1%}")
        worse |= change > TOLERANCE
        if change < -TOLERANCE:
            print(f"{stage:10} fewer than the {known[stage]} on record. Keep it: make instructions BLESS=1")
    if worse:
        sys.exit(f"instructions: more than {TOLERANCE:.0%} above {FIGURES.relative_to(ROOT)}. To see where: valgrind "
                 "--tool=callgrind target/release/vtap-instructions STAGE 40000, then callgrind_annotate. If it is worth "
                 "that much: make instructions BLESS=1, and say why in the commit")


def main():
    if shutil.which("valgrind") is None:
        print("instructions: skipped: valgrind is missing")
        return
    if sys.argv[1:] == ["--bless"]:
        bless()
        return
    known = dict(line.split() for line in FIGURES.read_text().splitlines() if not line.startswith("#"))
    here = compiler()
    other = [f"{name} {value}, not {known[name]}" for name, value in here.items() if known[name] != value]
    if other:
        print(f"instructions: skipped: figures are of another compiler ({'; '.join(other)})")
        return
    if sys.argv[1:] == ["--build"]:
        build()
        return
    judge(known)


if __name__ == "__main__":
    main()
