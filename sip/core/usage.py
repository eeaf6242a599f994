"""The seam between the UAS core and what lives in dialogs, and the place where extensions are added.

    request ─▶ UasCore ─▶ SharedDialog ─▶ a Usage that takes it, else the session (DialogUser)
                     └──▶ outside of dialogs: the OutsideUser of its method

A *usage* is what a dialog is used for (RFC 5057 3): the INVITE's session, a subscription. Several may share one dialog, as a REFER's
subscription shares that of the call; the dialog lives until the last has left. An *extension* is one file that adds a usage, or
a part with rules of its own to every session (session timers, reliable provisional responses): see docs/sip-core.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sip.core.capabilities import NOTHING, Capabilities
from sip.core.commands import ExtensionCommand, HeaderList, SendBye, SendReinvite, SessionId
from sip.core.context import Context
from sip.core.delivery import Deliveries
from sip.core.dialog import Dialog
from sip.core.digest import DigestClient
from sip.core.exchange import Exchange, ExchangeUser
from sip.core.flows import Flow
from sip.core.incoming import DialogKey, Incoming
from sip.core.machine import Packet
from sip.core.parts import SessionPart
from sip.core.tally import Tally
from sip.core.transactions import ServerTransaction, Transactions
from sip.message import Request, Response, UsageError


class DialogUser(Protocol):
    """One usage of a dialog, as the UAS core sees it.

    id: the name that its messages stand under in the timeline. headers: the user's, for every response.
    """

    id: SessionId
    headers: HeaderList

    def request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        """A request in its dialog, not ACK or CANCEL. Form and order (CSeq) have been checked."""


class Usage(DialogUser, Protocol):
    """Any usage but the INVITE's: it says which requests are its own (NOTIFY: by Event and its id, RFC 6665 4.1.3)."""

    def takes(self, request: Request) -> bool: ...


class InviteUser(DialogUser, Protocol):
    """A session: it has what no other usage takes, and INVITE's own ACK and CANCEL."""

    @property
    def dialog(self) -> Dialog | None:
        """The dialog of the session; None as long as an outgoing one is unanswered."""

    @property
    def opening(self) -> bool:
        """The INVITE that makes the session has no final response."""

    def ack_received(self, incoming: Incoming, now: float) -> bool:
        """An ACK for one of its 2xx; False when it acknowledges nothing new."""

    def cancel_received(self, invite: ServerTransaction, cancel: Request, now: float) -> None:
        """A CANCEL for an INVITE of this session that has no final response; its own 200 has gone out."""


class OutsideUser(Protocol):
    """Who serves a method outside of dialogs."""

    def request_received(self, transaction: ServerTransaction, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that opens nothing. Empty `reason`: the RFC's phrase."""

    status: int
    reason: str = ""
    headers: HeaderList = ()


class SharedDialog:
    """A dialog and who uses it."""

    __slots__ = ("dialog", "session", "usages")

    def __init__(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self.session: InviteUser | None = None
        self.usages: tuple[Usage, ...] = ()

    def user_of(self, request: Request) -> DialogUser | None:
        for usage in self.usages:
            if usage.takes(request):
                return usage
        return self.session


class SessionHost(Protocol):
    """A session, as far as a part that an extension has put into it needs it.

    agreed_early: the early dialog in which offer and answer are through before the 2xx, by a reliable provisional response.
    """

    agreed_early: Dialog | None
    core: Core
    context: Context
    id: SessionId
    headers: HeaderList
    digest: DigestClient | None

    @property
    def dialog(self) -> Dialog | None:
        """The dialog of the session; None as long as an outgoing one is unanswered."""

    @property
    def opening(self) -> bool:
        """The INVITE that makes the session has no final response."""

    @property
    def reinviting(self) -> bool:
        """An INVITE inside the dialog has no final response, ours or the peer's."""

    def send_bye(self, command: SendBye, now: float) -> None: ...

    def send_reinvite(self, command: SendReinvite, now: float) -> None: ...

    def build(self, dialog: Dialog, method: str, headers: HeaderList = (), body: bytes = b"", content_type: str = "") -> Request:
        """The next request in the dialog."""

    def exchange(self, user: ExchangeUser, dialog: Dialog, request: Request, now: float) -> Exchange:
        """Send it; `user` hears of its outcome."""

    def respond(self, transaction: ServerTransaction, status: int, now: float, reason: str = "", headers: HeaderList = ()) -> Packet: ...

    def heard(self, method: str, response: Response, now: float) -> None:
        """Let all parts see a response to what one of them has sent."""

    def check_dialog(self, response: Response | None, now: float) -> None:
        """End the session when that answer, or the lack of one, tells that its dialog is gone."""

    def release(self, now: float) -> None:
        """Responses that a part has held may go now."""

    def expired(self, now: float) -> None:
        """End the session: it was not refreshed in its time."""


class Extension:
    """What one file adds to the core. Whatever it does not care for has a default.

    capabilities: the methods and option tags that it brings along.
    commands: the types of the commands that are its own.
    """

    capabilities: Capabilities = NOTHING
    commands: tuple[type[ExtensionCommand], ...] = ()

    def attach(self, core: Core) -> None:
        """Once, when the endpoint is made."""
        self.core = core

    def command(self, command: ExtensionCommand, now: float) -> None:
        """One of `commands`. Raises UsageError for values that cannot be put on the wire, before anything is changed."""

    def request_received(self, transaction: ServerTransaction, now: float) -> None:
        """A request outside of dialogs, of a method in `capabilities.outside`. Its form has been checked."""

    def connection_lost(self, flow: Flow, now: float) -> None:
        """An open connection is gone."""

    def knows(self, host: str) -> bool:
        """Whether an address (an IP literal) belongs to somebody who is let in although no list of the user's holds it."""
        return False

    def refuse_invite(self, request: Request) -> Refusal | None:
        """What is wrong with an INVITE that would open a session (422 Session Interval Too Small, RFC 4028 9)."""
        return None

    def session_part(self, session: SessionHost) -> SessionPart | None:
        """Its part in a new session."""
        return None

    def replaced(self, request: Request) -> SessionId | None:
        """The session that such an INVITE is to take over (RFC 3891), once it has not been refused."""
        return None


class Core:
    """What usages stand on: the layers below, the dialogs, and the sessions by name.

    outside: who serves a method outside of dialogs.
    local_tags: ours in the dialogs that live (forks share one).
    """

    def __init__(self, context: Context, extensions: Iterable[Extension] = ()) -> None:
        self.context = context
        self.transactions = Transactions(context)
        self.deliveries = Deliveries(self.transactions)
        self.sessions: dict[SessionId, InviteUser] = {}
        self.dialogs: dict[DialogKey, SharedDialog] = {}
        self.local_tags = Tally()
        self.outside: dict[str, OutsideUser] = {}
        self.extensions = tuple(extensions)
        for extension in self.extensions:
            _check(extension)
            extension.attach(self)
            for method in extension.capabilities.outside:
                self.serve(method, extension)

    def serve(self, method: str, user: OutsideUser) -> None:
        """Raises UsageError when two want the same method outside of dialogs: none of them could know which requests are its own."""
        if self.outside.setdefault(method, user) is not user:
            raise UsageError(f"served outside of dialogs by two: {method}")

    def join(self, dialog: Dialog, usage: Usage) -> None:
        """Let requests of the peer in this dialog find the usage."""
        shared = self._shared(dialog)
        shared.usages = (*shared.usages, usage)

    def join_session(self, dialog: Dialog, session: InviteUser) -> None:
        shared = self._shared(dialog)
        shared.dialog, shared.session = dialog, session

    def leave(self, dialog: Dialog, user: Usage | InviteUser) -> None:
        """The dialog ends with its last user (RFC 5057 4.1)."""
        key = dialog.key
        shared = self.dialogs.get(key)
        if shared is None:
            return
        if shared.session is user:
            shared.session = None
        if shared.usages:
            shared.usages = tuple(usage for usage in shared.usages if usage is not user)
        if shared.session is None and not shared.usages:
            del self.dialogs[key]
            self.local_tags.release(dialog.local_tag)

    def _shared(self, dialog: Dialog) -> SharedDialog:
        key = dialog.key
        shared = self.dialogs.get(key)
        if shared is None:
            shared = self.dialogs[key] = SharedDialog(dialog)
            self.local_tags.hold(dialog.local_tag)
        return shared


def _check(extension: Extension) -> None:
    """Raises UsageError when it announces what it does not carry out: nobody on the wire should be the first to find it."""
    kind = type(extension)
    if extension.commands and kind.command is Extension.command:
        raise UsageError(f"{kind.__name__} has commands and no method `command`")
    if extension.capabilities.outside and kind.request_received is Extension.request_received:
        raise UsageError(f"{kind.__name__} serves {', '.join(extension.capabilities.outside)} and has no method `request_received`")
