"""One running `<Dial>` of a `<Conference>`: one participant of a room (behaviour.md 2.10).

```
  start --> INSIDE --caller leaves, timeLimit, *, the room sends them out--> SETTLING --> OVER
     +--room full, codec that cannot be mixed------------------------------------------^
                                              (SETTLING waits a moment for the end of the recording)
```
Who talks and who waits is the room's matter (`server.calls.conferences`), which sends signals. This verb carries them out on the primary
leg: a seat in the mix, music while there is nobody to talk with, a tone at the door.
"""

from __future__ import annotations

import enum
from typing import assert_never

from media import engine
from rcml.verbs.dial import Dial
from rcml.verbs.nouns import Beep
from server.calls.conferences.callbacks import RoomCallbacks
from server.calls.conferences.room import Announce, Go, Hold, Member, Modified, Mute, Place, RoomSignal, Talk, Terms, Wait
from server.calls.conferences.seat import Seat
from server.calls.effects import Fetched, Json, Kind, Prepare, Prepared
from server.calls.outcome import DialResult
from server.calls.recording import Recording
from server.calls.records import Cause
from server.calls.verbs.dial import LIMIT_MARGIN_S, WAITED_S, RunningDial
from server.calls.verbs.listening import CANNOT_BE_PLAYED, Listening, Output
from server.calls.verbs.running import Finished, RunningVerb, Stage, Stop, VerbOf

NOT_REACHED = 11008  # as for whoever is dialled and cannot be had


class Phase(enum.Enum):
    STARTING = "starting"
    INSIDE = "inside"
    SETTLING = "settling"
    OVER = "over"


def run_dial(stage: Stage, verb: Dial) -> RunningVerb:
    """A Dial by what it dials."""
    return RunningDial(stage, verb) if verb.conference is None else RunningConference(stage, verb)


class RunningConference(VerbOf[Dial]):
    def __init__(self, stage: Stage, verb: Dial) -> None:
        super().__init__(stage, verb)
        noun = verb.conference
        assert noun is not None and stage.voice is not None, "a verb of a document"
        self.phase = Phase.STARTING
        self._noun = noun
        self._voice = stage.voice
        self._member: Member | None = None
        self._place: Place | None = None
        self._seat = Seat(self.leg)
        self._listening = self._new_listening(self.leg.media, "waitUrl")
        self._announcement: Listening | None = None
        self._beep_prompt: int | None = None
        self._beep_file = ""  # of the beepUrl, once it is there
        self._beep_owed = False  # the coming is to be told when it is
        self._beep_play: str | None = None  # heard before the music
        self._recording: Recording | None = None
        self._began_at = self.outbox.now
        self._status = Cause.COMPLETED
        self._answered = False

    def _new_listening(self, output: Output, what: str, *, endless: bool = True) -> Listening:
        dialect = self.stage.dialect
        return Listening(self.outbox, output, self._voice, what, self._noun.line, dialect=dialect, endless=endless)

    # --- start ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        verb, noun = self.verb, self._noun
        facts: dict[str, Json] = {"verb": "Dial", "line": verb.line, "conference": noun.room, "action": verb.action or ""}
        self.outbox.note(Kind.VERB, facts | {"time_limit_s": verb.time_limit_s})
        if self.leg.media.relays:
            text = "The caller speaks a codec that only passes here (G729), and cannot take part in a conference"
            self.outbox.notify(NOT_REACHED, "error", text, line=noun.line)
            self._conclude(Cause.FAILED)
            return
        terms = Terms(
            starts=noun.start_conference_on_enter,
            ends=noun.end_conference_on_exit,
            muted=noun.muted,
            beeps_in=noun.beep not in (Beep.NEITHER, Beep.ON_EXIT),
            beeps_out=noun.beep not in (Beep.NEITHER, Beep.ON_ENTER),
            label=noun.label,
        )
        most = min(noun.max_participants, self.outbox.policy.media.worker_mix_members)
        member = self.stage.conferences.enter(self.outbox, noun.room, terms, most, RoomCallbacks.of(noun))
        if member is None:
            text = f"The conference {noun.room} is full: it has its {most} participants"
            self.outbox.notify(NOT_REACHED, "warning", text, line=noun.line)
            self._conclude(Cause.BUSY)
            return
        self._member, self._answered = member, True
        self.phase = Phase.INSIDE
        self._note("conference", member.room.state.value)
        self.deadline = self.outbox.now + verb.time_limit_s
        self.leg.media.limit(verb.time_limit_s + LIMIT_MARGIN_S)
        if noun.muted:
            self.leg.media.mute(True)
        if noun.beep_url is not None:
            self._beep_prompt = self.outbox.number()
            self.outbox.emit(Prepare(self._beep_prompt, self.outbox.call_sid, noun.beep_url))

    # --- what the room wants --------------------------------------------------------------------------------------

    def room_signal(self, member: Member, signal: RoomSignal) -> None:
        if member is not self._member or self.phase is not Phase.INSIDE:
            return
        if isinstance(signal, Wait | Talk | Hold):
            was = self._place
            self._take_place(signal)
            if (was is Place.HELD) != (self._place is Place.HELD):
                self._tell("participant-hold" if self._place is Place.HELD else "participant-unhold")
            return
        match signal:
            case Mute(muted):
                self.leg.media.mute(muted)
                self._tell("participant-mute" if muted else "participant-unmute")
            case Modified():
                self._tell("participant-modify")
            case Announce():
                self._announce(signal)
            case Go(why):
                self._leave(Cause.COMPLETED, why.value)
            case _:
                assert_never(signal)

    def _take_place(self, signal: Wait | Talk | Hold) -> None:
        self._silence()
        match signal:
            case Talk(mix, beep):
                self._place = Place.TALKING
                own = self._noun.beep_url is not None
                self._beep_owed = beep and own
                self._seat.join(mix, beep=beep and not own)
                self._beep_if_owed()
                self._record()
            case Wait(beep):
                self._place = Place.WAITING
                self._seat.leave(beep=False)
                if beep:
                    self._beep_play = self.leg.media.play_files([self._beep_file], 1) if self._beep_file else self.leg.media.play_beep()
                if self._beep_play is None:
                    self._wait()
            case Hold(url, method):
                self._place = Place.HELD
                self._seat.leave(beep=False)
                self._listening.start(url, method)
            case _:
                assert_never(signal)
        self._note(self._place.value)

    def _wait(self) -> None:
        self._listening.start(self._noun.wait_url, self._noun.wait_method)

    def _silence(self) -> None:
        """What is heard apart from the room's own sound, and what this one plays to the room, is over."""
        if self._announcement is not None:
            self._announcement.stop()
            self._announcement = None
        self._listening.stop()
        if self._beep_play is not None:
            self._beep_play = None
            self.leg.media.stop_playing()

    def _beep_if_owed(self) -> None:
        if self._beep_owed and self._beep_file:
            self._beep_owed = False
            self._seat.play_files([self._beep_file], 1)

    # --- announcements --------------------------------------------------------------------------------------------

    def _announce(self, signal: Announce) -> None:
        """To all it is played by one of them, and ends with that one's leaving; to one it takes the place of what they hear."""
        if signal.to_all and not self._seat.mix:
            return
        self._silence()
        output: Output = self._seat if signal.to_all else self.leg.media
        self._announcement = self._new_listening(output, "announceUrl", endless=False)
        self._announcement.start(signal.url, signal.method)

    def _look_at_announcement(self) -> None:
        told = self._announcement
        if told is None or not told.over:
            return
        self._announcement = None
        self._tell("announcement-fail" if told.failed else "announcement-end")
        member = self._member
        if self._place is Place.WAITING:
            self._wait()
        elif self._place is Place.HELD and member is not None and member.hold is not None:
            self._listening.start(member.hold.url, member.hold.method)

    # --- events ---------------------------------------------------------------------------------------------------

    @property
    def _sounds(self) -> list[Listening]:
        return [self._listening] if self._announcement is None else [self._listening, self._announcement]

    def fetched(self, event: Fetched) -> None:
        for sound in self._sounds:
            sound.fetched(event)
        self._look_at_announcement()

    def prepared(self, event: Prepared) -> None:
        if event.prompt == self._beep_prompt:
            self._beep_prompt = None
            self._beep_file = event.path
            if not event.path:
                text = f"beepUrl {self._noun.beep_url} cannot be played: {event.detail or event.error}; the built-in tone is used"
                self.outbox.notify(CANNOT_BE_PLAYED, "warning", text, url=self._noun.beep_url or "", line=self._noun.line)
            self._beep_if_owed()
            return
        for sound in self._sounds:
            sound.prepared(event)
        self._look_at_announcement()

    def play_ended(self, event: engine.PlayEnded) -> None:
        if event.play == self._beep_play:
            self._beep_play = None
            self._wait()
            return
        for sound in self._sounds:
            sound.play_ended(event)
        self._look_at_announcement()

    def digit(self, event: engine.Digit) -> None:
        if event.digit == "*" and self.verb.hangup_on_star and self.phase is Phase.INSIDE:
            self._leave(Cause.COMPLETED, "* was pressed")

    def mix_left(self, mix: str) -> None:
        """Nobody asked for it: the engine has lost the mix."""
        if self._seat.left(mix) and self.phase is Phase.INSIDE:
            self._seat.lost()
            self._leave(Cause.FAILED, "Media failure")

    def recording_over(self, recording: Recording) -> None:
        if recording is self._recording and self.phase is Phase.SETTLING:
            self._conclude(self._status)

    def next_deadline(self) -> float | None:
        times = (self.deadline, *(sound.deadline for sound in self._sounds))
        return min((at for at in times if at is not None), default=None)

    def timeout(self) -> None:
        now = self.outbox.now
        for sound in self._sounds:
            sound.timeout(now)
        self._look_at_announcement()
        if self.deadline is None or now < self.deadline:
            return
        self.deadline = None
        if self.phase is Phase.SETTLING:
            self._conclude(self._status)
        elif self.phase is Phase.INSIDE:
            self.outbox.note(Kind.STATE, {"status": "time-limit", "seconds": self.verb.time_limit_s})
            self._leave(Cause.COMPLETED, "timeLimit reached")

    # --- endings --------------------------------------------------------------------------------------------------

    def stop(self, stop: Stop) -> None:
        """The caller has left, or is wanted elsewhere."""
        if self.phase is Phase.INSIDE:
            self._leave(Cause.COMPLETED, stop.text or "left", abandoned=stop.abandoned)
        elif self.phase is Phase.SETTLING and stop.abandoned:
            self._conclude(self._status)

    def media_lost(self, text: str) -> None:
        if self.phase is Phase.INSIDE:
            self._leave(Cause.FAILED, text)

    def _leave(self, status: Cause, why: str, *, abandoned: bool = False) -> None:
        assert self._member is not None
        self.phase = Phase.SETTLING
        self._status = status
        self._silence()
        beep = self._member.terms.beeps_out
        if beep and self._beep_file:
            self._seat.play_files([self._beep_file], 1)
        self._seat.leave(beep=beep and not self._beep_file)
        if self._member.muted:
            self.leg.media.mute(False)  # what follows is another matter
        if self.leg.session_open:
            self.leg.media.limit(None)
        if self._recording is not None:
            self._recording.stop()
        self._note("conference-left", why)
        self.stage.conferences.leave(self.outbox, self._member)
        if self._recording is not None and not self._recording.over and not abandoned:
            self.deadline = self.outbox.now + self.outbox.policy.recording_wait_s
        else:
            self._conclude(status)

    def _conclude(self, status: Cause) -> None:
        if self.result is not None:
            return
        self.phase = Phase.OVER
        self.deadline = None
        recording_url = self._recording.url if self._recording is not None else None
        result = DialResult(status, self._answered, duration_s=None, ring_duration_s=None, recording_url=recording_url)
        self.outbox.note(Kind.OUTCOME, {"event": "dial", "status": status.value, "conference": self._noun.room})
        waited = self.outbox.now >= self._began_at + WAITED_S
        self.result = Finished(answered=self._answered, waited=waited, dial=result)

    # --- what is told and kept ------------------------------------------------------------------------------------

    def _record(self) -> None:
        """From the moment on in which there is somebody to hear."""
        own = self.verb.record
        wanted = own is not None or self._noun.record
        if wanted and self._recording is None and self.outbox.policy.recordings_dir:
            channels, callback = (own.channels, own.callback) if own is not None else (None, None)
            self._recording = self.stage.record(self.verb.line)
            self._recording.start(stream=self.leg.media.stream, channels=channels, callback=callback)

    def _tell(self, event: str) -> None:
        if self._member is not None:
            self.stage.conferences.tell(self.outbox, self._member, event)

    def _note(self, status: str, why: str = "") -> None:
        assert self._member is not None
        facts: dict[str, Json] = {"status": status, "room": self._member.room.sid, "name": self._noun.room}
        self.outbox.note(Kind.STATE, facts | ({"reason": why} if why else {}))
