"""Where octets come from and go to, and what the shell is asked to do with them."""

from __future__ import annotations

from dataclasses import dataclass

from sip.core.transports import TRANSPORTS


@dataclass(frozen=True, slots=True)
class Address:
    """A transport address: an IP literal (IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Flow:
    """Where octets came from or go to.

    transport: a name of `sip.core.transports`.
    local: the listening socket for UDP; for connections their own end (port 0 until it is known).
    connection: 0 for UDP, and for a connection that the shell shall open; else the shell's number of the open one.
    name: the domain that the peer's certificate must be for, where the transport is secure; empty: the address itself, or any that the
        certificate of an open connection to it has been checked for.
    """

    transport: str
    local: Address
    remote: Address
    connection: int = 0
    name: str = ""

    @property
    def reliable(self) -> bool:
        """Nothing is lost on the way, and there is a connection."""
        return TRANSPORTS[self.transport].reliable


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket: `bind` as opened, `advertised` as written into Via and Contact."""

    transport: str
    bind: Address
    advertised: Address


@dataclass(frozen=True, slots=True)
class Target:
    """One place to try, in order of preference."""

    transport: str
    address: Address


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these octets. A flow of a reliable transport with connection 0: reuse an open connection to `flow.remote` or open one."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """A flow with connection 0: the one to `flow.remote` that is being opened, with all that waits for it."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Resolve:
    """Ask DNS where a SIP URI leads (RFC 3263); answered by Endpoint.resolved(query, targets, now).

    host: a domain name (IP literals are never asked for). port, transport: as in the URI, None when absent.
    """

    query: int
    host: str
    port: int | None
    transport: str | None
    secure: bool = False
