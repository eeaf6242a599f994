"""One conference room: who takes part, when it is open, and what each one does meanwhile (behaviour.md 2.10). Pure.

```
  waiting --a moderator has been in, and two are there--> open --one is left--> waiting
     +--------the last one leaves, end--------> ENDED <-----------------------------+
```
Who takes part is a `Member`, who may belong to any call. In an open room members talk, which is to be in the room's mix; otherwise they
wait. One on hold does neither. What somebody is to do from now on is a signal to them; the one who hands signals out is the registry.
A room that is to end tells its members so, and is over when the last of them has left.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from server.calls.names import mix_name


class RoomState(enum.Enum):
    """Values as REST tells them (behaviour.md 2.10)."""

    MODERATOR_ABSENT = "RUNNING_MODERATOR_ABSENT"
    MODERATOR_PRESENT = "RUNNING_MODERATOR_PRESENT"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"


class Place(enum.Enum):
    WAITING = "waiting"
    TALKING = "talking"
    HELD = "held"


class Departure(enum.Enum):
    """Why somebody is sent out of the room. Values as the timeline has them."""

    ENDED = "the conference was ended"
    MODERATOR_LEFT = "somebody left whose leaving ends the conference"
    KICKED = "removed by the operator"
    TIME_LIMIT = "the conference reached its time limit"


@dataclass(frozen=True, slots=True)
class Terms:
    """On which somebody takes part.

    starts: the conference begins with them (startConferenceOnEnter). ends: it ends with them (endConferenceOnExit). beeps_in, beeps_out:
    a tone tells the others of their coming and going.
    """

    starts: bool = True
    ends: bool = False
    muted: bool = False
    beeps_in: bool = True
    beeps_out: bool = True
    label: str | None = None


# --- signals ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody is there to talk with, or the conference has not begun. beep: somebody has just left."""

    beep: bool = False


@dataclass(frozen=True, slots=True)
class Talk:
    """Take part in the mix of this name. beep: the others are to hear of the coming."""

    mix: str
    beep: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Neither hear nor be heard. url: of what is heard instead, a WAV or a document; None: the built-in music, "": silence."""

    url: str | None
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Mute:
    """Be heard no longer, or again."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Modified:
    """What happens when this member leaves is another thing now: nothing to do but to tell of it."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Play a document: to this member, or by this member to all."""

    url: str
    method: str
    to_all: bool


@dataclass(frozen=True, slots=True)
class Go:
    """The room has no place for this member any more."""

    why: Departure


RoomSignal = Wait | Talk | Hold | Mute | Modified | Announce | Go


@dataclass(eq=False, slots=True)
class Member:
    """call: sid of the call that takes part. place: as was told last; None: nothing yet."""

    call: str
    room: Room
    terms: Terms
    muted: bool
    ends: bool
    hold: Hold | None = None
    place: Place | None = None


@dataclass(eq=False, slots=True)
class Room:
    """sid: `CF...`. begins_at: of the first member's entry; seconds of the monotonic clock."""

    sid: str
    account: str
    name: str
    created_at: float
    members: list[Member] = field(default_factory=list)
    begun: bool = False  # somebody has been in with whom the conference begins
    stopping: bool = False
    mix: str = ""  # of the room as long as it is open
    openings: int = 0
    ended_by: str = ""  # sid of the call whose leaving ended it
    _signals: list[tuple[Member, RoomSignal]] = field(default_factory=list)

    # --- what is so -----------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return not self.members

    @property
    def state(self) -> RoomState:
        if self.over:
            return RoomState.COMPLETED
        if self.stopping:
            return RoomState.STOPPING
        moderated = any(member.terms.starts for member in self.members)
        return RoomState.MODERATOR_PRESENT if moderated else RoomState.MODERATOR_ABSENT

    def member(self, call: str) -> Member | None:
        return next((member for member in self.members if member.call == call), None)

    def take_signals(self) -> list[tuple[Member, RoomSignal]]:
        taken, self._signals = self._signals, []
        return taken

    # --- coming and going -----------------------------------------------------------------------------------------

    def enter(self, call: str, terms: Terms) -> Member:
        member = Member(call, self, terms, terms.muted, terms.ends)
        self.members.append(member)
        self.begun = self.begun or terms.starts
        self._settle(entering=member)
        return member

    def leave(self, member: Member) -> bool:
        """In whatever way. False when they were gone already."""
        if member not in self.members:
            return False
        self.members.remove(member)
        self._signals = [(to, signal) for to, signal in self._signals if to is not member]
        if member.ends and self.members and not self.stopping:
            self.ended_by = member.call
            self.stop(Departure.MODERATOR_LEFT)
        else:
            self._settle(beep=member.terms.beeps_out and member.place is Place.TALKING)
        return True

    def stop(self, why: Departure) -> None:
        """Send everybody out."""
        self.stopping = True
        for member in self.members:
            self._tell(member, Go(why))

    def lost(self) -> None:
        """The engine is gone, and the mix with it: the calls of all members end, and nobody need be told of the others."""
        self.stopping = True
        self._signals.clear()

    # --- from outside ---------------------------------------------------------------------------------------------

    def kick(self, member: Member) -> None:
        self._tell(member, Go(Departure.KICKED))

    def mute(self, member: Member, muted: bool) -> None:
        if member.muted != muted:
            member.muted = muted
            self._tell(member, Mute(muted))

    def hold(self, member: Member, hold: Hold | None) -> None:
        """None: no longer."""
        if member.hold != hold:
            member.hold = hold
            member.place = None if hold is not None else member.place  # told again when only the music is another one
            self._settle()

    def modify(self, member: Member, ends: bool) -> None:
        if member.ends != ends:
            member.ends = ends
            self._tell(member, Modified())

    def announce(self, announcement: Announce, member: Member | None = None) -> None:
        """To one, or to all who talk: then one of them plays it to the mix."""
        host = member or next((one for one in self.members if one.place is Place.TALKING), None)
        if host is not None and not self.stopping:
            self._tell(host, announcement)

    # --- what follows ---------------------------------------------------------------------------------------------

    def _settle(self, *, entering: Member | None = None, beep: bool = False) -> None:
        """Tell everyone what is new to them. beep: somebody who could be heard has left."""
        if self.stopping:
            return
        open_ = self.begun and len(self.members) > 1
        if open_ and not self.mix:
            self.openings += 1
            self.mix = mix_name(self.sid, self.openings)
        elif not open_:
            self.mix = ""
        for member in self.members:
            place = Place.HELD if member.hold is not None else Place.TALKING if open_ else Place.WAITING
            if place is member.place:
                continue
            was, member.place = member.place, place
            match place:
                case Place.HELD:
                    assert member.hold is not None
                    self._tell(member, member.hold)
                case Place.TALKING:
                    self._tell(member, Talk(self.mix, beep=member is entering and member.terms.beeps_in))
                case Place.WAITING:
                    self._tell(member, Wait(beep=beep and was is Place.TALKING))

    def _tell(self, member: Member, signal: RoomSignal) -> None:
        self._signals.append((member, signal))
