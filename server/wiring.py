"""From the settings to what call control knows of them (`server.calls.policy.Policy`)."""

from __future__ import annotations

import email.utils
import secrets
from collections.abc import Sequence

from config.settings import Settings, TrunkSettings
from server.api.access import signed_query
from server.calls.policy import MediaAddress, Policy
from server.calls.targets import Outbound
from server.observability.clock import WallClock
from sip.core.commands import Credentials
from sip.core.flows import Listener
from sip.transport.address import ip_version, reachable_form

SETTLE_S = 1.0  # docs/decisions/0012-settling.md
WILDCARDS = ("0.0.0.0", "::", "")


def build_policy(settings: Settings, listeners: Sequence[Listener], clock: WallClock) -> Policy:
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
        domain=settings.sip.advertise or (listeners[0].advertised.host if listeners else "localhost"),
        media=settings.media,
        rcml=settings.rcml,
        wall_iso=clock.iso,
        wall_rfc2822=wall_rfc2822,
        random_bytes=secrets.token_bytes,
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
        recording_wait_s=settings.dial.recording_wait_s,
        media_open_s=settings.dial.media_open_s,
        final_status_wait_s=settings.dial.final_status_wait_s,
        media_timeout_ends_call=settings.dial.media_timeout_ends_call,
        max_calls=settings.server.max_calls,
        use_to=settings.server.use_to,
        session_headers=settings.server.session_headers,
        recording_query=recording_query,
    )


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


def outbound_of(trunk: TrunkSettings | None) -> Outbound | None:
    """The trunk where Numbers go, as call control knows it."""
    if trunk is None:
        return None
    return Outbound(
        name=trunk.name,
        proxies=tuple(uri for uri in (trunk.proxy, trunk.fallback_proxy) if uri),
        credentials=Credentials(trunk.username, trunk.password.get_secret_value()) if trunk.username else None,
        headers=tuple(trunk.headers.items()),
        from_host=trunk.from_host,
        srtp=trunk.srtp,
    )
