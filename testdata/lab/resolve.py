"""A session of traffic.py: the client asks the server for a name, which is an alias of another, and connects to its address."""

import socket
import struct

from sockets import TIMEOUT_SECONDS, connect, read_to_end, read_until

PORT = 8086
ASKED = "Account.Blob.core.windows.net"
CANONICAL = "blob.lab01prdstr01a.store.core.windows.net"
A, CNAME, IN = 1, 5, 1


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def question():
    return name(ASKED) + struct.pack("!2H", A, IN)


def record(owner, kind, data):
    return owner + struct.pack("!2HIH", kind, IN, 60, len(data)) + data


def response(query, address):
    """The alias, then the address of what it stands for; the owner of the first is a pointer to the question."""
    head = query[:2] + struct.pack("!5H", 0x8180, 1, 2, 0, 0)
    alias = record(b"\xc0\x0c", CNAME, name(CANONICAL))
    return head + question() + alias + record(name(CANONICAL), A, socket.inet_aton(address))


def client(address, number):
    with connect(address, PORT, 40486 + number) as sock:
        read_until(sock, b"\n")
        if number == 0:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
                resolver.settimeout(TIMEOUT_SECONDS)
                resolver.bind(("0.0.0.0", 40453))
                resolver.sendto(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question(), (address, 53))
                resolver.recv(512)
        sock.sendall(b"thanks\n")
        read_to_end(sock)


def server(sock, number):
    """The first connection tells when the server of names is there, the second comes after its answer."""
    address = sock.getsockname()[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
        if number == 0:
            names.settimeout(TIMEOUT_SECONDS)
            names.bind((address, 53))
        sock.sendall(b"ask\n")
        if number == 0:
            query, asker = names.recvfrom(512)
            names.sendto(response(query, address), asker)
        read_until(sock, b"\n")
