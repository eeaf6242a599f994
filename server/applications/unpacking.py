"""A body's content coding undone (RFC 9110 8.4), never beyond a number of octets, and never for nothing.

Done here and not by the HTTP library, so that a small packed body cannot become a large one in memory.
"""

from __future__ import annotations

import zlib
from typing import NoReturn

from server.applications.failures import Failure

MAX_EMPTY_MEMBERS = 16  # gzip members that hold nothing: one is what an empty file packs to, many are an attack
_PACKED_OVERHEAD = 4096  # by which a packed body may exceed the limit of its content


class Unpacker:
    """limit: octets of content. `feed` gives what came out; Failure when it is too much, or not what it says."""

    def __init__(self, coding: str, limit: int) -> None:
        self.size_bytes = 0
        self._limit = limit
        self._coding = coding.strip().lower()
        if self._coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Failure("protocol", f"the body is packed as {coding[:40]!r}, which was not asked for")
        self._inflate = zlib.decompressobj(wbits=47) if self._coding not in ("", "identity") else None  # 47: gzip or zlib, by its header
        self._fed = False
        self._packed = 0
        self._member = 0  # octets of content in the current gzip member
        self._empty = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._inflate is None:
            self._count(len(chunk))
            return [chunk]
        self._packed += len(chunk)
        if self._packed > self._limit + _PACKED_OVERHEAD:
            raise Failure("too_large", f"the packed body has more than {self._limit} octets")
        parts = []
        while chunk:
            if self._inflate.eof:  # a further gzip member (RFC 1952 2.2)
                self._next_member()
            parts.append(self._inflate_some(chunk))
            self._member += len(parts[-1])
            self._count(len(parts[-1]))
            chunk = self._inflate.unused_data or self._inflate.unconsumed_tail
        return parts

    def finish(self) -> None:
        if self._inflate is not None and self._fed and not self._inflate.eof:
            raise Failure("protocol", "the packed body broke off")

    def _next_member(self) -> None:
        self._empty += self._member == 0
        if self._empty > MAX_EMPTY_MEMBERS:
            raise Failure("protocol", f"the packed body has more than {MAX_EMPTY_MEMBERS} members that hold nothing")
        self._inflate, self._member = zlib.decompressobj(wbits=47), 0

    def _inflate_some(self, chunk: bytes) -> bytes:
        assert self._inflate is not None
        first, self._fed = not self._fed, True
        room = self._limit - self.size_bytes + 1
        try:
            return self._inflate.decompress(chunk, room)
        except zlib.error:
            if not (first and self._coding == "deflate"):
                self._garbled()
        self._inflate = zlib.decompressobj(wbits=-15)  # many servers send `deflate` without its zlib wrapping
        try:
            return self._inflate.decompress(chunk, room)
        except zlib.error:
            self._garbled()

    def _garbled(self) -> NoReturn:
        raise Failure("protocol", f"the body is not what Content-Encoding: {self._coding} says")

    def _count(self, octets: int) -> None:
        self.size_bytes += octets
        if self.size_bytes > self._limit:
            raise Failure("too_large", f"the body has more than {self._limit} octets")
