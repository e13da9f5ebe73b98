"""Sessions of traffic.py with several connections at once, whose sides compare each byte that they get."""

import struct
import time
from dataclasses import dataclass

from sockets import connect, read_to_end, receive_exactly

# --- bulk: data both ways on three connections at once, each byte compared by its receiver; the client closes first

REQUEST = struct.Struct("!II")  # how many bytes follow, how many are wanted back
HANG_UP = 0xFFFFFFFF
BULK_BYTES = 200_000


def pattern(length):
    """Its period is a prime, so that a part that is lost, repeated or moved does not go unnoticed."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def receive_pattern(sock, length):
    if receive_exactly(sock, length) != pattern(length):
        raise SystemExit(f"not the {length} bytes that were sent")


def exchange(sock, length, wanted):
    sock.sendall(REQUEST.pack(length, wanted) + pattern(length))
    receive_pattern(sock, wanted)


def hang_up(sock):
    sock.sendall(REQUEST.pack(0, HANG_UP))
    read_to_end(sock)


def server(sock, _number):
    while first := sock.recv(1):
        length, wanted = REQUEST.unpack(first + receive_exactly(sock, REQUEST.size - 1))
        receive_pattern(sock, length)
        if wanted == HANG_UP:
            return
        sock.sendall(pattern(wanted))


def bulk_client(address, number):
    with connect(address, 8084, 40484 + number) as sock:
        for _ in range(2):
            exchange(sock, BULK_BYTES, BULK_BYTES)


# --- gap: connections that talk steadily, while whoever records takes the mirror away from second 6 to second 16

TICK_SECONDS = 0.75
MOVES_AT, OPENS_IN_GAP, CLOSES_IN_GAP, OPENS_AFTER, END = 8, 9, 10, 18, 20
# Far beyond any window that was seen before.
MOVED_BYTES = 3_000_000
STARTED = time.monotonic()


@dataclass(frozen=True)
class Talker:
    """A connection: its client's port, the seconds when it opens and closes, and what is special about it."""

    port: int
    opens: float
    closes: float
    moves: bool = False
    silent_after: bool = False
    server_closes: bool = False


TALKERS = [
    *(Talker(41000 + n, 0, END, moves=True, server_closes=n % 2 == 1) for n in range(4)),
    Talker(41004, 0, END, moves=True, silent_after=True),
    Talker(41010, 0, CLOSES_IN_GAP),
    Talker(41011, 0, CLOSES_IN_GAP, server_closes=True),
    *(Talker(41020 + n, OPENS_IN_GAP, END) for n in range(3)),
    Talker(41030, OPENS_IN_GAP, CLOSES_IN_GAP),
    *(Talker(41040 + n, OPENS_AFTER, END) for n in range(2)),
    # The ports of the connection that its server closed in the gap.
    Talker(41011, OPENS_AFTER, END),
]


def wait_until(second):
    time.sleep(max(0, STARTED + second - time.monotonic()))


def talk(sock, until):
    while time.monotonic() < STARTED + until:
        exchange(sock, 12, 20)
        time.sleep(TICK_SECONDS)


def gap_client(address, number):
    talker = TALKERS[number]
    wait_until(talker.opens)
    with connect(address, 8085, talker.port) as sock:
        # Spread over the tick, however many talk at a time: no silence but the gap is long.
        time.sleep(TICK_SECONDS * (number * 0.618 % 1))
        if talker.moves:
            talk(sock, MOVES_AT)
            exchange(sock, MOVED_BYTES, MOVED_BYTES)
        if not talker.silent_after:
            talk(sock, talker.closes)
        wait_until(talker.closes)
        if talker.server_closes:
            hang_up(sock)
