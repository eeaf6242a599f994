"""From the settings to what call control knows of them (`server.calls.policy.Policy`)."""

from __future__ import annotations

import email.utils
import secrets
from collections.abc import Callable, Sequence

from config.peers import TrunkSettings
from config.settings import Settings
from config.types import address_of
from server.api.access import signed_query
from server.applications.signing import Signer
from server.calls.numbering import NumberPlan
from server.calls.policy import MediaAddress, Policy
from server.calls.targets import Outbound
from server.observability.clock import WallClock
from server.reach import Reach
from server.routing import e164
from server.trunks.account import Account
from sip.core.commands import Credentials
from sip.core.flows import Listener
from sip.core.refer import Refer
from sip.core.reliable import ReliableProvisionals
from sip.core.replaces import Replacing
from sip.core.routing import choose_listener
from sip.core.session_timer import SessionTimers
from sip.core.usage import Extension
from sip.message import parse_uri
from sip.settings import SipSettings
from sip.transport.address import ip_version, reachable_form, source_towards

SETTLE_S = 1.0  # docs/decisions/0012-settling.md
WILDCARDS = ("0.0.0.0", "::", "")


def build_policy(settings: Settings, listeners: Sequence[Listener], clock: WallClock, reach: Reach) -> Policy:
    """listeners: as opened, with addresses that peers can reach in `advertised`; clock: the one that timelines use."""

    def wall_rfc2822(at: float) -> str:
        return email.utils.format_datetime(clock.at(at))

    def recording_query(recording_sid: str, now: float) -> str:
        if settings.server.recording_access != "signed":
            return ""
        expires = round(clock.at(now).timestamp() + settings.server.recording_url_s)
        return signed_query(settings.server.recording_key.get_secret_value(), recording_sid, expires)

    return Policy(
        account_sid=settings.server.account_sid,
        instance_id=settings.server.instance_id,
        public_url=settings.server.base_url,
        media=settings.media,
        rcml=settings.rcml,
        wall_iso=clock.iso,
        wall_rfc2822=wall_rfc2822,
        random_bytes=secrets.token_bytes,
        media_places=MediaPlaces(settings, listeners),
        media_v4=_media_address(settings.media.bind_address, settings.media.advertised_address, listeners, "127.0.0.1", v6=False),
        media_v6=_media_address(settings.media.bind_address_v6, settings.media.advertised_address_v6, listeners, "::1", v6=True),
        recordings_dir=settings.media.recordings_dir,
        recording_channels=2 if settings.media.recording_channels == "stereo" else 1,
        answer_delay=settings.dial.answer_delay,
        early_media=settings.dial.early_media,
        ringback_country=settings.dial.ringback,
        no_branch_code_500=settings.dial.no_branch_code == "500",
        operator_completed_is_completed=settings.dial.rest_completed_status == "completed",
        settle_s=SETTLE_S,
        transferor_s=settings.dial.transferor_s,
        recording_wait_s=settings.dial.recording_wait_s,
        conference_time_limit_s=settings.dial.conference_time_limit_s,
        media_open_s=settings.dial.media_open_s,
        final_status_wait_s=settings.dial.final_status_wait_s,
        media_timeout_ends_call=settings.dial.media_timeout_ends_call,
        media_timeout_ask_s=settings.dial.media_timeout_ask_s,
        max_calls=settings.server.max_calls,
        max_passages=settings.dial.max_passages,
        use_to=settings.server.use_to,
        session_headers=settings.server.session_headers,
        recording_query=recording_query,
        sip_refusal=reach.refusal,
        international=lambda text: e164(text, settings.server.country_code) or text,
    )


def sip_extensions(settings: SipSettings) -> tuple[Extension, ...]:
    """What the SIP core can do beyond RFC 3261, of its own instance for each endpoint."""
    when = settings.reliable_provisionals
    return (SessionTimers(), Refer(), Replacing(), *(() if when == "never" else (ReliableProvisionals(when),)))


def own_host(settings: Settings, listeners: Sequence[Listener]) -> str:
    """What we call ourselves in a From."""
    return settings.sip.advertise or (listeners[0].advertised.host if listeners else "localhost")


def _media_address(bind: str, advertised: str, listeners: Sequence[Listener], fallback: str, *, v6: bool) -> MediaAddress:
    """Without settings, RTP uses the addresses that SIP uses: what a peer reached us on is what it can send to."""
    own = next((listener for listener in listeners if (":" in listener.bind.host) is v6), None)
    if not bind:
        bind = own.bind.host if own is not None else fallback
    if not advertised:
        shown = own.advertised.host if own is not None else fallback
        if ip_version(shown) != (6 if v6 else 4):  # a name, or of the other family: SDP wants an address
            shown = reachable_form("::" if v6 else "0.0.0.0")
        advertised = shown if bind in WILDCARDS else bind
    return MediaAddress(bind, advertised)


class MediaPlaces:
    """Where a leg's RTP is bound and what its description says: on the address of the socket that the leg's SIP uses.

    A server with two addresses, one in a carrier's network and one in that of the phones, must tell each side the one that it can
    reach (RFC 3264 5.1). The settings of [media] go before; for a socket on all addresses the one that the system would use
    toward the peer is told. route: see `source_towards`; another one for tests.
    """

    def __init__(self, settings: Settings, listeners: Sequence[Listener], route: Callable[[str], str] | None = None) -> None:
        self._media = settings.media
        self._advertise = settings.sip.advertise
        self._listeners = tuple(listeners)
        self._route = route or source_towards

    def came_by(self, local: str, remote: str) -> MediaAddress:
        """For a leg whose INVITE came from `remote` by the socket on `local`: IP literals, `local` perhaps that of all addresses."""
        v6 = ":" in local
        bind = (self._media.bind_address_v6 if v6 else self._media.bind_address) or local
        advertised = self._media.advertised_address_v6 if v6 else self._media.advertised_address
        return MediaAddress(bind, advertised or (self._reachable(local, remote) if bind in WILDCARDS else bind))

    def leaves_for(self, host: str, transport: str = "udp") -> MediaAddress:
        """For a leg to `host`: by the socket that the SIP core will take. A name counts as an address of the first socket's kind."""
        listener = choose_listener(self._listeners, transport, host) or next(iter(self._listeners), None)
        local = listener.bind.host if listener is not None else "::1" if ":" in host else "127.0.0.1"
        return self.came_by(local, host)

    def _reachable(self, local: str, remote: str) -> str:
        if address_of(self._advertise) is not None and (":" in self._advertise) is (":" in local):
            return self._advertise
        if address_of(remote) is not None and (":" in remote) is (":" in local) and (found := self._route(remote)):
            return found
        shown = next((one.advertised.host for one in self._listeners if one.bind.host == local), "")
        return shown if address_of(shown) is not None else "::1" if ":" in local else "127.0.0.1"


def signer_of(settings: Settings) -> Signer:
    """Who signs requests to applications; nobody when that is switched off."""
    server = settings.server
    if not server.sign_requests:
        return Signer()
    secrets = (server.webhook_secret.get_secret_value(), server.webhook_secret_before.get_secret_value())
    return Signer(server.api_token.get_secret_value(), tuple(secret for secret in secrets if secret))


def trunk_accounts(settings: Settings) -> tuple[Account, ...]:
    """The trunks that are looked after."""
    found = []
    for trunk in settings.trunks:
        places = tuple(uri for uri in (trunk.proxy, trunk.fallback_proxy) if uri)
        registrars = (trunk.registrar,) if trunk.registrar else places
        if not trunk.registers and not (trunk.options_s and places):
            continue
        found.append(
            Account(
                trunk=trunk.name,
                places=places,
                options_s=trunk.options_s,
                registrars=registrars if trunk.registers else (),
                user=trunk.register_user or trunk.username,
                domain=trunk.from_host or parse_uri(registrars[0]).host,
                expires_s=trunk.register_expires_s,
                credentials=_credentials(trunk),
            )
        )
    return tuple(found)


def _credentials(trunk: TrunkSettings) -> Credentials | None:
    return Credentials(trunk.username, trunk.password.get_secret_value()) if trunk.username else None


def outbound_of(trunk: TrunkSettings | None, country_code: str = "") -> Outbound | None:
    """The trunk where Numbers go, as call control knows it. country_code: where the trunk names none."""
    if trunk is None:
        return None
    return Outbound(
        name=trunk.name,
        proxies=tuple(uri for uri in (trunk.proxy, trunk.fallback_proxy) if uri),
        credentials=_credentials(trunk),
        headers=tuple(trunk.headers.items()),
        from_host=trunk.from_host,
        trusted_identity=trunk.trusted_identity,
        srtp=trunk.srtp,
        plan=NumberPlan(trunk.country_code or country_code, trunk.national_prefix, trunk.international_prefix),
        number_format=trunk.number_format,
        number_prefix=trunk.number_prefix,
        identity=trunk.identity,
        history=trunk.history,
    )
