"""sip.core.timers: the agenda is exact, whatever moves its deadlines."""

from __future__ import annotations

import random

from sip.core.timers import Agenda, Times


class Alarm:
    def __init__(self, agenda: Agenda, log: list[tuple[float, str]], name: str, at: float | None) -> None:
        self.agenda, self.log, self.name, self.at = agenda, log, name, at
        self.armed_at: float | None = None
        agenda.arm(self)

    def deadline(self) -> float | None:
        return self.at

    def expire(self, now: float) -> None:
        self.log.append((now, self.name))
        self.at = None


def test_timeout_is_64_times_t1__rfc3261_table4() -> None:
    assert Times().timeout == 32.0
    assert Times(t1=0.1).timeout == 6.4


def test_deadlines_come_out_in_their_order() -> None:
    agenda, log = Agenda(), list[tuple[float, str]]()
    for name, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        Alarm(agenda, log, name, at)
    agenda.expire(2.5)
    assert log == [(2.5, "a"), (2.5, "b")]
    assert agenda.next_deadline() == 3.0


def test_a_deadline_that_moves_later_does_not_fire_early() -> None:
    agenda, log = Agenda(), list[tuple[float, str]]()
    alarm = Alarm(agenda, log, "a", 1.0)
    alarm.at = 5.0
    assert agenda.next_deadline() == 5.0
    agenda.expire(4.9)
    assert log == []
    agenda.expire(5.0)
    assert log == [(5.0, "a")]


def test_a_deadline_that_moves_earlier_fires_once() -> None:
    agenda, log = Agenda(), list[tuple[float, str]]()
    alarm = Alarm(agenda, log, "a", 5.0)
    alarm.at = 1.0
    agenda.arm(alarm)
    agenda.expire(1.0)
    agenda.expire(10.0)
    assert log == [(1.0, "a")]
    assert agenda.next_deadline() is None


def test_a_cancelled_deadline_is_no_deadline() -> None:
    agenda, log = Agenda(), list[tuple[float, str]]()
    alarm = Alarm(agenda, log, "a", 1.0)
    assert agenda.live() == 1
    alarm.at = None
    assert (agenda.next_deadline(), agenda.live()) == (None, 0)
    agenda.expire(2.0)
    assert log == []


def test_the_agenda_agrees_with_a_plain_list_of_deadlines() -> None:
    rng = random.Random(3)
    agenda, log = Agenda(), list[tuple[float, str]]()
    alarms = [Alarm(agenda, log, str(index), rng.uniform(0, 10)) for index in range(50)]
    for step in range(400):
        now = step / 20
        alarm = rng.choice(alarms)
        alarm.at = rng.choice([None, now + rng.uniform(0, 3)])
        agenda.arm(alarm)
        expected = min((one.at for one in alarms if one.at is not None), default=None)
        assert agenda.next_deadline() == expected
        due = {one.name for one in alarms if one.at is not None and one.at <= now}
        log.clear()
        agenda.expire(now)
        assert {name for _, name in log} == due
