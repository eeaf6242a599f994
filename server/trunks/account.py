"""What is known of a trunk that is looked after: a value made of the settings, so that the machines know no configuration."""

from __future__ import annotations

from dataclasses import dataclass

from server.calls.effects import Log
from sip.core.commands import Credentials, SendOutOfDialog
from sip.message.uri import Uri, parse_uri

Action = SendOutOfDialog | Log  # what the machines here ask for


@dataclass(frozen=True, slots=True)
class Account:
    """One trunk.

    places: the URIs that calls go to, the first choice first. options_s: how often each is asked whether it lives, 0 never.
    registrars: where `user` of `domain` is registered, in the order of trial; empty for no registration.
    """

    trunk: str
    places: tuple[str, ...]
    options_s: float = 0.0
    registrars: tuple[str, ...] = ()
    user: str = ""
    domain: str = ""
    expires_s: int = 3600
    credentials: Credentials | None = None


def place_uri(uri: str) -> str:
    """A place as it stands in a request line: its host, port and transport, without what says how to get there."""
    found = parse_uri(uri)
    params = {name: value for name, value in found.params.items() if name == "transport"}
    return str(Uri(found.scheme, None, None, found.host, found.port, params, ()))


def route_to(uri: str) -> str | None:
    """The URI as a next hop, when it is another than the request line says."""
    found = parse_uri(uri)
    return uri if found.lr or "maddr" in found.params else None
