"""All conference rooms of the server: found by account and name, entered, left, and forgotten when they are empty (behaviour.md 2.10).

The rooms hand out signals; the registry brings each to the call that it is for. What a room tells its application
(`conferences.callbacks`) is asked by the call that it happened to, so it stands in that call's timeline and is waited for with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.calls.conferences.callbacks import RoomCallbacks
from server.calls.conferences.room import Announce, Departure, Hold, Member, Room, RoomSignal, Terms
from server.calls.names import CONFERENCE, new_sid
from server.calls.outbox import Outbox


class Conferences:
    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}  # by sid, with those that are stopping
        self._by_name: dict[tuple[str, str], Room] = {}  # that can be entered
        self._callbacks: dict[str, RoomCallbacks] = {}
        self._deadlines: dict[str, float] = {}
        self._next: float | None = None  # the first of them: asked for after every input of the server
        self._stirred: dict[str, Room] = {}  # that may have signals

    # --- members --------------------------------------------------------------------------------------------------

    def enter(self, outbox: Outbox, name: str, terms: Terms, most: int, callbacks: RoomCallbacks | None = None) -> Member | None:
        """outbox: of the call that enters. most: members that there may be then. None: the room is full."""
        policy = outbox.policy
        key = (policy.account_sid, name)
        room = self._by_name.get(key)
        if room is None or room.stopping:
            room = Room(new_sid(policy, CONFERENCE), *key, outbox.now)
            self.rooms[room.sid] = self._by_name[key] = room
            self._limit(room, outbox.now + policy.conference_time_limit_s)
        elif len(room.members) >= most:
            return None
        if callbacks is not None:
            self._callbacks.setdefault(room.sid, callbacks)  # the first rules
        openings = room.openings
        member = room.enter(outbox.call_sid, terms)
        self._stirred[room.sid] = room
        self.tell(outbox, member, "participant-join")
        if openings == 0 and room.openings:
            self.tell(outbox, member, "conference-start")
        return member

    def leave(self, outbox: Outbox, member: Member) -> None:
        """outbox: of the member's call. Once more is no matter."""
        room = member.room
        if not room.leave(member):
            return
        self._stirred[room.sid] = room
        self.tell(outbox, member, "participant-leave")
        if room.over:
            self.tell(outbox, member, "conference-end")
            del self.rooms[room.sid]
            self._limit(room, None)
            self._callbacks.pop(room.sid, None)
            if self._by_name.get((room.account, room.name)) is room:
                del self._by_name[room.account, room.name]

    def tell(self, outbox: Outbox, member: Member, event: str) -> None:
        """What has come to pass with a member, for the room's status callback."""
        callbacks = self._callbacks.get(member.room.sid)
        if callbacks is not None:
            callbacks.tell(outbox, member, event)

    def take_signals(self) -> list[tuple[Member, RoomSignal]]:
        if not self._stirred:
            return []
        stirred, self._stirred = self._stirred, {}
        return [told for room in stirred.values() for told in room.take_signals()]

    def lost(self) -> None:
        """The engine is gone, with all mixes."""
        for room in self.rooms.values():
            room.lost()

    # --- time -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        return self._next

    def timeout(self, now: float) -> None:
        if self._next is None or now < self._next:
            return
        for room in [self.rooms[sid] for sid, at in self._deadlines.items() if now >= at]:
            self._limit(room, None)
            self._stop(room, Departure.TIME_LIMIT)

    def _limit(self, room: Room, at: float | None) -> None:
        if at is None:
            self._deadlines.pop(room.sid, None)
        else:
            self._deadlines[room.sid] = at
        self._next = min(self._deadlines.values(), default=None)

    def _stop(self, room: Room, why: Departure) -> None:
        if not room.stopping:
            room.stop(why)
            self._stirred[room.sid] = room

    # --- from outside: REST will use these ------------------------------------------------------------------------

    def end_room(self, room: str) -> None:
        """Send everybody out."""
        if room in self.rooms:
            self._stop(self.rooms[room], Departure.ENDED)

    def kick(self, room: str, call: str) -> None:
        for member in self._find(room, call):
            member.room.kick(member)

    def mute(self, room: str, call: str, muted: bool) -> None:
        for member in self._find(room, call):
            member.room.mute(member, muted)

    def hold(self, room: str, call: str, hold: Hold | None) -> None:
        """None: no longer."""
        for member in self._find(room, call):
            member.room.hold(member, hold)

    def ends_on_exit(self, room: str, call: str, ends: bool) -> None:
        """Whether the conference ends when this one leaves."""
        for member in self._find(room, call):
            member.room.modify(member, ends)

    def announce(self, room: str, url: str, method: str, call: str = "") -> None:
        """Play a document to one, or to all who talk."""
        if call:
            for member in self._find(room, call):
                member.room.announce(Announce(url, method, to_all=False), member)
        elif room in self.rooms:
            self._stirred[room] = self.rooms[room]
            self.rooms[room].announce(Announce(url, method, to_all=True))

    def _find(self, room: str, call: str) -> Iterable[Member]:
        """The one, or none: unknown ones are ignored, for they may have left a moment ago."""
        found = self.rooms.get(room)
        member = found.member(call) if found is not None and not found.stopping else None
        if found is None or member is None:
            return ()
        self._stirred[found.sid] = found
        return (member,)
