"""The gate: whose requests are looked at, and what strangers get.

    receive ─▶ listed? ─────────────────────────────────▶ the core
                └─ no ─▶ in a dialog of ours, or an answer to us? ─▶ the core, which looks who may speak in that dialog
                          └─ no ─▶ its budget and that of all strangers ─┬─ left ─▶ one stateless refusal
                                                                       └─ used up ─▶ silence; the source is banned for a while

A source is judged before its message is read, so that a flood of strangers costs a look-up each: no session, no transaction, no
timer, no trace. Nothing is remembered but a budget for each of the last `max_sources` sources, oldest first forgotten.
A forged source can only be banned as a stranger: a listed one, and what belongs to a dialog, never comes to the budgets.
Source: RFC 3261 8.2.7 (stateless), 26.1.5 (amplification).
"""

from __future__ import annotations

import enum
import re
from functools import partial
from ipaddress import ip_address
from typing import Protocol

from sip.core.dialog import Dialog
from sip.core.incoming import Incoming
from sip.core.routing import scope
from sip.core.sources import Budget, Sources
from sip.core.transactions import Transactions
from sip.core.usage import Core
from sip.settings import ContactPolicy, StrangerSettings

# What a message shows of itself before it is parsed. A miss only means that a stranger is taken for one: who is let through here is
# judged again by the fields as they are parsed.
_TO_TAG_RE = re.compile(rb"\n(?:to|t)[ \t]*+:(?:[^\n]|\n[ \t])*?;[ \t]*+tag[ \t]*+=[ \t]*+([^;,\s>]++)", re.IGNORECASE)
_BRANCH_RE = re.compile(rb"\n(?:via|v)[ \t]*+:(?:[^\n]|\n[ \t])*?;[ \t]*+branch[ \t]*+=[ \t]*+([^;,\s]++)", re.IGNORECASE)
_METHOD_RE = re.compile(rb"\ncseq[ \t]*+:[ \t]*+[0-9]++[ \t]++([^\s]++)", re.IGNORECASE)
_HEAD_BYTES = 4096  # of a message that are searched
_CACHED_HOSTS = 10_000


class Screen(Protocol):
    """Who is known: the user's lists."""

    def admits(self, host: str) -> bool:
        """Whether requests from this address (an IP literal) are served."""

    def explain(self, host: str) -> str:
        """Why not, and what would have to be set."""

    def contact_policy(self, host: str) -> ContactPolicy:
        """Whether requests inside a dialog go to a Contact that came from this address."""


class Verdict(enum.Enum):
    REFUSE = "refuse"  # with one answer
    SILENCE = "silence"
    BAN = "ban"  # silence from now on: to be told once


class Gate:
    """counts: what strangers got, by the names of `Verdict`."""

    def __init__(self, settings: StrangerSettings, screen: Screen) -> None:
        self._settings = settings
        self._screen = screen
        self._listed: dict[str, bool] = {}
        self._sources = Sources(settings.max_sources, partial(_Stranger, settings.max_per_source))
        self._all = Budget(settings.max_per_second, 0.0)
        self.counts = {"refused": 0, "silenced": 0, "banned": 0}

    def __len__(self) -> int:
        """Sources that are remembered."""
        return len(self._sources)

    def replace(self, screen: Screen) -> None:
        """Other lists from now on."""
        self._screen = screen
        self._listed.clear()

    def admits(self, host: str) -> bool:
        known = self._listed.get(host)
        if known is None:
            if len(self._listed) >= _CACHED_HOSTS:
                self._listed.clear()
            known = self._listed[host] = self._screen.admits(host)
        return known

    def contact_policy(self, host: str) -> ContactPolicy:
        return self._screen.contact_policy(host)

    def explain(self, host: str) -> str:
        return self._screen.explain(host)

    def explain_ban(self, host: str) -> str:
        limits = self._settings
        what = f"more than {limits.max_per_source} requests a second, so silence for {limits.ban_s:g} s"
        return f"{what}; {self.explain(host)}"

    def judge(self, host: str, now: float) -> Verdict:
        """Charge a stranger for one request."""
        verdict = self._judge(host, now)
        if verdict is Verdict.REFUSE:
            self.counts["refused"] += 1
        else:
            self.counts["silenced"] += 1
            if verdict is Verdict.BAN:
                self.counts["banned"] += 1
        return verdict

    def ban(self, host: str, until: float, now: float) -> None:
        """Silence for an address that guesses passwords (`sip.core.door`)."""
        self.counts["banned"] += 1
        self._sources.of(host, now).banned_until = until

    def is_banned(self, host: str, now: float) -> bool:
        stranger = self._sources.find(host)
        return stranger is not None and now < stranger.banned_until

    def ignore(self) -> None:
        """What is never answered (ACK, a response to nobody) was passed over."""
        self.counts["silenced"] += 1

    def _judge(self, host: str, now: float) -> Verdict:
        settings, stranger = self._settings, self._sources.of(host, now)
        if now < stranger.banned_until:
            return Verdict.SILENCE
        if not stranger.budget.spend(settings.max_per_source, now):
            if settings.ban_s <= 0:
                return Verdict.SILENCE
            stranger.banned_until = now + settings.ban_s
            return Verdict.BAN
        if settings.answer == "silence" or not self._all.spend(settings.max_per_second, now):
            return Verdict.SILENCE
        return Verdict.REFUSE


class _Stranger:
    """One address."""

    __slots__ = ("banned_until", "budget")

    def __init__(self, per_second: float, now: float) -> None:
        self.budget = Budget(per_second, now)
        self.banned_until = 0.0


def is_keepalive(data: bytes) -> bool:
    """RFC 5626 3.5.1 has CRLFs, some phones send zeros."""
    return not data.strip(b"\r\n\x00")


def is_never_answered(data: bytes) -> bool:
    """Whether a stranger's datagram costs it nothing, since nobody would answer it: an ACK, a response to nobody, a keep-alive."""
    return data[:4] == b"ACK " or _is_response(data) or is_keepalive(data)


def _is_response(data: bytes) -> bool:
    return data[:8].upper() == b"SIP/2.0 "


def expected(data: bytes, core: Core) -> bool:
    """Whether a datagram looks like one of a dialog of ours, or like an answer to a request of ours."""
    if _is_response(data):
        return _answers(data, core.transactions)
    found = _TO_TAG_RE.search(data, 0, _HEAD_BYTES)
    if found is None:
        return False
    tag = found[1].decode("latin-1")
    return tag in core.local_tags or tag in core.transactions.to_tags


def _answers(data: bytes, transactions: Transactions) -> bool:
    branch, method = _BRANCH_RE.search(data, 0, _HEAD_BYTES), _METHOD_RE.search(data, 0, _HEAD_BYTES)
    if branch is None or method is None:
        return False
    return (branch[1].decode("latin-1"), method[1].decode("latin-1")) in transactions.clients


def is_known(incoming: Incoming, core: Core) -> bool:
    """The same of a request that has been parsed: it may be one in a dialog, or what we have answered already comes again."""
    if incoming.to_tag is None:
        if incoming.request.method not in ("CANCEL", "INVITE", "REGISTER"):
            return False
        method = "INVITE" if incoming.request.method == "CANCEL" else None  # it belongs to one of a phone's that rings
        served = core.transactions.servers.get(incoming.server_key(method))
        return served is not None and served.incoming.flow.remote.host == incoming.flow.remote.host
    found = core.dialogs.get((incoming.call_id, incoming.to_tag, incoming.from_tag))
    if found is not None:
        return is_peer(found.dialog, incoming.flow.remote.host)
    transaction = core.transactions.servers.get(incoming.server_key())
    return transaction is not None and transaction.incoming.flow.remote.host == incoming.flow.remote.host


def is_peer(dialog: Dialog, host: str) -> bool:
    """Whether this address may speak in the dialog: one that it was seen at, or that its Contact or its route names.

    A Contact or route with a host name may lead anywhere, so it is no ground to refuse.
    """
    if host == dialog.observed.remote.host:
        return True
    return any(scope(told) is None or ip_address(told) == ip_address(host) for told in dialog.hosts())
