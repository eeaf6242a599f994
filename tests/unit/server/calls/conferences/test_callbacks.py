"""What a room tells its application, and with which parameters (docs/rcml.md)."""

from __future__ import annotations

import random

from rcml.verbs.dial import Conference
from server.calls.conferences.callbacks import EVENTS, RoomCallbacks
from server.calls.conferences.room import Room, Terms
from server.calls.effects import Fetch
from server.calls.outbox import Outbox
from tests.support.shell import policy


def asked(events: tuple[str, ...], *told: str) -> list[Fetch]:
    box = Outbox(policy(random.Random(1), "192.0.2.1", account_sid="AC1"), "CA1", lambda: 1, 0.0)
    callbacks = RoomCallbacks("http://app/room", "GET", events)
    member = Room("CF1", "AC1", "blue", 0.0).enter("CA1", Terms(muted=True, label="agent"))
    for event in told:
        callbacks.tell(box, member, event)
    return [action for action in box.drain() if isinstance(action, Fetch)]


def test_only_what_was_asked_for_is_told_and_counted__rcml_md() -> None:
    requests = asked(("mute", "end"), "participant-join", "participant-mute", "participant-unmute", "conference-end")
    told = [dict(request.parameters) for request in requests]
    assert [(one["StatusCallbackEvent"], one["SequenceNumber"]) for one in told] == [
        ("participant-mute", "0"),
        ("participant-unmute", "1"),
        ("conference-end", "2"),
    ]
    assert {(request.url, request.method, request.purpose) for request in requests} == {("http://app/room", "GET", "conference-status")}


def test_a_participant_is_described__rcml_md() -> None:
    (request,) = asked(("join",), "participant-join")
    told = dict(request.parameters)
    told.pop("Timestamp")
    assert told == {
        "ConferenceSid": "CF1",
        "FriendlyName": "blue",
        "AccountSid": "AC1",
        "SequenceNumber": "0",
        "StatusCallbackEvent": "participant-join",
        "CallSid": "CA1",
        "ParticipantLabel": "agent",
        "Muted": "true",
        "Hold": "false",
        "StartConferenceOnEnter": "true",
        "EndConferenceOnExit": "false",
    }


def test_every_event_has_a_name_that_documents_know__rcml_md() -> None:
    assert set(EVENTS.values()) == set(Conference(1, "blue").status_callback_events)
    assert RoomCallbacks.of(Conference(1, "blue")) is None
