#!/usr/bin/env python3
"""Makes fuzz/seeds/ from testdata/: run it from anywhere; it replaces what is there.

pcap, pcapng, pipeline: captures as they are. decap: their frames, in the shape that targets/decap.rs reads. tracker: the
segments of the conntrack scenarios, as the steps that src/script.rs reads (offsets and lengths go to the nearest that a step
can say, so a seed is like its scenario, not equal to it). answer: DNS responses, made here.
"""

import pathlib
import shutil
import struct

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent / "testdata"
SEEDS = HERE / "seeds"
LARGEST = 4096

OFFSETS = [0, 1, -1, 10, 100, -100, 1460, -1460, 65535, -66000, -66002, 64241, 1 << 30, (1 << 31) - 1, 1 << 31]
LENGTHS = [0, 0, 0, 1, 2, 10, 100, 200, 536, 1000, 1448, 1460, 1461, 0, 0, 4000]
WINDOWS = [64240, 65535, 0, 1, 2, 10, 100, 501, 1000, 1460, 8192, 29200, 32767, 32768, 64000, 128]
PAUSES = [0, 1e3, 1e6, 1e8, 1e9, 5e9, 11e9, 29e9, 31e9, 61e9, 121e9, 299e9, 301e9, 432001e9]
LINKS = {1: 0, 113: 1, 276: 2, 101: 3}


def packets(path):
    """Time in ns, link type, bytes, length on the wire: of a little-endian pcap."""
    data = path.read_bytes()
    magic, link = struct.unpack_from("<I16xI", data)
    unit = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[magic]
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, captured, wire = struct.unpack_from("<4I", data, at)
        yield seconds * 10**9 + fraction * unit, link, data[at + 16 : at + 16 + captured], wire
        at += 16 + captured


def frames(path):
    seed, before = bytearray([0]), None
    for time, link, data, wire in packets(path):
        step = 0 if before is None else min(255, max(0, (time - before) // 10**9))
        before = time
        seed += struct.pack("<BBBH", LINKS[link], min(255, wire - len(data)), step, min(len(data), 0xFFF))
        seed += data[:0xFFF]
    return bytes(seed)


def nearest(choices, value):
    return min(range(len(choices)), key=lambda index: (abs(choices[index] - value), index))


def offset(expected, found):
    return nearest(OFFSETS, (found - expected + 2**31) % 2**32 - 2**31)


def steps(path, profile):
    """Steps for the IPv4 segments of a scenario; other packets are left out."""
    seed, before, conns = bytearray([profile, 0, 7 | 5 << 3, 0]), None, {}
    for time, _, data, _ in packets(path):
        ip = data[14:]
        if data[12:14] != b"\x08\x00" or ip[9] != 6 or len(ip) < 40 or struct.unpack_from(">H", ip, 6)[0] & 0x3FFF:
            continue
        tcp = ip[(ip[0] & 15) * 4 : struct.unpack_from(">H", ip, 2)[0]]
        sport, dport, seq, ack, where, flags, window = struct.unpack_from(">HHIIBBH", tcp)
        src, dst = (ip[12:16], sport), (ip[16:20], dport)
        if (src, dst) not in conns:
            index = len(conns) // 2 % 4
            following = [None, None]
            conns[src, dst], conns[dst, src] = (index, 0, following), (index, 1, following)
        index, side, following = conns[src, dst]
        header = (where >> 4) * 4
        choice, at = 0, 20
        while at + 1 < min(header, len(tcp)) and tcp[at] != 0:
            if tcp[at] == 1:
                at += 1
                continue
            choice |= {2: 1, 3: 2, 4: 4, 8: 8, 5: 16}.get(tcp[at], 0)
            choice |= (2 << 5) if tcp[at] == 3 else 0
            at += max(2, tcp[at + 1])
        length = nearest(LENGTHS, len(tcp) - header)
        place = 0 if following[side] is None else offset(following[side], seq)
        answer = 0 if following[1 - side] is None else offset(following[1 - side], ack)
        if place == 0:
            following[side] = (seq + len(tcp) - header + bool(flags & 2) + bool(flags & 1)) % 2**32
        pause = 0 if before is None else nearest(PAUSES, time - before)
        before = time
        seed += bytes([index | side << 2, flags, place, answer, choice, length | nearest(WINDOWS, window) << 4, pause, 0])
    return bytes(seed)


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def response(asked, kind, *records):
    """A DNS response to a question; each record is (owner, type, data), an owner may be a compression pointer."""
    message = struct.pack(">6H", 1, 0x8180, 1, len(records), 0, 0) + name(asked) + struct.pack(">2H", kind, 1)
    for owner, kind, data in records:
        message += (owner if isinstance(owner, bytes) else name(owner)) + struct.pack(">2HIH", kind, 1, 60, len(data)) + data
    return message


def responses():
    question, store = b"\xc0\x0c", "blob.tyo22prdstr05a.store.core.windows.net"
    yield "address", response("a.example", 1, (question, 1, bytes([192, 0, 2, 1])))
    yield "address-ipv6", response("a.example", 28, (question, 28, bytes(15) + b"\1"))
    chain = [(question, 5, name(store)), (store, 1, bytes([20, 150, 4, 4])), (store, 1, bytes([20, 150, 7, 4]))]
    yield "chain", response("account.blob.core.windows.net", 1, *chain)
    yield "chain-reversed", response("account.blob.core.windows.net", 1, *reversed(chain))
    yield "loop", response("a.example", 1, (question, 5, name("b.example")), ("b.example", 5, question))


def write(target, name, data):
    if 0 < len(data) <= LARGEST:
        (SEEDS / target / name).write_bytes(data)


def main():
    shutil.rmtree(SEEDS, ignore_errors=True)
    for target in ("pcap", "pcapng", "decap", "tracker", "pipeline", "answer"):
        (SEEDS / target).mkdir(parents=True)
    taps = sorted(DATA.glob("tap/**/*.pcap")) + sorted(DATA.glob("azure/*.pcap"))
    for path in taps:
        write("decap", path.stem, frames(path))
    for name in ("http.pcap", "http.pcap.gz", "http.pcap.zst", "http-sll.pcap", "refused.pcap", "snaplen.pcap"):
        write("pcap", name, (DATA / "tap" / name).read_bytes())
    for name in ("http.pcap", "http-ethernet.pcap", "ipv6.pcap", "icmp-unreachable.pcap", "asymmetric.pcap"):
        write("pipeline", name, (DATA / "tap" / name).read_bytes())
    for name in ("142_icmp_error", "145_ip_oddities", "146_fragments"):
        write("pipeline", name, (DATA / "conntrack" / f"{name}.pcap").read_bytes())
    write("pcapng", "http.pcapng", (DATA / "tap" / "http.pcapng").read_bytes())
    for kind, message in responses():
        write("answer", kind, message)
    for index, path in enumerate(sorted(DATA.glob("conntrack/*.pcap"))):
        seed = steps(path, profile=index % 2)
        write("tracker", path.stem, seed)


if __name__ == "__main__":
    main()
