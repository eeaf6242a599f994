"""What of a new configuration a running server takes over (SIGHUP). Pure.

Routing, targets and the policy of calls are replaced as whole immutable values: a call goes on with those that it began with. What is
bound to sockets, processes, pools or the database stays as it is until the next start, and is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from config.load import dotted, known_keys
from config.settings import Settings

# Whole sections, and single settings, that nothing holds on to.
CHANGEABLE = frozenset(
    {
        *("trunks", "numbers", "clients", "outbound", "dial", "rcml", "http.allow", "http.deny"),
        *("server.public_url", "server.api_token", "server.metrics_open", "server.max_calls", "server.use_to", "server.country_code"),
        *("server.recording_access", "server.recording_url_s", "server.recording_key", "server.session_headers"),
        *("server.webhook_secret", "server.webhook_secret_before", "server.sign_requests"),
        *("server.drain_s", "server.shutdown_grace_s", "server.max_lag_s", "server.log_level", "server.log_format", "server.log_redact"),
        "sip.tls",  # with all that is in it
        *("media.bind_address", "media.bind_address_v6", "media.advertised_address", "media.advertised_address_v6"),
        *("media.codecs", "media.answer_single_codec", "media.ptime_ms", "media.inband_digits", "media.offer_rtcp_mux"),
        *("media.srtp", "media.srtp_suites", "media.latch", "media.media_timeout_s", "media.orphan_s", "media.recording_channels"),
    }
)


@dataclass(frozen=True, slots=True)
class Reload:
    """settings: those to run on with. changed: settings that are new in them; waiting: those that want a restart. As dotted keys."""

    settings: Settings
    changed: tuple[str, ...]
    waiting: tuple[str, ...]


def plan_reload(running: Settings, wanted: Settings) -> Reload:
    """Compare setting by setting. Both with the identity filled in."""
    changed: list[str] = []
    waiting: list[str] = []
    for name in dict.fromkeys(_name(path) for path, _ in known_keys()):
        old, new = _value(running, name), _value(wanted, name)
        if old != new:
            (changed if _is_changeable(name) else waiting).append(name)
    return Reload(_merged(running, wanted), tuple(changed), tuple(waiting))


def _is_changeable(name: str) -> bool:
    """It, or a section that it is in."""
    return any(part in CHANGEABLE for part in (name, name.rpartition(".")[0], name.partition(".")[0]))


def _name(path: tuple[str | int, ...]) -> str:
    """Of a setting; lists of tables are compared as a whole."""
    return dotted(path[: path.index(0)] if 0 in path else path)


def _value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _merged(running: Settings, wanted: Settings) -> Settings:
    update: dict[str, Any] = {}
    for section in type(running).model_fields:
        old, new = getattr(running, section), getattr(wanted, section)
        if section in CHANGEABLE:
            update[section] = new
        elif isinstance(old, BaseModel):
            taken = {key: getattr(new, key) for key in type(old).model_fields if f"{section}.{key}" in CHANGEABLE}
            update[section] = old.model_copy(update=taken)
    return running.model_copy(update=update)
