"""The transports of SIP as data: what the core, the resolver and the shell ask about one.

A new transport is a line here, its name in `sip.settings.SPOKEN`, and in the shell (`sip.transport`) the sockets for it.
Source: RFC 3261 18, 19.1.2; RFC 3263 4.1 (services); RFC 7118 (WebSocket).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transport:
    """One transport protocol.

    name: as in a `transport` parameter; upper case in Via.
    reliable: nothing is lost or doubled on the hop, so no transaction repeats anything; there is a connection, and responses
        return on it (RFC 3261 17, 18.2.2).
    framed: what is read at once is one whole message, a datagram or a WebSocket message. Else it is a stream of octets in which
        Content-Length tells where a message ends (18.3).
    secured: the name of the transport that a `sips` URI means when it names this one.
    srv, naptr: its label and its service in DNS; empty where none is registered.
    """

    name: str
    reliable: bool
    framed: bool
    secure: bool
    default_port: int
    secured: str
    srv: str = ""
    naptr: str = ""


# In the order of our own preference where a domain states none: RFC 3261 18 makes UDP the one that everybody has.
TRANSPORTS = {
    one.name: one
    for one in (
        Transport("udp", reliable=False, framed=True, secure=False, default_port=5060, secured="tls", srv="_sip._udp", naptr="SIP+D2U"),
        Transport("tcp", reliable=True, framed=False, secure=False, default_port=5060, secured="tls", srv="_sip._tcp", naptr="SIP+D2T"),
        Transport("tls", reliable=True, framed=False, secure=True, default_port=5061, secured="tls", srv="_sips._tcp", naptr="SIPS+D2T"),
        Transport("ws", reliable=True, framed=True, secure=False, default_port=80, secured="wss", naptr="SIP+D2W"),
        Transport("wss", reliable=True, framed=True, secure=True, default_port=443, secured="wss", naptr="SIPS+D2W"),
    )
}
DEFAULT, DEFAULT_SECURE = "udp", "tls"  # of a URI without a transport parameter (RFC 3263 4.1)
FOR_LONG_REQUESTS = "tcp"  # takes what is too long for a datagram (RFC 3261 18.1.1)


def default_port(name: str) -> int:
    """The port that a URI or Via of this transport means when it names none; of an unknown one that of SIP."""
    transport = TRANSPORTS.get(name)
    return 5060 if transport is None else transport.default_port
