"""Ports for what listens in tests: each process that runs tests has a range of its own, so that two can go on beside each other.

A range is taken by binding its first TCP port for as long as the process lives; the kernel gives that to one process only, and takes it
back from one that was killed. All ranges lie below the ports that the kernel gives to sockets which ask for none (32768 and up, where
the phones of the tests have their RTP) and beside the default range of `media.port_min`, which the demo uses. It is taken when the first
port is asked for, so tests that need none take none: ask for `ports.SERVER` where it is used, and do not import it by name.
"""

from __future__ import annotations

import functools
import socket

WIDTH = 1380
# Nine, all of five digits, as the dial plan of Kamailio's test wants them; a run of everything takes four.
BASES = (*range(10_000, 20_000 - WIDTH, WIDTH), 30_000, 30_000 + WIDTH)


class NoPorts(RuntimeError):
    """All ranges, or all ports of ours, are taken."""


def _take() -> tuple[int, socket.socket]:
    for base in BASES:
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            guard.bind(("127.0.0.1", base))
            guard.listen(1)
        except OSError:
            guard.close()
            continue
        return base, guard
    raise NoPorts(f"all {len(BASES)} ranges of {WIDTH} ports are in use: are so many test runs going on?")


@functools.cache
def _base() -> int:
    base, _guards[base] = _take()
    return base


_guards: dict[int, socket.socket] = {}
_last = 0
# The first and the last port of each part, counted from the beginning of our range. RTP: of media workers that tests start themselves; of
# servers (one for all tests, one or two beside it); of a worker's client; of baresip.
_SINGLE = (1, 289)
_PARTS = {
    "WORKER": (290, 789),
    "SERVER": (790, 939),
    "OWN_SERVER": (940, 1089),
    "OTHER_SERVER": (1090, 1239),
    "CLIENT": (1240, 1309),
    "BARESIP": (1310, 1359),
}
WORKER: tuple[int, int]
SERVER: tuple[int, int]
OWN_SERVER: tuple[int, int]
OTHER_SERVER: tuple[int, int]
CLIENT: tuple[int, int]
BARESIP: tuple[int, int]
CERTAIN: int  # for tests that say which port exactly, and those above it


def __getattr__(name: str) -> tuple[int, int] | int:
    if name == "CERTAIN":
        return _base() + 1360
    if name not in _PARTS:
        raise AttributeError(name)
    first, last = _PARTS[name]
    return _base() + first, _base() + last


def free_port(host: str, neighbours: int = 0) -> int:
    """A port of `host` that nobody has, for UDP and TCP alike, and as many above it. It comes again when all others have had their turn."""
    global _last
    first, last = _SINGLE
    for _ in range(first, last + 1):
        _last = _last + 1 if first <= _last + 1 + neighbours <= last else first
        port = _base() + _last
        if all(_is_free(host, port + above) for above in range(neighbours + 1)):
            _last += neighbours
            return port
    raise NoPorts(f"no port is free on {host} from {_base() + first} to {_base() + last}")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams, socket.socket(family, socket.SOCK_STREAM) as stream:
        try:
            datagrams.bind((host, port))
            stream.bind((host, port))
        except OSError:
            return False
    return True
