"""The rules of the heartbeat, in beats."""

from __future__ import annotations

from media.heartbeat import BEAT_S, Beat, Heartbeat


def beats(heartbeat: Heartbeat, seconds: float) -> list[Beat]:
    return [heartbeat.beat() for _ in range(round(seconds / BEAT_S))]


def test_a_worker_that_talks_by_itself_is_not_asked() -> None:
    heartbeat = Heartbeat(10)
    for _ in range(100):
        assert heartbeat.beat() is Beat.WELL
        heartbeat.heard()


def test_a_silent_one_is_asked_then_hung_after_2_s_then_replaced__issue_hung_worker() -> None:
    heartbeat = Heartbeat(10)
    assert beats(heartbeat, 10) == [Beat.WELL] + [Beat.ASK] * 2 + [Beat.HUNG] * 16 + [Beat.REPLACE]
    assert heartbeat.hung


def test_any_word_makes_it_well() -> None:
    heartbeat = Heartbeat(10)
    beats(heartbeat, 5)
    assert heartbeat.hung
    heartbeat.heard()
    assert (heartbeat.hung, heartbeat.silent_s) == (False, 0)


def test_a_pause_of_our_own_is_one_beat_however_long() -> None:
    heartbeat = Heartbeat(10)
    assert heartbeat.beat() is Beat.WELL  # the loop stood still for a minute, and came back with this one


def test_none_is_replaced_before_it_was_refused_calls() -> None:
    assert beats(Heartbeat(0), 2)[-1] is Beat.REPLACE
