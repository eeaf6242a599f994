"""An INVITE that takes over a dialog of ours (Replaces, RFC 3891): which one, and whether it may be had at all.

Whether its sender may do that, and what becomes of the two sessions, is the user's: `InviteReceived.replaces` names the session.
"""

from __future__ import annotations

from sip.core.capabilities import Capabilities
from sip.core.commands import SessionId
from sip.core.incoming import DialogKey
from sip.core.parts import SessionPart
from sip.core.usage import Extension, InviteUser, Refusal, SessionHost
from sip.message import ParseError, Replaces, Request, replaces_of

MAX_ENDED = 1000  # dialogs that were ended, the oldest forgotten first: who names one of them gets 603, not 481


class Replacing(Extension):
    """RFC 3891 3."""

    capabilities = Capabilities(inside=(), option_tags=("replaces",))

    def __init__(self) -> None:
        self._ended: dict[DialogKey, None] = {}

    def refuse_invite(self, request: Request) -> Refusal | None:
        try:
            replaces = replaces_of(request.headers)
        except ParseError as error:
            return Refusal(400, f"Replaces {error.reason}")
        if replaces is None:
            return None
        if _key(replaces) in self._ended:
            return Refusal(603)
        session = self._session(replaces)
        if session is None:
            return Refusal(481)
        if not session.opening:
            return Refusal(486) if replaces.early_only else None
        mine = session.dialog is None  # early, and begun by us: the other kind cannot be replaced
        return None if mine else Refusal(481)

    def replaced(self, request: Request) -> SessionId | None:
        replaces = replaces_of(request.headers)
        session = None if replaces is None else self._session(replaces)
        return None if session is None else session.id

    def session_part(self, session: SessionHost) -> SessionPart:
        return _Remembered(self, session)

    def remember(self, key: DialogKey) -> None:
        if len(self._ended) >= MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[key] = None

    def _session(self, replaces: Replaces) -> InviteUser | None:
        shared = self.core.dialogs.get(_key(replaces))
        return None if shared is None else shared.session


class _Remembered(SessionPart):
    """Tells of a dialog that was ended."""

    __slots__ = ("_extension", "_session")

    def __init__(self, extension: Replacing, session: SessionHost) -> None:
        super().__init__()
        self._extension = extension
        self._session = session

    def close(self, now: float) -> None:
        if self._session.dialog is not None and not self._session.opening:
            self._extension.remember(self._session.dialog.key)


def _key(replaces: Replaces) -> DialogKey:
    return (replaces.call_id, replaces.to_tag, replaces.from_tag)
