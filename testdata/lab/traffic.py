#!/usr/bin/env python3
"""Traffic of the committed captures: small TCP sessions whose shape on the wire is known beforehand.

    traffic.py serve SESSION... ADDRESS     the server's side; prints "ready" once it listens, ends after its last connection
    traffic.py connect SESSION... ADDRESS   the client's side; several sessions go on at the same time
    traffic.py hold PORT                    binds a UDP port and never reads it, so that the kernel sends no ICMP error
    traffic.py sessions                     names of the sessions

Standard library only. Client ports are fixed, so that a capture can be recorded again and still be compared: the
addresses, ports and payloads are the same, sequence numbers and times are not.
"""

import contextlib
import itertools
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

# The lab runs as root and should not leave root's files here.
sys.dont_write_bytecode = True

import exchange
import resolve
from sockets import TIMEOUT_SECONDS, close_with_reset, connect, read_to_end, read_until, receive_exactly

# Long enough for the peer's ACK to go out by itself (delayed ACKs wait 40 ms), so that segment order does not vary.
PAUSE_SECONDS = 0.08


# --- http: GET with Connection: close, the server closes first

BODY = b"<!doctype html>\n<title>vtap</title>\n<p>One page, seen by the server, the client and the tap.\n"


def http_client(address, number):
    with connect(address, 80, 40080 + number) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: server.example\r\nConnection: close\r\n\r\n")
        read_to_end(sock)


def http_server(sock, _number):
    read_until(sock, b"\r\n\r\n")
    time.sleep(PAUSE_SECONDS)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
    sock.sendall(head.encode() + BODY)
    time.sleep(PAUSE_SECONDS)


# --- ssh: banners in clear, a key exchange of opaque bytes, keystrokes with their echo; the client closes first

KEYSTROKES = 24
CIPHERED_BYTES = 36
KEY_EXCHANGE_BYTES = (1080, 1048, 48, 452, 16)


def opaque(length, seed):
    """Bytes that look ciphered and are the same at each recording."""
    out, state = bytearray(), seed
    while len(out) < length:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out.append(state >> 16 & 0xFF)
    return bytes(out)


def ssh_client(address, number):
    with connect(address, 22, 40022 + number) as sock:
        sock.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
        read_until(sock, b"\r\n")
        for turn, length in enumerate(KEY_EXCHANGE_BYTES):
            if turn % 2 == 0:
                sock.sendall(opaque(length, turn))
            else:
                receive_exactly(sock, length)
        for key in range(KEYSTROKES):
            sock.sendall(opaque(CIPHERED_BYTES, 100 + key))
            receive_exactly(sock, CIPHERED_BYTES)
            time.sleep(PAUSE_SECONDS)


def ssh_server(sock, _number):
    sock.sendall(b"SSH-2.0-OpenSSH_9.6p1 Debian-3\r\n")
    read_until(sock, b"\r\n")
    for turn, length in enumerate(KEY_EXCHANGE_BYTES):
        if turn % 2 == 0:
            receive_exactly(sock, length)
        else:
            sock.sendall(opaque(length, turn))
    for key in range(KEYSTROKES):
        receive_exactly(sock, CIPHERED_BYTES)
        sock.sendall(opaque(CIPHERED_BYTES, 200 + key))
    read_to_end(sock)


# --- refused: nothing listens on the port


def refused_client(address, number):
    try:
        connect(address, 8081, 40181 + number)
    except ConnectionRefusedError:
        return
    raise SystemExit("the port was expected to be closed")


# --- reset: an established connection is aborted, the first time by the client, the second by the server


def reset_client(address, number):
    sock = connect(address, 8082, 40282 + number)
    sock.sendall(b"hello\n")
    read_until(sock, b"\n")
    time.sleep(PAUSE_SECONDS)
    if number == 0:
        close_with_reset(sock)
        return
    sock.sendall(b"go on\n")
    with sock, contextlib.suppress(ConnectionResetError):
        read_to_end(sock)


def reset_server(sock, number):
    read_until(sock, b"\n")
    sock.sendall(b"hello yourself\n")
    if number == 0:
        with contextlib.suppress(ConnectionResetError):
            read_to_end(sock)
        return
    read_until(sock, b"\n")
    time.sleep(PAUSE_SECONDS)
    close_with_reset(sock)


# --- half-closed: the client sends its request and FIN, the server goes on sending, then closes

CHUNKS = 6
CHUNK_BYTES = 1000


def half_closed_client(address, number):
    with connect(address, 8083, 40383 + number) as sock:
        sock.sendall(b"send me everything\n")
        sock.shutdown(socket.SHUT_WR)
        got = read_to_end(sock)
        if got != CHUNKS * CHUNK_BYTES:
            raise SystemExit(f"expected {CHUNKS * CHUNK_BYTES} bytes, got {got}")


def half_closed_server(sock, _number):
    read_to_end(sock)
    for chunk in range(CHUNKS):
        sock.sendall(bytes([ord("a") + chunk]) * CHUNK_BYTES)
        time.sleep(PAUSE_SECONDS)


@dataclass(frozen=True)
class Session:
    """One TCP session: its server port, its two sides, how many connections it makes, one after the other or at once."""

    port: int
    client: Callable
    server: Callable | None
    connections: int = 1
    at_once: bool = False

    def workers(self):
        return self.connections if self.at_once else 1


SESSIONS = {
    "http": Session(80, http_client, http_server),
    "several": Session(80, http_client, http_server, connections=3),
    "ssh": Session(22, ssh_client, ssh_server),
    "refused": Session(8081, refused_client, None),
    "reset": Session(8082, reset_client, reset_server, connections=2),
    "half-closed": Session(8083, half_closed_client, half_closed_server),
    "bulk": Session(8084, exchange.bulk_client, exchange.server, connections=3, at_once=True),
    "named": Session(resolve.PORT, resolve.client, resolve.server, connections=2),
    "gap": Session(8085, exchange.gap_client, exchange.server, connections=len(exchange.TALKERS), at_once=True),
}


def serve(sessions, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sessions = [session for session in sessions if session.server is not None]
    listeners = [socket.create_server((address, session.port), family=family) for session in sessions]
    print("ready", flush=True)
    at_once(accept, sessions, listeners)


def accept(session, listener):
    with ThreadPoolExecutor(session.workers()) as pool, listener:
        listener.settimeout(TIMEOUT_SECONDS)
        answers = []
        for number in range(session.connections):
            sock, _ = listener.accept()
            answers.append(pool.submit(answer, session, sock, number))
            if not session.at_once:
                answers[-1].result()
    for answered in answers:
        answered.result()


def answer(session, sock, number):
    sock.settimeout(TIMEOUT_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        session.server(sock, number)


def ask(session, address):
    with ThreadPoolExecutor(session.workers()) as pool:
        # The list brings what a client raised to here.
        list(pool.map(session.client, itertools.repeat(address), range(session.connections)))


def at_once(function, *arguments):
    """Calls a function with each of the arguments, as map does, at the same time."""
    with ThreadPoolExecutor(len(arguments[0]) or 1) as pool:
        # The list brings what one of them raised to here.
        list(pool.map(function, *arguments))


def hold(port):
    """Without a socket the kernel answers each mirrored packet with ICMP port unreachable. What arrives is dropped."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.bind(("::", port))
        print("ready", flush=True)
        signal.pause()


def main(arguments):
    match arguments:
        case ["serve", *names, address] if names and SESSIONS.keys() >= set(names):
            serve([SESSIONS[name] for name in names], address)
        case ["connect", *names, address] if names and SESSIONS.keys() >= set(names):
            at_once(ask, [SESSIONS[name] for name in names], itertools.repeat(address))
        case ["hold", port] if port.isdigit():
            hold(int(port))
        case ["sessions"]:
            print("\n".join(SESSIONS))
        case _:
            sys.exit(__doc__.strip())


if __name__ == "__main__":
    main(sys.argv[1:])
