"""Sends mirrored SYN segments, each of a connection of its own, to a collector: flood.py ADDRESS PACKETS [VNI]

As fast as Python does. Addresses and ports are those of the kernel's mirror; checksums are right. Prints how many were sent.
"""

import socket
import struct
import sys

VXLAN_PORT = 4789
ETHERNET = bytes.fromhex("7c1e525639cb7ced8daa92dc0800")
SERVER = bytes([10, 0, 2, 6])


def ones_complement(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def frame(number):
    """SYN of connection `number`: 60,000 ports of each client, clients from 10.64.0.0."""
    client = struct.pack(">I", 0x0A400000 + number // 60_000)
    port = 1024 + number % 60_000
    tcp = struct.pack(">HHIIBBHHH", port, 80, number * 7919 & 0xFFFFFFFF, 0, 0x50, 0x02, 64240, 0, 0)
    pseudo = client + SERVER + struct.pack(">HH", 6, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", ~ones_complement(pseudo + tcp) & 0xFFFF) + tcp[18:]
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, number & 0xFFFF, 0, 64, 6, 0, client, SERVER)
    ip = ip[:10] + struct.pack(">H", ~ones_complement(ip) & 0xFFFF) + ip[12:]
    return ETHERNET + ip + tcp


def main(address, packets, vni=27, first=0):
    vxlan = struct.pack(">II", 0x08000000, int(vni) << 8)
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, VXLAN_PORT))
    for number in range(int(first), int(first) + int(packets)):
        sock.send(vxlan + frame(number))
    print(packets)


if __name__ == "__main__":
    main(*sys.argv[1:])
