"""Where a request goes: next hop, transport, socket; and what our Via and Contact say about it.

An address is never asked of DNS. A name is, by a `Resolve` output, since RFC 3263 needs NAPTR, SRV and AAAA records.

The NAT policy (behaviour.md 8, "In-dialog NAT") is a policy on top of RFC 3261 12.2.1.1 and can be switched off: phones
behind a NAT announce an address in Contact that exists only behind it. An in-dialog request goes to the address that the
peer's last INVITE or 2xx was *seen* to come from, when all of these hold:
  - there is no route set (with Record-Route the proxy cares for it);
  - the Contact is an IP literal of narrower scope than the observed source: a private, carrier-NAT or link-local one when the
    source is public, a loopback one when the source is not; or one of another private network than the source's (10/8 and
    192.168/16, say: a container, a branch office behind a NAT of its own). Else the Contact is as reachable for us as its
    sender is: two machines of one private network, or a proxy without Record-Route between them, keep talking directly.
The user may say otherwise for a peer (`Screen.contact_policy`): always the source, or always the Contact.
Only where the octets go changes; the Request-URI stays the Contact.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from sip.core.flows import Address, Flow, Listener, Target
from sip.core.transports import DEFAULT, DEFAULT_SECURE, TRANSPORTS, default_port
from sip.message import ParseError, Uri, parse_uri

_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "0.0.0.0/8", "fc00::/7", "fe80::/10")
)
LOOPBACK, PRIVATE, PUBLIC = 0, 1, 2


@lru_cache(4096)
def scope(host: str) -> int | None:
    """How far an IP literal reaches: LOOPBACK, PRIVATE or PUBLIC; None when it is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return scope(str(address.ipv4_mapped))
    if address.is_loopback:
        return LOOPBACK
    return PRIVATE if any(address.version == network.version and address in network for network in _PRIVATE) else PUBLIC


def host_of(uri: Uri) -> str:
    """The name or address that requests to this URI are sent to (RFC 3261 19.1.1, maddr)."""
    return uri.params.get("maddr") or uri.host


def wants(uri: Uri) -> tuple[str, int | None, str | None, bool]:
    """(host, port, transport or None, secure) of a SIP URI. `sips` with transport=tcp means TLS (RFC 3263 4.3)."""
    secure = uri.scheme == "sips"
    transport = (uri.params.get("transport") or "").lower() or None
    if secure and transport in TRANSPORTS:
        transport = TRANSPORTS[transport].secured
    return host_of(uri), uri.port, transport, secure


def literal_target(uri: Uri) -> Target | None:
    """The one target of a URI whose host is an IP literal; None when DNS must be asked (RFC 3263 4.1, 4.2)."""
    host, port, transport, secure = wants(uri)
    if scope(host) is None:
        return None
    transport = transport or (DEFAULT_SECURE if secure else DEFAULT)
    return Target(transport, Address(host, port or default_port(transport)))


def choose_listener(listeners: Sequence[Listener], transport: str, remote: str, preferred: Address | None = None) -> Listener | None:
    """The listener that speaks for us to `remote` (an IP literal): of the same transport and address family.

    The preferred socket comes first, then one of the same loopback-ness, then the order of the configuration.
    """
    family = ":" in remote
    near = None
    first = nearest = None
    for one in listeners:
        bind = one.bind
        if one.transport != transport or (":" in bind.host) != family:
            continue
        if preferred is not None and (bind is preferred or bind == preferred):
            return one
        first = first or one
        if nearest is None:
            near = scope(remote) == LOOPBACK if near is None else near
            if (scope(bind.host) == LOOPBACK) == near:
                nearest = one
    return nearest or first


def listener_of(listeners: Sequence[Listener], flow: Flow) -> Listener | None:
    """The listener that a received message came by."""
    for one in listeners:
        if one.transport == flow.transport and one.bind == flow.local:
            return one
    for one in listeners:
        if one.transport == flow.transport and one.bind.port == flow.local.port:
            return one
    return choose_listener(listeners, flow.transport, flow.remote.host)


def flow_from(listener: Listener, remote: Address, name: str = "") -> Flow:
    """UDP leaves by the listening socket, all else by a connection that the shell finds or opens. name: of the URI that led here."""
    transport = TRANSPORTS[listener.transport]
    local = Address(listener.bind.host, 0) if transport.reliable else listener.bind
    return Flow(listener.transport, local, remote, 0, name if transport.secure else "")


def certified_name(uri: Uri) -> str:
    """What a certificate must name for requests to this URI (RFC 5922 4): its domain, whatever SRV or `maddr` say; "" for an address."""
    return "" if scope(uri.host) is not None else uri.host.rstrip(".").lower()


def contact_uri(listener: Listener, user: str | None, secure: bool = False) -> str:
    """Our Contact: the advertised address, with the transport where it is not UDP."""
    scheme = "sips" if secure else "sip"
    who = f"{user}@" if user else ""
    suffix = "" if listener.transport == DEFAULT else f";transport={listener.transport}"
    return f"{scheme}:{who}{listener.advertised}{suffix}"


def our_contact(listeners: Sequence[Listener], flow: Flow, user: str | None, secure: bool) -> str | None:
    """The Contact of a response to what came by this flow; None when no socket of ours fits."""
    listener = listener_of(listeners, flow)
    return None if listener is None else f"<{contact_uri(listener, user, secure)}>"


def unreachable_contact(contact: Uri, observed: Flow) -> bool:
    """Whether the NAT policy sends to the observed source instead of the Contact (see the top of the file)."""
    host, source = host_of(contact), observed.remote.host
    told, seen = scope(host), scope(source)
    if told is None or seen is None:
        return False
    return told < seen or (told == seen == PRIVATE and _private_network(host) != _private_network(source))


@lru_cache(4096)
def _private_network(host: str) -> int:
    """Which of the private ranges holds a private IP literal, as a number of our own."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return next((number for number, network in enumerate(_PRIVATE) if address.version == network.version and address in network), -1)


def parse_next_hop(text: str) -> Uri | None:
    """A URI that requests can be sent to; None for what cannot be one (tel:, foreign schemes, nonsense)."""
    try:
        uri = parse_uri(text)
    except ParseError:
        return None
    return uri if uri.host else None
