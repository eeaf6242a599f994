"""A verb while it runs: the one protocol by which a call drives any of them, and the results that it understands.

```
  start() ──▶ events: legs, engine, prompts, digits, time ──▶ result
     └──────▶ stop() at any moment ─────────────────────────▶ result
```
A call runs one verb at a time and knows none by name. It hands every event to the verb, looks at `result` after each input, and arms
its `next_deadline`. `stop` is the one way to end a verb from outside: the caller left, the operator or another document wants the leg. A
stopped verb may take a moment (a recording that is written, the answer to a BYE), but it always comes to its result.

A new verb is a file here, with a class that overrides what it needs, and a line in the table of `server.calls.verbs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from media import engine
from rcml.dialect import RCML, Dialect
from rcml.parameters import VoiceFacts
from rcml.verbs import Verb
from server.calls.bridge import Bridge
from server.calls.conferences.conferences import Conferences
from server.calls.conferences.room import Member, RoomSignal
from server.calls.effects import Fetched, Prepared
from server.calls.keys import Keys
from server.calls.legs.leg import Leg
from server.calls.outbox import Outbox
from server.calls.recording import Recording
from server.calls.records import By
from server.calls.results import Broken as Broken
from server.calls.results import Elsewhere as Elsewhere
from server.calls.results import Finished as Finished
from server.calls.results import HungUp as HungUp
from server.calls.results import Refused as Refused
from server.calls.results import Result as Result
from server.calls.signals import Signal
from server.calls.targets import CallerIdentity, Targets
from sip.core import events

V = TypeVar("V", bound=Verb)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a verb is stopped. by, text: for the records of legs that go down with it; reason: of the Reason header that they get.

    abandoned: nobody wants the result, for something else runs on the leg from now on: no action is asked.
    """

    by: By
    text: str = ""
    reason: str | None = None
    abandoned: bool = False


# --- what a verb works with ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stage:
    """A call as its verbs see it. leg: the primary one, on which the script runs. legs, recordings: what lives beside it, by sid.

    conferences: those of the server. verbs: how each is run, for one that runs others itself. keys: what the leg's peer has pressed
    and no verb has taken. voice: what requests to the application say of the call, once it has one. dialect: of the application.
    """

    outbox: Outbox
    leg: Leg
    targets: Targets
    identity: CallerIdentity
    verbs: Mapping[type[Verb], Callable[[Stage, Any], RunningVerb]] = field(default_factory=dict)
    legs: dict[str, tuple[Leg, RunningVerb]] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    keys: Keys = field(default_factory=Keys)
    conferences: Conferences = field(default_factory=Conferences)
    voice: Callable[[], VoiceFacts] | None = None
    dialect: Dialect = RCML

    def adopt(self, leg: Leg, verb: RunningVerb) -> None:
        """From now on the events of this leg go to the verb, until the leg is gone."""
        self.legs[leg.sid] = (leg, verb)

    def beside(self, leg: Leg) -> Stage:
        """For a script on a leg that a verb of this call has adopted."""
        return Stage(
            self.outbox, leg, self.targets, CallerIdentity(leg.from_user, None), self.verbs, {}, self.recordings, dialect=self.dialect
        )

    def record(self, line: int) -> Recording:
        recording = Recording(self.outbox, line)
        self.recordings[recording.sid] = recording
        return recording


class Startable(ABC):
    """What every verb has to say for itself."""

    @abstractmethod
    def start(self) -> None:
        """Once. The leg has been answered, if the verb wants that, and can be heard."""


class RunningVerb(Startable):
    """The protocol, with what most verbs do about most events: nothing."""

    result: Result | None = None
    deadline: float | None = None
    takes_keys: ClassVar[bool] = False  # keys that came before it count; other verbs throw away what they leave behind them
    hands_over: ClassVar[bool] = False  # the leg waits for the end of a transfer that it has asked for
    refer_document: tuple[str, str] | None = None  # URL and method that are asked about a transfer while it runs; None: the number's
    partner: str = ""  # sid of the other call that the leg is linked with

    def signalled(self, signal: Signal) -> None:
        """Something of another call that this verb may have to do with."""

    def told(self, event: events.SessionEvent) -> None:
        """What the peer of the primary leg answers to a REFER or re-INVITE of ours, or tells of such a REFER."""

    def leave(self) -> None:
        """The leg is linked with its partner no more, without either of them being ended."""

    def stop(self, stop: Stop) -> None:
        """Come to an end soon. Called at most once with each `abandoned`; a verb that has its result is not stopped."""
        self.result = Finished()

    def release(self) -> None:
        """The result has been acted on: take back what the caller should hear of first."""

    def next_deadline(self) -> float | None:
        """When `timeout` is due: `deadline`, unless the verb has parts with deadlines of their own."""
        return self.deadline

    def timeout(self) -> None:
        """`next_deadline` has come."""

    def leg_event(self, leg: Leg, event: events.SessionEvent) -> None:
        """Of a leg that the verb has adopted; also after its result, until the leg is gone."""

    def leg_opened(self, leg: Leg, event: engine.Opened) -> None:
        """The stream of such a leg is there."""

    def leg_failed(self, leg: Leg, reason: str) -> None:
        """The engine cannot serve such a leg."""

    def leg_counted(self, leg: Leg, packets_in: int) -> None:
        """How many packets have been heard of such a leg, as was asked of the engine."""

    def leg_vanished(self, leg: Leg, text: str) -> None:
        """Such a leg, an answered one, has fallen silent, and its peer does not answer."""

    def leg_play_ended(self, leg: Leg, event: engine.PlayEnded) -> None:
        """What was playing to such a leg has ended."""

    def leg_digit(self, leg: Leg, event: engine.Digit) -> None:
        """A key of such a leg's peer, by event, as a tone or by INFO."""

    def leg_canceled(self, leg: Leg) -> None:
        """The operator ends such a leg, and it alone."""

    def leg_taken(self, leg: Leg, into: Bridge | None) -> None:
        """Such a leg, an answered one, belongs to another call from now on, and is in that bridge, if any."""

    def caller_connected(self) -> None:
        """The media of the primary leg is connected now: the answer to its late offer has come."""

    def fetched(self, event: Fetched) -> None:
        """An answer of the application has come, maybe to what the verb has asked itself."""

    def prepared(self, event: Prepared) -> None:
        """A prompt that somebody asked for is there, or not."""

    def room_signal(self, member: Member, signal: RoomSignal) -> None:
        """A conference room wants something of one who takes part in it, or has taken part a moment ago."""

    def mix_left(self, mix: str) -> None:
        """The primary leg is in this mix no longer; the engine says so also when nobody asked for it."""

    def play_ended(self, event: engine.PlayEnded) -> None:
        """What was playing to the primary leg has ended."""

    def digit(self, event: engine.Digit) -> None:
        """A key of the primary leg's peer, by whatever way it came, once."""

    def recording_begun(self, recording: Recording) -> None:
        """The first sample of one of the call's has come."""

    def recording_over(self, recording: Recording) -> None:
        """One of the call's has ended."""

    def media_lost(self, text: str) -> None:
        """Nothing can be heard any more, on any leg; the call is ended next (behaviour.md 3.1, media failure)."""


class VerbOf(RunningVerb, Generic[V]):
    """A running verb and what it was made from."""

    def __init__(self, stage: Stage, verb: V) -> None:
        self.stage = stage
        self.outbox = stage.outbox
        self.leg = stage.leg
        self.verb = verb
