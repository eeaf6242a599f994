"""One deadline for each call, the earliest first."""

from __future__ import annotations

from server.calls.deadlines import Deadlines


def test_the_earliest_is_due_first_and_once() -> None:
    deadlines = Deadlines()
    for sid, at in (("CA2", 2.0), ("CA1", 1.0), ("CA3", 3.0)):
        deadlines.arm(sid, at)
    assert deadlines.next_deadline() == 1.0 and len(deadlines) == 3
    assert [deadlines.due(2.0), deadlines.due(2.0), deadlines.due(2.0)] == ["CA1", "CA2", None]
    assert deadlines.next_deadline() == 3.0 and len(deadlines) == 1


def test_what_was_armed_before_is_passed_over() -> None:
    deadlines = Deadlines()
    for at in (1.0, 5.0, 1.0, 3.0):
        deadlines.arm("CA1", at)
    deadlines.arm("CA2", 2.0)
    deadlines.arm("CA2", None)
    assert deadlines.due(2.5) is None and deadlines.next_deadline() == 3.0
    assert [deadlines.due(9.0), deadlines.due(9.0), deadlines.next_deadline()] == ["CA1", None, None]


def test_those_of_the_same_moment_come_in_the_order_in_which_they_were_armed() -> None:
    deadlines = Deadlines()
    for sid in ("CA2", "CA1", "CA3"):
        deadlines.arm(sid, 1.0)
    assert [deadlines.due(1.0) for _ in range(3)] == ["CA2", "CA1", "CA3"]
