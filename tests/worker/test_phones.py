"""The sense of time of the phones of these tests, without a worker: what is read late came when it came, who leaves late says so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time

import pytest

from tests.support import sound
from tests.support.pace import PACE, HeldUp, Pace, counts_waiting
from tests.support.rtp import DIGITS, RtpEndpoint, build_packet

pytestmark = pytest.mark.worker


def datagrams() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    return one


def stall(seconds: float) -> None:
    """Nothing of the event loop runs meanwhile."""
    time.sleep(seconds)


async def test_a_packet_that_is_read_late_came_when_it_came() -> None:
    async with await RtpEndpoint.open() as phone:
        sent = []
        with datagrams() as sender:
            for sequence in range(3):
                before = time.monotonic()
                sender.sendto(build_packet(0, sequence, 160 * sequence, 1, bytes(160)), (phone.host, phone.port))
                sent.append((before, time.monotonic()))
                stall(0.05)
        packets = await phone.until(3)
    for packet, (before, after) in zip(packets, sent, strict=True):
        assert before - 0.001 < packet.at < after + 0.001


async def test_a_phone_that_leaves_late_says_so() -> None:
    async with await RtpEndpoint.open() as phone:
        with datagrams() as listener:
            phone.send_to(listener.getsockname())
            await asyncio.sleep(0.05)
            stall(0.1)
            await asyncio.sleep(0.05)
    assert phone.late_s > 0.07
    assert PACE.worst() > 0.07


async def test_what_has_no_room_is_counted_as_dropped_and_not_as_lost() -> None:
    async with await RtpEndpoint.open() as phone:
        assert phone._media
        phone._media._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with datagrams() as sender:
            for sequence in range(50):
                sender.sendto(build_packet(0, sequence, 160 * sequence, 1, bytes(160)), (phone.host, phone.port))
            await asyncio.sleep(0.05)
            sender.sendto(build_packet(0, 50, 8000, 1, bytes(160)), (phone.host, phone.port))
            await asyncio.sleep(0.05)
    assert phone.dropped > 0 and len(phone.packets) + phone.dropped == 51


async def test_what_is_missing_is_told_and_no_stall_excuses_it() -> None:
    async with await RtpEndpoint.open() as phone:
        with datagrams() as sender:
            for sequence in (65534, 65535, 0, 3, 2, 4):  # number 1 is missing
                sender.sendto(build_packet(0, sequence, 160 * sequence, 1, bytes(160)), (phone.host, phone.port))
            sender.sendto(build_packet(0, 7000, 0, 2, bytes(160)), (phone.host, phone.port))
        await phone.until(7)
        PACE.note(1.0, "a phone")
        with pytest.raises(AssertionError, match="7 packets, 1 missing") as failure:
            await phone.hears(sound.chirp_up(), timeout_s=0)
        assert phone.missing() == 1 and not isinstance(failure.value, HeldUp)
        assert phone.missing(since=4) == 1 and phone.missing(since=6) == 0
        with pytest.raises(HeldUp):
            await phone.hears(sound.chirp_up(), since=6, timeout_s=0)


async def send_keys(phone: RtpEndpoint, keys: str) -> None:
    with datagrams() as sender:
        for number, key in enumerate(keys):
            packet = build_packet(101, number, 1600 * number, 1, bytes([DIGITS.index(key), 0x8A, 3, 32]))
            for _ in range(3):
                sender.sendto(packet, (phone.host, phone.port))
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("keys", ["155", "1", "15"])
async def test_a_key_heard_twice_or_not_at_all_is_a_failure_whatever_the_pace(keys: str) -> None:
    async with await RtpEndpoint.open() as phone:
        await send_keys(phone, keys)
        PACE.note(1.0, "a phone")
        with contextlib.nullcontext() if keys == "15" else pytest.raises(AssertionError) as failure:
            await phone.hears_digits("15", settle_s=0.05, timeout_s=0.1)
    assert failure is None or not isinstance(failure.value, HeldUp)


# --- the machine ----------------------------------------------------------------------------------------------------

BUSY = "import time; end = time.monotonic() + 0.6\nwhile time.monotonic() < end: pass"


@pytest.mark.skipif(not counts_waiting(), reason="this kernel does not count for how long threads wait")
def test_a_thread_that_waits_for_a_processor_is_measured_and_one_that_sleeps_is_not() -> None:
    """Three that would run on one processor hold each other up; a sleeper beside them wants none."""
    pace, began = Pace(), time.monotonic()
    processor = {min(os.sched_getaffinity(0))}
    with contextlib.ExitStack() as stack:

        def start(code: str, name: str) -> subprocess.Popen[bytes]:
            process = stack.enter_context(subprocess.Popen([sys.executable, "-S", "-c", code]))
            os.sched_setaffinity(process.pid, processor)
            pace.watch(process.pid, name)
            return process

        running = [start(BUSY, "the busy") for _ in range(3)]
        sleeper = start("import time; time.sleep(0.5)", "the sleeper")
        for process in (*running, sleeper):
            process.wait()
    waited = {name: sum(stall.seconds for stall in pace.within(began) if stall.who == name) for name in ("the busy", "the sleeper")}
    assert waited["the busy"] > 0.3
    assert waited["the sleeper"] < waited["the busy"] / 3  # what it takes to start
