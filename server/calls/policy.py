"""What call control needs to know of the configuration, in one frozen value. `server.wiring` fills it from the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Protocol

from media.settings import MediaSettings, SrtpPolicy
from rcml.dialect import RCML, Dialect
from rcml.settings import RcmlSettings


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where the media worker binds for one address family, and what the SDP says instead."""

    bind: str
    advertised: str

    @property
    def is_local(self) -> bool:
        """Only this machine can reach it."""
        return ip_address(self.advertised).is_loopback


class MediaPlaces(Protocol):
    """Where a leg's RTP goes: by the socket that its SIP uses (RFC 3264 5.1)."""

    def came_by(self, local: str, remote: str) -> MediaAddress:
        """For a leg whose INVITE came from `remote` by the socket on `local`: IP literals."""

    def leaves_for(self, host: str, transport: str) -> MediaAddress:
        """For a leg that we call at `host`, a name or an IP literal."""


@dataclass(frozen=True, slots=True)
class Application:
    """The web application of a number (behaviour.md 1.5), or of an order over REST (5.3, 5.4). answer_delay None: the server's setting.

    document: the first document itself, so that no URL is asked for it; empty: `voice_url` is asked.
    """

    number: str
    voice_url: str
    voice_method: str = "POST"
    fallback_url: str = ""
    fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    answer_delay: bool | None = None
    srtp: SrtpPolicy | None = None  # of the trunk by which the call came; None: the server's setting
    trusted_identity: bool = False  # of that trunk: what it asserts of callers is so
    document: str = ""
    refer_url: str = ""  # of the document for a transfer; empty: calls of this number are not transferred
    refer_method: str = "POST"
    dialect: Dialect = RCML
    dialled: str = ""  # the text that found the number, when it was not the first choice but `otherwise`
    dials: str = ""  # no application at all: this number, or `client:NAME`, is dialled at once (behaviour.md 1.3)

    @property
    def referral(self) -> Application | None:
        """Where a transfer of its calls is asked about; None: nowhere, and there are no transfers."""
        if not self.refer_url:
            return None
        return replace(self, voice_url=self.refer_url, voice_method=self.refer_method, status_callback="", document="")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An INVITE that gets no application. explain: for the log, naming the setting that would have let it in."""

    status: int
    reason: str
    explain: str
    notification: int = 0  # code of the notification to write, 0 for none
    stranger: bool = False  # from outside all trunks: logged, but not kept


class Router(Protocol):
    """Who may call in, and what answers. Pure."""

    def admit(self, source: str, dialled: str, otherwise: str = "", client: str = "") -> Application | Refusal:
        """source: IP literal; dialled: user part as received, escapes undone; otherwise: what counts when it finds no number of its own.

        client: who has proved to be calling, "" for a call of a trunk.
        """


@dataclass(frozen=True, slots=True)
class Policy:
    """See the configuration reference for what each knob means to an operator.

    media_places: where a leg has its RTP; media_v4, media_v6: for a leg whose peer wants another IP version than its SIP has.
    wall_iso, wall_rfc2822: map a monotonic time to UTC, as ISO 8601 with milliseconds and as RFC 2822.
    recording_query: what is added to a recording's URL (its sid and now given), such as a signature; empty for nothing.
    sip_refusal: why a document may not call a host (a name or an IP literal), with the remedy; None: it may, as far as is known.
    international: a number with its `+`, where that is known; anything else as it is.
    random_bytes: the only source of chance; sids and session numbers are made from it.
    transferor_s: how long who has transferred a call is kept, to have it back when that fails.
    settle_s: how long the result of an answered Dial waits for the answer to our BYE.
    No field has a default here: the settings have them, and `server.wiring` hands all over.
    """

    account_sid: str
    instance_id: str
    public_url: str
    media: MediaSettings
    rcml: RcmlSettings
    wall_iso: Callable[[float], str]
    wall_rfc2822: Callable[[float], str]
    random_bytes: Callable[[int], bytes]
    media_places: MediaPlaces
    media_v4: MediaAddress
    media_v6: MediaAddress
    recordings_dir: str
    recording_channels: int
    answer_delay: bool
    early_media: bool
    ringback_country: str
    no_branch_code_500: bool
    operator_completed_is_completed: bool
    settle_s: float
    recording_wait_s: float
    conference_time_limit_s: float
    media_open_s: float
    final_status_wait_s: float
    media_timeout_ends_call: bool
    media_timeout_ask_s: float
    transferor_s: float
    max_calls: int
    max_passages: int
    use_to: bool
    session_headers: bool
    recording_query: Callable[[str, float], str]
    sip_refusal: Callable[[str], str | None]
    international: Callable[[str], str]

    def of_family(self, own: MediaAddress, family: int) -> MediaAddress:
        """An address of IP version `family` (4 or 6) instead of `own`, if there is one that others than this machine can reach."""
        same = (6 if ":" in own.bind else 4) == family
        wished = own if same else {4: self.media_v4, 6: self.media_v6}.get(family, own)
        return wished if own.is_local or not wished.is_local else own
