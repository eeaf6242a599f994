"""A SIP message in memory: a start line, header fields, and a body that is never looked into."""

from __future__ import annotations

from dataclasses import dataclass

from sip.message.headers import Headers


@dataclass(slots=True)
class Request:
    """`uri` is the Request-URI's text as it stood on the wire; `sip.message.parse_uri` takes it apart."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""


@dataclass(slots=True)
class Response:
    """`reason` may be empty; it is for people, the status is for programs."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""


Message = Request | Response
