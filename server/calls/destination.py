"""Where the INVITE of a branch goes."""

from __future__ import annotations

from dataclasses import dataclass

from media.settings import SrtpPolicy
from server.calls.identity import NO_PRIVACY, Privacy
from sip.core import commands
from sip.core.flows import Flow


@dataclass(frozen=True, slots=True)
class Destination:
    """One place to send the INVITE of a branch to; the next one is tried when this one cannot be reached."""

    request_uri: str
    host: str  # of the next hop, and how it is reached: they say on which of our addresses the media is
    from_uri: str
    transport: str = "udp"
    next_hop: str | None = None
    from_display: str | None = None
    headers: commands.HeaderList = ()
    credentials: commands.Credentials | None = None
    flow: Flow | None = None  # the way that a phone has registered by
    phone: str = ""  # its name (`server.calls.phones`), "" for none


@dataclass(frozen=True, slots=True)
class Placed:
    """What a branch needs. from_user/to_user, caller_name: for the records and callbacks of the leg; the name None when it is withheld.

    privacy: of whom the leg is called for, should it call somebody itself one day.
    """

    destinations: list[Destination]
    from_user: str
    to_user: str
    srtp: SrtpPolicy | None = None  # None: the server's setting
    caller_name: str | None = None
    privacy: Privacy = NO_PRIVACY
