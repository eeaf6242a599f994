"""One UDP socket: datagrams in and out, and the ICMP errors that come back for them.

The socket is read here and not by an asyncio transport, for two reasons. Many datagrams are taken per wake-up. And ICMP errors of
an unconnected socket are only told through its error queue (Linux, IP_RECVERR), with the address that could not be reached;
the event loops either do not read that queue or take the socket's error state for the end of the socket. So the socket is watched
by an epoll object of its own, whose descriptor is the one that the loop watches: plainly readable whenever there is
anything to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable

from sip.core.flows import Address
from sip.transport.address import ip_version

BATCH = 64  # datagrams per wake-up: other sockets and timers want their turn
MAX_DATAGRAM_BYTES = 65535
# linux/in.h, linux/in6.h and linux/errqueue.h; Python has no names for these
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_EXTENDED_ERROR = struct.Struct("=IBBB")  # ee_errno, ee_origin, ee_type, ee_code
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_STAMP = struct.Struct("@ll")  # struct timespec
_STAMP_SPACE = socket.CMSG_SPACE(_STAMP.size)
_LONGEST_WAIT_S = 60.0  # what is longer is a clock that was set
# Destination Unreachable; Time Exceeded and the like are to be ignored (RFC 3261 18.4)
_UNREACHABLE = {_ORIGIN_ICMP: 3, _ORIGIN_ICMP6: 1}
_LATE_ERRORS = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)


class UdpSocket:
    """Opens on construction.

    received: called with the octets and the source, once per datagram.
    unreachable: called with a destination and the reason, when ICMP says that a datagram did not arrive.
    counters: `udp_in`, `udp_out`, `udp_out_dropped` (the send buffer was full), `udp_unreachable`.
    Raises OSError when the address cannot be bound.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        received: Callable[[bytes, Address], None],
        unreachable: Callable[[Address, str], None],
        buffer_bytes: int,
        counters: Counter[str],
    ) -> None:
        self._loop = loop
        self._received = received
        self._unreachable = unreachable
        self._buffer = memoryview(bytearray(MAX_DATAGRAM_BYTES))
        self._v6 = ":" in host
        self._counters = counters
        self._waited_s = 0.0
        self._socket = socket.socket(socket.AF_INET6 if self._v6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if self._v6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                with contextlib.suppress(OSError):  # some systems refuse where Linux grants less
                    self._socket.setsockopt(socket.SOL_SOCKET, option, buffer_bytes)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.bind((host, port))
        except BaseException:
            self._socket.close()
            raise
        self.address = Address(host, self._socket.getsockname()[1])
        self._watched = self._watch()
        loop.add_reader(self._watched, self._readable)

    def send(self, data: bytes, remote: Address) -> str | None:
        """Send one datagram; what went wrong, or None. A full buffer is like a loss on the way: retransmission mends it."""
        if ip_version(remote.host) != (6 if self._v6 else 4):
            return "not an address of this socket's family"
        self._counters["udp_out"] += 1
        for attempt in (1, 2):
            try:
                self._socket.sendto(data, (remote.host, remote.port))
            except BlockingIOError:
                self._counters["udp_out_dropped"] += 1
            except OSError as error:
                # The kernel reports an earlier datagram's ICMP error at the next call, whoever that one is for.
                if attempt == 1 and error.errno in _LATE_ERRORS:
                    continue
                return os.strerror(error.errno or 0)
            except OverflowError:
                return "not a port"
            return None
        return None

    def take_waited_s(self) -> float:
        """How long the first datagram of the last wake-up waited, by the stamp of the kernel; 0 when none came since the last call."""
        waited, self._waited_s = self._waited_s, 0.0
        return waited

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._watched)
        self._epoll.close()
        self._socket.close()

    def _watch(self) -> int:
        level, option = (socket.IPPROTO_IPV6, _IPV6_RECVERR) if self._v6 else (socket.IPPROTO_IP, _IP_RECVERR)
        self._socket.setsockopt(level, option, 1)
        self._epoll = select.epoll()
        self._epoll.register(self._socket.fileno(), select.EPOLLIN | select.EPOLLERR)
        return self._epoll.fileno()

    def _readable(self) -> None:
        if any(events & select.EPOLLERR for _, events in self._epoll.poll(0)):
            self._read_errors()
        for number in range(BATCH):
            if self._socket.fileno() < 0:  # closed by what a datagram caused
                return
            try:
                if number:
                    size, source = self._socket.recvfrom_into(self._buffer)
                else:  # it has waited for longest
                    size, ancillary, _, source = self._socket.recvmsg_into([self._buffer], _STAMP_SPACE)
                    self._waited_s = _waited_s(ancillary)
            except BlockingIOError:
                return
            except OSError:  # a late ICMP error; the error queue has it too
                continue
            self._counters["udp_in"] += 1
            self._received(bytes(self._buffer[:size]), Address(source[0].partition("%")[0], source[1]))

    def _read_errors(self) -> None:
        for _ in range(BATCH):
            if self._socket.fileno() < 0:
                return
            try:
                _, ancillary, _, destination = self._socket.recvmsg(1, 512, socket.MSG_ERRQUEUE)
            except OSError:  # BlockingIOError: the queue is empty
                return
            for _, kind, data in ancillary:
                if kind not in (_IP_RECVERR, _IPV6_RECVERR) or len(data) < _EXTENDED_ERROR.size or not destination:
                    continue
                number, origin, icmp_type, _ = _EXTENDED_ERROR.unpack_from(data)
                if _UNREACHABLE.get(origin) == icmp_type and number != errno.EMSGSIZE:
                    self._counters["udp_unreachable"] += 1
                    self._unreachable(Address(destination[0].partition("%")[0], destination[1]), os.strerror(number))


def _waited_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) >= _STAMP.size:
            seconds, nanoseconds = _STAMP.unpack_from(data)
            waited = time.time() - seconds - nanoseconds / 1e9
            return waited if 0 <= waited <= _LONGEST_WAIT_S else 0.0
    return 0.0
