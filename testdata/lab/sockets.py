"""What all sessions of traffic.py do with their sockets."""

import socket
import struct

# The longest silence of a session is 12 s.
TIMEOUT_SECONDS = 20


def connect(address, port, source_port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(TIMEOUT_SECONDS)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", source_port))
    sock.connect((address, port))
    return sock


def read_until(sock, end):
    data = b""
    while not data.endswith(end):
        # No more than that: what follows is the next reader's.
        part = sock.recv(1)
        if not part:
            raise SystemExit(f"connection closed while waiting for {end!r}, got {data!r}")
        data += part
    return data


def read_to_end(sock):
    total = 0
    while part := sock.recv(4096):
        total += len(part)
    return total


def receive_exactly(sock, length):
    data = bytearray()
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise SystemExit(f"connection closed with {length - len(data)} bytes missing")
        data += part
    return bytes(data)


def close_with_reset(sock):
    """SO_LINGER with a time of 0 makes close() send RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
