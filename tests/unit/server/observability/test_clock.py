"""Wall time follows the machine's clock when that is set."""

from __future__ import annotations

import logging

import pytest

from server.observability.clock import WallClock, iso

BOOT, TODAY = 100.0, 1_800_000_000.0


class Machine:
    """A clock that can be set: monotonic and wall seconds."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 10.0, BOOT

    def read(self) -> tuple[float, float]:
        return self.monotonic, self.wall

    def passes(self, seconds: float, slewed_s: float = 0.0) -> None:
        self.monotonic += seconds
        self.wall += seconds + slewed_s


def wall(clock: WallClock, monotonic: float) -> float:
    return clock.at(monotonic).timestamp()


def test_a_fixed_pair_maps_every_moment() -> None:
    clock = WallClock(monotonic=100.0, wall=TODAY)
    assert wall(clock, 90.5) == TODAY - 9.5
    assert clock.iso(100.25) == iso(clock.at(100.25)) == "2027-01-15T08:00:00.250Z"


def test_a_boot_before_ntp_spoils_no_stamp_after_it(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = WallClock(*machine.read(), machine.read)
    assert wall(clock, 10.0) == BOOT
    machine.passes(5.0)
    machine.wall = TODAY  # NTP has found its servers
    with caplog.at_level(logging.WARNING):
        assert wall(clock, 15.0) == TODAY
        assert wall(clock, 12.0) == TODAY - 3.0  # what was before is told in the right time too
        machine.passes(1.0)
        assert wall(clock, 16.0) == TODAY + 1.0
    assert [record.message for record in caplog.records] == ["clock_was_set"]


def test_a_clock_that_is_set_back_is_followed_as_well() -> None:
    machine = Machine()
    clock = WallClock(*machine.read(), machine.read)
    machine.wall -= 50.0
    assert wall(clock, 10.0) == BOOT - 50.0


def test_slow_corrections_add_up_until_they_matter() -> None:
    machine = Machine()
    clock = WallClock(*machine.read(), machine.read)
    machine.passes(100.0, slewed_s=0.05)
    assert wall(clock, 110.0) == BOOT + 100.0  # less than anybody sees
    machine.passes(100.0, slewed_s=0.07)
    assert wall(clock, 210.0) == pytest.approx(BOOT + 200.12)


def test_a_process_that_waits_between_the_two_clocks_takes_that_for_no_step(caplog: pytest.LogCaptureFixture) -> None:
    machine, delays = Machine(), [0.0, 0.3, 0.0, 0.2, 0.0]
    clock = WallClock(*machine.read(), lambda: (machine.monotonic, machine.wall + (delays.pop(0) if delays else 0.0)))
    assert [wall(clock, 10.0) for _ in range(3)] == [BOOT] * 3
    assert caplog.records == []


def test_a_pinned_clock_keeps_moments_in_order() -> None:
    machine = Machine()
    clock = WallClock(*machine.read(), machine.read)
    machine.wall = TODAY
    pinned = clock.pinned()
    machine.wall = BOOT
    assert wall(pinned, 11.0) == TODAY + 1.0
    assert wall(clock, 11.0) == BOOT + 1.0


def test_the_machines_own_clock_is_read() -> None:
    import time

    assert abs(wall(WallClock.here(), time.monotonic()) - time.time()) < 0.5
