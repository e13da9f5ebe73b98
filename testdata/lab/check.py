#!/usr/bin/env python3
"""Checks the captures that record.sh makes: what tshark sees in them, and the tap against the tapped NIC, byte by byte.

    check.py FOLDER

Exits 1 and names each capture that is not as expected. Standard library and tshark only.
"""

import itertools
import re
import struct
import subprocess
import sys
from pathlib import Path

SLL, SLL2, ETHERNET = 113, 276, 1
LINK_HEADER_BYTES = {ETHERNET: 14, SLL: 16, SLL2: 20}
MAX_BYTES = 64 * 1024

OPEN = "c:S s:SA c:A"
CLOSE_BY_SERVER = "s:FA c:FA s:A"
CLOSE_BY_CLIENT = "c:FA s:FA c:A"
TALK = "([cs]:P?A )*"
HTTP = f"{OPEN} c:PA s:A s:PA c:A {CLOSE_BY_SERVER}"
TWICE = re.sub(r"(\S+)", r"\1 \1", HTTP)
CLOSED_BY_CLIENT = f"{OPEN} {TALK}{CLOSE_BY_CLIENT}"
CLOSED_BY_SERVER = f"{OPEN} {TALK}{CLOSE_BY_SERVER}"

# One conversation a line, by client port: who sent which flags, in order. `x+` repeats. The side is the client's by its port number:
# all clients use ports above 40000.
EXPECTED = {
    "http.pcap": (SLL2, [HTTP]),
    "http.pcapng": (None, [HTTP]),
    "http-sll.pcap": (SLL, [HTTP]),
    "http-ethernet.pcap": (ETHERNET, [HTTP]),
    "nic/http-nic.pcap": (ETHERNET, [HTTP]),
    "snaplen.pcap": (SLL2, [f"{OPEN} c:PA s:A c:FA ([cs]:P?A )+s:FA c:A"]),
    "snaplen-options.pcap": (SLL2, [f"{OPEN} c:PA s:A c:FA ([cs]:P?A )+s:FA c:A"]),
    "ssh.pcap": (SLL2, [f"{OPEN} ([cs]:P?A )+c:FA ([cs]:P?A )*s:FA c:A"]),
    "refused.pcap": (SLL2, ["c:S s:RA"]),
    "reset.pcap": (SLL2, [f"{OPEN} c:PA s:A s:PA c:A c:RA", f"{OPEN} c:PA s:A s:PA c:A c:PA s:A s:RA"]),
    "half-closed.pcap": (SLL2, [f"{OPEN} c:PA s:A c:FA ([cs]:P?A )+s:FA c:A"]),
    "asymmetric.pcap": (SLL2, ["c:S c:A c:PA c:A c:FA"] * 3),
    "asymmetric-reply.pcap": (SLL2, ["s:SA s:A s:PA s:FA s:A"] * 3),
    "ipv6.pcap": (SLL2, [HTTP]),
    "ipv6-outer.pcap": (SLL2, [HTTP]),
    "icmp-unreachable.pcap": (SLL2, [HTTP]),
    "both-ends.pcap": (SLL2, [TWICE] * 3),
    "snat-egress.pcap": (SLL2, ["c:S c:A c:PA c:A c:FA"] * 3),
    "router.pcap": (SLL2, [TWICE] * 3),
    "two-routers.pcap": (SLL2, [f"{OPEN} ([cs]:P?A )+{CLOSE_BY_SERVER}"] * 2),
    "gap.pcap": (
        SLL2,
        [CLOSED_BY_CLIENT, CLOSED_BY_SERVER] * 2
        + [CLOSED_BY_CLIENT]
        + [f"{OPEN} {TALK}([cs]:P?A)", f"{OPEN} {TALK}{CLOSED_BY_CLIENT}"]
        + [f"{TALK}{CLOSE_BY_CLIENT}"] * 3
        + [CLOSED_BY_CLIENT] * 2,
    ),
}


def tshark(path, *fields, display_filter=""):
    """Rows of field values; a field that occurs more than once gives the innermost value."""
    command = ["tshark", "-n", "-r", path, "-T", "fields", "-E", "occurrence=l"]
    command += itertools.chain.from_iterable(("-e", field) for field in fields)
    if display_filter:
        command += ["-Y", display_filter]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in run.stdout.splitlines()]


def conversations(path):
    """The flags of each TCP connection, by client port, as `c:S s:SA ...`."""
    out = {}
    # ICMP errors quote a mirrored packet, which tshark decodes like any other.
    for source, destination, flags in tshark(
        path, "tcp.srcport", "tcp.dstport", "tcp.flags", display_filter="tcp && !icmp && !icmpv6"
    ):
        from_client = int(source) > int(destination)
        bits = int(flags, 16)
        letters = "".join(letter for bit, letter in enumerate("FSRPA") if bits >> bit & 1)
        out.setdefault(max(int(source), int(destination)), []).append(("c:" if from_client else "s:") + letters)
    return [" ".join(out[port]) for port in sorted(out)]


def records(path):
    """(link type, [frame]) of a little-endian pcap."""
    data = path.read_bytes()
    link = struct.unpack_from("<I", data, 20)[0]
    frames, offset = [], 24
    while offset < len(data):
        length = struct.unpack_from("<I", data, offset + 8)[0]
        frames.append(data[offset + 16 : offset + 16 + length])
        offset += 16 + length
    return link, frames


def mirrored_frames(path):
    """The inner frames of a tap's capture; outer IPv4 without options is all the lab sends."""
    link, frames = records(path)
    start = LINK_HEADER_BYTES[link]
    inner_start = start + 20 + 8 + 8
    for frame in frames:
        if frame[start + 9 : start + 10] == b"\x11" and frame[start + 22 : start + 24] == struct.pack("!H", 4789):
            yield frame[inner_start:]


def tap_equals_nic(tap, nic):
    """Complaints where the tap's inner frames are not the very frames of the NIC, in order for each sender."""
    def by_sender(frames):
        out = {}
        for frame in frames:
            out.setdefault(frame[6:12].hex(":"), []).append(frame)
        return out

    inner, seen = list(mirrored_frames(tap)), records(nic)[1]
    left, right = by_sender(inner), by_sender(seen)
    for sender in sorted(left.keys() | right.keys()):
        a, b = left.get(sender, []), right.get(sender, [])
        if a == b:
            continue
        yield f"{tap.name}: {len(a)} frames of {sender} in the tap, {len(b)} on the NIC"
        for number, (x, y) in enumerate(itertools.zip_longest(a, b), 1):
            if x != y:
                yield f"  frame {number} of that sender: tap {x and x.hex()} NIC {y and y.hex()}"
    if not inner:
        yield f"{tap.name}: no mirrored frame"


def complaints(folder):
    for name, (link, expected) in EXPECTED.items():
        path = folder / name
        if not path.exists():
            yield f"{name}: missing"
            continue
        if path.stat().st_size > MAX_BYTES:
            yield f"{name}: {path.stat().st_size} bytes, more than {MAX_BYTES}"
        if link is not None and records(path)[0] != link:
            yield f"{name}: link type {records(path)[0]}, expected {link}"
        found = conversations(path)
        if len(found) != len(expected) or not all(map(re.fullmatch, expected, found)):
            yield f"{name}: expected {expected}\n  found {found}"
    errors = tshark(folder / "icmp-unreachable.pcap", "icmp.code", display_filter="icmp.type == 3")
    if not errors:
        yield "icmp-unreachable.pcap: no ICMP port unreachable"
    times = [tshark(folder / name, "frame.time_epoch", "frame.len") for name in ("http.pcap", "http.pcapng")]
    if times[0] != times[1]:
        yield "http.pcapng: not the packets and nanoseconds of http.pcap"
    yield from tap_equals_nic(folder / "http.pcap", folder / "nic/http-nic.pcap")


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__.strip())
    bad = list(complaints(Path(arguments[0])))
    if bad:
        sys.exit("\n".join(bad))
    print(f"{len(EXPECTED)} captures as expected")


if __name__ == "__main__":
    main(sys.argv[1:])
