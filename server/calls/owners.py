"""Which call owns which session, stream, recording and outstanding request: whose an event is. Sans-I/O.

Owners are learned from the actions that calls ask for. A leg that changes its call takes its session and its stream along.
"""

from __future__ import annotations

from typing import Any

from media import engine
from server.calls.call import Call
from server.calls.effects import Fetch, Prepare, Synthesize
from server.calls.legs.leg import Leg
from server.calls.names import leg_of
from server.calls.outbox import Action
from sip.core import commands


class Owners:
    def __init__(self) -> None:
        self._by_session: dict[str, Call] = {}
        self._by_stream: dict[str, Call] = {}
        self._by_recording: dict[str, Call] = {}
        self._by_number: dict[int, Call] = {}
        self._owned: dict[str, list[tuple[dict[Any, Call], object]]] = {}  # call sid -> what to forget with it

    def of_session(self, session: str) -> Call | None:
        return self._by_session.get(session)

    def of_stream(self, stream: str) -> Call | None:
        """stream: also the sid of its leg."""
        return self._by_stream.get(stream)

    def of_event(self, event: engine.Event) -> Call | None:
        match event:
            case engine.RecordingStarted() | engine.RecordingEnded():
                return self._by_recording.get(event.recording)
            case engine.Failed():
                return self._by_stream.get(leg_of(event.subject)) or self._by_recording.get(event.subject)
            case engine.PlayEnded() if event.mix:
                return self._by_stream.get(leg_of(event.play))
            case engine.Welcome() | engine.Listing() | engine.Pong():
                return None
            case _:
                return self._by_stream.get(event.stream)

    def answered(self, number: int) -> Call | None:
        """Whose request, or prompt, this was; it is outstanding no longer."""
        return self._by_number.pop(number, None)

    @property
    def requests(self) -> int:
        """Outstanding."""
        return len(self._by_number)

    def learn(self, call: Call, actions: list[Action]) -> None:
        """What the call owns by these actions."""
        for action in actions:
            match action:
                case commands.SendInvite():
                    self._own(call, self._by_session, action.session)
                case engine.Open():
                    self._own(call, self._by_stream, action.stream)
                case engine.Record():
                    self._own(call, self._by_recording, action.recording)
                case Fetch():
                    self._own(call, self._by_number, action.request)
                case Prepare() | Synthesize():
                    self._own(call, self._by_number, action.prompt)
                case _:
                    pass

    def own_session(self, call: Call, session: str) -> None:
        """One that a peer has opened."""
        self._own(call, self._by_session, session)

    def rehome(self, leg: Leg, call: Call) -> None:
        """The leg belongs to this call from now on."""
        self._own(call, self._by_session, leg.session)
        self._own(call, self._by_stream, leg.media.stream)

    def _own(self, call: Call, owners: dict[Any, Call], key: object) -> None:
        owners[key] = call
        self._owned.setdefault(call.sid, []).append((owners, key))

    def forget(self, call: Call) -> None:
        for owners, key in self._owned.pop(call.sid, []):
            if owners.get(key) is call:  # a leg may belong to another call by now
                del owners[key]
