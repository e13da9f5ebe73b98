#!/usr/bin/env python3
"""Which crate may use which: the table of the design, checked over `cargo metadata`.

A dependency that is compiled into a crate (normal or build) has to be in its row. Tests may use any crate of ours, as
they have to look at both ends of the belt. A package without a row is an error, so a new crate starts with a decision.
"""

import json
import subprocess
import sys

ALL = {"vtap-packet", "vtap-capture", "vtap-decap", "vtap-flow", "vtap-export", "vtap-pipeline",
       "vtap-synth", "vtap-compare", "vtap-files", "vtap-recorder", "vtap-collector", "vtap-doctor",
       "vtap-flowlog", "vtap-networks", "vtap-report", "vtap-store"}

MAY_USE = {
    "vtap-packet": set(),
    "vtap-capture": {"vtap-packet"},
    "vtap-decap": {"vtap-packet"},
    "vtap-flow": {"vtap-packet"},
    "vtap-files": {"vtap-packet"},
    "vtap-export": {"vtap-packet", "vtap-flow", "vtap-files", "vtap-networks", "vtap-pipeline"},
    "vtap-pipeline": {"vtap-packet", "vtap-capture", "vtap-decap", "vtap-flow"},
    "vtap-collector": {"vtap-packet", "vtap-capture", "vtap-flow", "vtap-export", "vtap-files", "vtap-flowlog",
                       "vtap-networks", "vtap-pipeline", "vtap-recorder"},
    "vtap-synth": {"vtap-packet"},
    "vtap-compare": {"vtap-packet"},
    "vtap-doctor": set(),
    "vtap-networks": {"vtap-packet", "vtap-flow"},
    "vtap-flowlog": {"vtap-packet", "vtap-flow", "vtap-files", "vtap-networks"},
    "vtap-recorder": {"vtap-packet", "vtap-capture", "vtap-files", "vtap-pipeline"},
    "vtap-report": {"vtap-packet", "vtap-flow", "vtap-networks", "vtap-pipeline", "vtap-export"},
    "vtap-store": {"vtap-packet", "vtap-files"},
    "vtap": ALL,
    "vtap-testkit": {"vtap-packet"},
    "vtap-benches": ALL | {"vtap", "vtap-testkit"},
    "vtap-instructions": ALL | {"vtap-testkit"},
}


def complaints(packages):
    ours = {package["name"] for package in packages}
    for package in packages:
        name = package["name"]
        if name not in MAY_USE:
            yield f"{name}: not in the table of ci/arrows.py: say there what it may use"
            continue
        for dependency in package["dependencies"]:
            used = dependency["name"]
            if used not in ours and dependency.get("path") is None:
                continue
            if dependency["kind"] != "dev" and used not in MAY_USE[name]:
                allowed = ", ".join(sorted(MAY_USE[name])) or "none of ours"
                yield f"{name} -> {used}: {name} may use {allowed}"


def main():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    bad = sorted(complaints(packages))
    if bad:
        sys.exit("\n".join(["forbidden crate arrows:"] + bad))
    print(f"crate arrows: {len(packages)} packages as designed")


if __name__ == "__main__":
    main()
