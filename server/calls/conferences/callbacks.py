"""The status callback of a conference room: one request for each event that its application wants to hear of."""

from __future__ import annotations

from dataclasses import dataclass, field

from rcml.verbs.dial import Conference
from server.calls.conferences.room import Member
from server.calls.outbox import Outbox

# What happens, by the name under which a document asks for it (statusCallbackEvent).
EVENTS: dict[str, str] = {
    "conference-start": "start",
    "conference-end": "end",
    "participant-join": "join",
    "participant-leave": "leave",
    "participant-mute": "mute",
    "participant-unmute": "mute",
    "participant-hold": "hold",
    "participant-unhold": "hold",
    "participant-modify": "modify",
    "announcement-end": "announcement",
    "announcement-fail": "announcement",
}


@dataclass(slots=True)
class RoomCallbacks:
    """url, method, events: of the first participant that named any."""

    url: str
    method: str
    events: tuple[str, ...]
    _sent: int = field(default=0)

    @classmethod
    def of(cls, noun: Conference) -> RoomCallbacks | None:
        url = noun.status_callback
        return None if url is None else cls(url, noun.status_callback_method, noun.status_callback_events)

    def tell(self, outbox: Outbox, member: Member, event: str) -> None:
        """event: a key of EVENTS. outbox: of the call that it happened to, in whose timeline it stands."""
        if EVENTS[event] not in self.events:
            return
        room, policy = member.room, outbox.policy
        values: list[tuple[str, str | None]] = [
            ("ConferenceSid", room.sid),
            ("FriendlyName", room.name),
            ("AccountSid", room.account),
            ("Timestamp", policy.wall_rfc2822(outbox.now)),
            ("SequenceNumber", str(self._sent)),
            ("StatusCallbackEvent", event),
        ]
        if event == "conference-end":
            early = room.ended_by or None
            reason = "participant-with-end-conference-on-exit-left" if early else "conference-ended-via-api" if room.stopping else None
            values.append(("ReasonConferenceEnded", reason or "last-participant-left"))
            values.append(("CallSidEndingConference", early or member.call))
        elif event != "conference-start":
            values += [
                ("CallSid", member.call),
                ("ParticipantLabel", member.terms.label),
                ("Muted", _truth(member.muted)),
                ("Hold", _truth(member.hold is not None)),
                ("StartConferenceOnEnter", _truth(member.terms.starts)),
                ("EndConferenceOnExit", _truth(member.ends)),
            ]
        self._sent += 1
        parameters = tuple((name, value) for name, value in values if value is not None)
        outbox.ask("conference-status", self.url, self.method, parameters)


def _truth(value: bool) -> str:
    return "true" if value else "false"
