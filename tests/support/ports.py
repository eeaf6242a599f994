"""Ports for what listens in tests: each process that runs tests has a range of its own, so that two can go on beside each other.

A range is taken by binding its first TCP port for as long as the process lives; the kernel gives that to one process only, and takes it
back from one that was killed. All ranges lie below the ports that the kernel gives to sockets which ask for none (32768 and up, where
the phones of the tests have their RTP) and beside the default range of `media.port_min`, which the demo uses.
"""

from __future__ import annotations

import socket

WIDTH = 2000
BASES = (*range(10_000, 20_000, WIDTH), 30_000)


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


_BASE, _GUARD = _take()
_SINGLE = range(_BASE + 1, _BASE + 400)
# RTP: of media workers that tests start themselves; of servers (one for all tests, one or two beside it); of a worker's client; of baresip.
WORKER = (_BASE + 400, _BASE + 1399)
SERVER, OWN_SERVER, OTHER_SERVER = ((_BASE + 1400 + 150 * n, _BASE + 1549 + 150 * n) for n in range(3))
CLIENT = (_BASE + 1850, _BASE + 1919)
BARESIP = (_BASE + 1920, _BASE + 1969)
# For tests that say which port exactly.
CERTAIN = _BASE + 1970
_last = _SINGLE.start


def free_port(host: str, neighbours: int = 0) -> int:
    """A port of `host` that nobody has, for UDP and TCP alike, and as many above it. It comes again when all others have had their turn."""
    global _last
    for _ in _SINGLE:
        _last = _last + 1 if _last + 1 + neighbours < _SINGLE.stop else _SINGLE.start
        port = _last
        if all(_is_free(host, port + above) for above in range(neighbours + 1)):
            _last += neighbours
            return port
    raise NoPorts(f"no port is free on {host} from {_SINGLE.start} to {_SINGLE.stop - 1}")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams, socket.socket(family, socket.SOCK_STREAM) as stream:
        try:
            datagrams.bind((host, port))
            stream.bind((host, port))
        except OSError:
            return False
    return True
