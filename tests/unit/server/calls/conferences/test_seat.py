"""A leg's place in a mix."""

from __future__ import annotations

from media import engine
from server.calls.conferences.seat import Seat
from server.calls.legs.leg import Leg
from tests.unit.server.calls.legs.legs import Legs


def connected_leg() -> Leg:
    legs = Legs()
    return legs.talking(legs.outbox())[0]


def in_a_bridge(leg: Leg) -> bool:
    return leg.bridge is not None


def test_a_seat_is_the_legs_bridge_as_long_as_it_is_in_a_mix__media_md() -> None:
    leg = connected_leg()
    seat = Seat(leg)
    leg.outbox.drain()
    assert not in_a_bridge(leg) and seat.play_files(["/a.wav"], 1) is None
    seat.join("CF1-1", beep=True)
    assert in_a_bridge(leg) and seat.heard_by(leg) and not seat.talking and leg.peer is None
    play = seat.play_files(["/a.wav"], 1)
    seat.stop_playing()
    seat.leave(beep=False)
    seat.leave(beep=False)
    assert not in_a_bridge(leg) and not seat.heard_by(leg)
    sent = [action for action in leg.outbox.drain() if isinstance(action, engine.Join | engine.Leave | engine.Play | engine.StopPlay)]
    assert sent == [
        engine.Join(mix="CF1-1", stream=leg.sid, beep=True),
        engine.Play(mix="CF1-1", play=play or "", files=["/a.wav"]),
        engine.StopPlay(mix="CF1-1", play=play or ""),
        engine.Leave(mix="CF1-1", stream=leg.sid),
    ]


def test_only_a_leaving_that_nobody_asked_for_is_news__media_md() -> None:
    seat = Seat(connected_leg())
    seat.join("CF1-1", beep=False)
    seat.leave(beep=False)
    seat.join("CF1-1", beep=False)
    assert [seat.left("CF1-1"), seat.left("CF1-1"), seat.left("CF1-2")] == [False, True, False]
