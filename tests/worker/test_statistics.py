"""What the worker knows of a stream's quality, and what it takes of its peer: statistics, reports, the limit of packets."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.engine import Bridge, Close, Closed, Codec, Opened, Play, StreamStats
from tests.support import sound
from tests.support.pace import PACE, judged_by_time
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import Controller, Worker, running

pytestmark = pytest.mark.worker

L16 = Codec(payload_type=96, name="L16", clock_rate_hz=16000)
NTP_EPOCH_S = 2_208_988_800


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    async with running(tmp_path, "--threads", "1") as worker:
        yield worker


async def report(phone: RtpEndpoint, timeout_s: float = 8.0) -> bytes:
    """The next control packet that the phone hears."""
    for _ in range(round(timeout_s / 0.02)):
        if phone.rtcp:
            return phone.rtcp.pop(0)[0]
        await asyncio.sleep(0.02)
    raise AssertionError("no report")


def block(ssrc: int, fraction: int, lost: int, jitter: int, last: int = 0, delay: int = 0) -> bytes:
    return struct.pack("!IIIIII", ssrc, fraction << 24 | lost & 0xFFFFFF, 0, jitter, last, delay)


def receiver_report(*blocks: bytes) -> bytes:
    return struct.pack("!BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), 77) + b"".join(blocks)


def voip_metrics(ssrc: int, loss: int, discard: int, burst_density: int) -> bytes:
    """An extended report with one VoIP metrics block (RFC 3611 4.7)."""
    body = struct.pack("!IBBBBHHHH", ssrc, loss, discard, burst_density, 0, 200, 2000, 30, 120)
    return struct.pack("!BBHI", 0x80, 207, 10, 77) + struct.pack("!BBH", 7, 0, 8) + body + bytes([127] * 8) + bytes(8)


def talk(opened: Opened, phone: RtpEndpoint) -> None:
    phone.send_to((opened.address, opened.port))


# --- quality ------------------------------------------------------------------------------------------------------


async def test_every_second_is_told_once_and_a_clean_call_is_good(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        opened = [await media.open(name, call="CA") for name in ("a", "b")]
        media.connect_to("a", alice, stats_interval_ms=1000)
        media.connect_to("b", bob)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        talk(opened[0], alice)
        talk(opened[1], bob)
        told = [await media.expect(StreamStats, stream="a") for _ in range(3)]
        numbers = [second.number for stats in told for second in stats.seconds]
        assert numbers == list(range(len(numbers))) and len(numbers) >= 3
        last = told[-1].seconds[-1]
        assert last.lost == 0
        with judged_by_time():
            assert 40 <= last.received <= 60
            assert 4.3 < last.mos_in <= 4.5 and 4.3 < last.mos_out <= 4.5
        assert media.seen(StreamStats)[-1].stream == "a"  # nobody asked for those of "b"
        media.send(Close(stream="a"))
        quality = (await media.expect(Closed, stream="a")).quality
        assert quality.seconds >= 3 and quality.worst_in <= quality.mos_in + 0.01
        with judged_by_time():
            assert quality.mos_in > 4.3 and quality.worst_in > 4.3
        assert (await media.stats("b")).seconds[0].number == 0


async def test_what_is_lost_and_what_the_peer_reports_are_heard_apart(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        at = await media.open("a")
        media.connect_to("a", alice)
        media.send(Play(stream="a", play="p", tone="ringback", loop=0))
        for sequence in range(200):  # one of ten is missing
            if sequence % 10 != 7:
                alice.send_raw(build_packet(0, sequence, 160 * sequence, 1, bytes(160)), (at.address, at.port))
            await asyncio.sleep(0.02)
        stats = await media.stats("a")
        heard = [second for second in stats.seconds if second.lost]
        with judged_by_time():
            assert heard and min(second.mos_in for second in heard) < 4.1
            assert stats.quality.worst_in < 4.1 < stats.quality.mos_out
        assert stats.counters.lost_in == pytest.approx(19.5, abs=1)
        assert (stats.play, stats.position_ms > 3000) == ("p", True)
        # The peer hears worse: first its report says so, then its own measurement.
        ssrc = alice.packets[0].ssrc
        target = (at.address, at.rtcp_port)
        assert alice._control
        alice._control.sendto(receiver_report(block(ssrc, 26, 30, 160)), target)
        await asyncio.sleep(1.1)
        second = (await media.stats("a")).seconds[-1]
        assert second.remote_loss == pytest.approx(26 / 256, abs=0.01) and second.remote_jitter_ms == 20.0
        assert 1 < second.mos_out < 4.0
        alice._control.sendto(receiver_report(block(ssrc, 0, 30, 160)) + voip_metrics(ssrc, 13, 51, 120), target)
        await asyncio.sleep(1.1)
        worse = (await media.stats("a")).seconds[-1]
        assert worse.remote_loss == 0.25 and worse.mos_out < second.mos_out
        # A measurement of some other stream is none of ours.
        alice._control.sendto(receiver_report(block(ssrc, 0, 30, 0)) + voip_metrics(ssrc + 1, 100, 100, 120), target)
        await asyncio.sleep(1.1)
        assert (await media.stats("a")).seconds[-1].remote_loss == 0.0


async def test_packets_that_came_too_late_for_the_jitter_buffer_are_told(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        opened = [await media.open(name, call="CA") for name in ("a", "b")]
        media.connect_to("a", alice)
        media.connect_to("b", bob, [L16])
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await media.synchronize()
        withheld: list[bytes] = []
        for sequence in range(200):
            packet = build_packet(0, sequence, 160 * sequence, 1, bytes([0x55]) * 160)
            if sequence in (60, 100, 140):  # half a second after its time
                withheld.append(packet)
            else:
                alice.send_raw(packet, (opened[0].address, opened[0].port))
            if sequence in (85, 125, 165):
                alice.send_raw(withheld.pop(), (opened[0].address, opened[0].port))
            await asyncio.sleep(0.02)
        stats = await media.stats("a")
        late = [second for second in stats.seconds if second.late]
        with judged_by_time():
            assert 1 <= sum(second.late for second in late) <= 3
            assert min(second.mos_in for second in late) < max(second.mos_in for second in stats.seconds) - 0.1
        assert len(bob.packets) > 100


async def test_a_silent_second_has_no_opinion(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        await media.open("a")
        media.connect_to("a", alice)
        await asyncio.sleep(1.3)
        stats = await media.stats("a")
        assert {(second.mos_in, second.mos_out) for second in stats.seconds} == {(-1.0, -1.0)}
        with judged_by_time(allowed_s=0.2):
            assert len(stats.seconds) == 1
        assert (stats.quality.mos_in, stats.quality.worst_out) == (-1.0, -1.0)
        assert (stats.play, stats.position_ms) == ("", 0)


async def test_no_more_seconds_are_kept_than_are_told_at_once(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        at = await media.open("a")
        media.connect_to("a", alice)
        talk(at, alice)
        await asyncio.sleep(2.2)
        first = await media.stats("a")
        again = await media.stats("a")
        with judged_by_time(allowed_s=0.2):
            assert len(first.seconds) == 2 and again.seconds == []


# --- reports ------------------------------------------------------------------------------------------------------


async def test_a_sender_report_says_what_was_sent_and_what_was_lost__rfc3550_6_4_1(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        at = await media.open("a")
        media.connect_to("a", alice)
        media.send(Play(stream="a", play="p", tone="ringback", loop=0))
        sent = 0
        while not alice.rtcp:  # every fourth is lost
            if sent % 4:
                alice.send_raw(build_packet(0, sent, 160 * sent, 0xABCD, bytes(160)), (at.address, at.port))
            sent += 1
            due = asyncio.get_running_loop().time() + 0.02
            await asyncio.sleep(0.02)
            PACE.note(asyncio.get_running_loop().time() - due, "a phone")
        heard = len(alice.packets)
        packet = await report(alice)
        kind, words, ssrc, seconds, _, timestamp, packets, octets = struct.unpack_from("!xBHIIIIII", packet)
        assert (kind, words, ssrc) == (200, 12, alice.packets[0].ssrc)
        assert abs(seconds - NTP_EPOCH_S - time.time()) < 5
        assert octets == 160 * packets
        with judged_by_time():
            assert abs(packets - heard) <= 2
            assert (timestamp - alice.packets[heard - 1].timestamp + 800) % 2**32 < 1600
        about, lost, highest, jitter, last, delay = struct.unpack_from("!IIIIII", packet, 28)
        assert about == 0xABCD
        with judged_by_time():  # the report is some packets old when it is read
            assert lost >> 24 == pytest.approx(64, abs=8)  # a quarter of 256
            assert lost & 0xFFFFFF == pytest.approx(sent / 4, abs=2)
            assert highest & 0xFFFF == pytest.approx(sent - 1, abs=2)
            assert 0 <= jitter < 160
        assert (last, delay) == (0, 0)
        # The description with our name closes the compound packet (RFC 3550 6.1, 6.5.1).
        assert packet[52:54] == b"\x81\xca" and packet[56:60] == packet[4:8] and packet[60] == 1
        assert 8 <= packet[61] <= 64
        # A sender report of the peer comes back with its time, and how long ago it was.
        middle = 0x1234_5678
        peer = struct.pack("!BBHIIIIII", 0x80, 200, 6, 0xABCD, middle >> 16, (middle & 0xFFFF) << 16, 0, 1, 160)
        assert alice._control
        alice._control.sendto(peer, (at.address, at.rtcp_port))
        second = await report(alice)
        last, delay = struct.unpack_from("!II", second, 28 + 16)
        assert last == middle and 0 < delay / 65536 < 8


async def test_the_round_trip_is_measured__rfc3550_6_4_1(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        at = await media.open("a")
        media.connect_to("a", alice)
        media.send(Play(stream="a", play="p", tone="ringback", loop=0))
        packet = await report(alice)
        ssrc, last = struct.unpack("!I", packet[4:8])[0], struct.unpack("!I", packet[10:14])[0]
        await asyncio.sleep(0.25)
        assert alice._control
        alice._control.sendto(receiver_report(block(ssrc, 0, 0, 0, last, round(0.05 * 65536))), (at.address, at.rtcp_port))
        await asyncio.sleep(1.2)
        stats = await media.stats("a")
        assert stats.counters.round_trip_ms >= 190
        with judged_by_time():
            assert stats.counters.round_trip_ms < 400
        assert stats.seconds[-1].round_trip_ms == pytest.approx(stats.counters.round_trip_ms, abs=0.01)


async def test_jitter_is_told_as_it_came(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        at = await media.open("a")
        media.connect_to("a", alice)
        for sequence in range(0, 120, 2):  # two at once, then a pause: 20 ms of difference every time
            for number in (sequence, sequence + 1):
                alice.send_raw(build_packet(0, number, 160 * number, 1, bytes(160)), (at.address, at.port))
            due = asyncio.get_running_loop().time() + 0.04
            await asyncio.sleep(0.04)
            PACE.note(asyncio.get_running_loop().time() - due, "a phone")
        stats = await media.stats("a")
        with judged_by_time():
            assert 15 < stats.counters.jitter_ms < 30
            assert 10 < stats.seconds[-1].jitter_ms < 30


@pytest.mark.parametrize("mux", [False, True])
async def test_reports_of_strangers_are_counted_and_never_used(media: Controller, mux: bool) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.9") as mallory:
        at = await media.open("a")
        media.connect_to("a", alice, rtcp_mux=mux)
        talk(at, alice)
        media.send(Play(stream="a", play="p", tone="ringback", loop=0))
        await alice.until(5)
        lie = receiver_report(block(alice.packets[0].ssrc, 255, 999, 0))
        assert mallory._media and mallory._control
        for socket_ in (mallory._media, mallory._control):
            socket_.sendto(lie, (at.address, at.port if mux else at.rtcp_port))
        for _ in range(100):
            if (counters := (await media.stats("a")).counters).strangers == 2:
                break
            await asyncio.sleep(0.02)
        assert (counters.remote_lost, counters.strangers) == (-1, 2)
        packets = len(mallory.rtcp)
        await asyncio.sleep(0.2)
        assert len(mallory.rtcp) == packets == 0


# --- the limit ----------------------------------------------------------------------------------------------------


async def flood(target: tuple[str, int], count: int, host: str = "127.0.0.2") -> tuple[str, int]:
    """So many packets of one source, as fast as the buffer of the socket that receives them allows."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host, 0))
    for sequence in range(count):
        one.sendto(build_packet(0, sequence, 160 * sequence, 1, bytes(160)), target)
        if sequence % 50 == 49:
            await asyncio.sleep(0.002)
    name: tuple[str, int] = one.getsockname()
    one.close()
    return name


async def test_beyond_the_limit_packets_of_the_peer_are_dropped(tmp_path: Path) -> None:
    async with running(tmp_path, "--max-packets-per-second", "200") as worker:
        media = await worker.controller()
        async with await RtpEndpoint.open("127.0.0.2") as alice:
            at = await media.open("a")
            media.connect_to("a", alice, remote_address="127.0.0.2", remote_port=1)
            await media.synchronize()
            await flood((at.address, at.port), 1000)
            await asyncio.sleep(0.2)
            counters = (await media.stats("a")).counters
            assert counters.packets_in >= 100
            with judged_by_time():  # of what comes while the worker does not run, its socket has room for some hundred packets
                assert counters.flooded > 500 and counters.packets_in + counters.flooded > 900
                assert counters.packets_in < 500
        await media.close()


async def test_without_a_limit_all_are_taken(tmp_path: Path) -> None:
    async with running(tmp_path, "--max-packets-per-second", "0") as worker:
        media = await worker.controller()
        async with await RtpEndpoint.open("127.0.0.2") as alice:
            at = await media.open("a")
            media.connect_to("a", alice, remote_address="127.0.0.2", remote_port=1)
            await media.synchronize()
            await flood((at.address, at.port), 3000)
            await asyncio.sleep(0.3)
            counters = (await media.stats("a")).counters
            assert counters.flooded == 0
            with judged_by_time():
                assert counters.packets_in > 2500
        await media.close()


async def test_a_flood_of_strangers_takes_nothing_of_what_is_the_peer_s(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        opened = [await media.open(name, call="CA") for name in ("a", "b")]
        media.connect_to("a", alice)
        media.connect_to("b", bob)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        talk(opened[0], alice)
        await asyncio.sleep(0.2)
        alice.say(sound.chirp_up(1.0))
        await flood((opened[0].address, opened[0].port), 4000, "127.0.0.9")
        await bob.hears(sound.chirp_up(1.0), likeness=0.98)
        counters = (await media.stats("a")).counters
        assert counters.flooded == 0
        with judged_by_time():
            assert counters.strangers > 2000
