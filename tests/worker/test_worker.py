"""The media worker over real RTP: relay, latching, digits, reports."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct

import pytest

from media.engine import (
    Bridge,
    Close,
    Closed,
    Codec,
    Connect,
    Digit,
    Failed,
    List,
    Listing,
    MediaTimeout,
    Mute,
    Play,
    Unbridge,
)
from tests.support import sound
from tests.support.pace import in_time, judged_by_time
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import EVENTS, PCMA, PCMU, Controller
from tests.worker.pairs import bridged, either_worker, quiet, rtp

pytestmark = pytest.mark.worker


worker = either_worker

# --- relay --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", [("127.0.0.2", "127.0.0.3"), ("::1", "::1"), ("127.0.0.2", "::1")])
async def test_bridged_phones_hear_each_other(media: Controller, hosts: tuple[str, str]) -> None:
    async with await RtpEndpoint.open(hosts[0]) as alice, await RtpEndpoint.open(hosts[1]) as bob:
        await bridged(media, alice, bob)
        alice.say(sound.chirp_up(0.5))
        bob.say(sound.chirp_down(0.5))
        await bob.hears(sound.chirp_up(0.5), likeness=0.99)
        await alice.hears(sound.chirp_down(0.5), likeness=0.99)
        assert {packet.source[1] for packet in bob.packets} == {(await media.open("b")).port}


async def test_one_law_is_translated_to_the_other(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2", 0) as alice, await RtpEndpoint.open("127.0.0.3", 8) as bob:
        await bridged(media, alice, bob, [PCMU], [PCMA])
        alice.say(sound.chirp_up(0.5))
        bob.say(sound.chirp_down(0.5))
        await bob.hears(sound.chirp_up(0.5), likeness=0.99)
        await alice.hears(sound.chirp_down(0.5), likeness=0.99)
        assert {packet.payload_type for packet in alice.packets} == {0}
        assert {packet.payload_type for packet in bob.packets} == {8}


async def test_a_payload_passes_unchanged_under_the_number_of_the_other_side(media: Controller) -> None:
    g729 = [Codec(payload_type=18, name="G729"), Codec(payload_type=97, name="G729")]
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob, [PCMU, g729[0]], [PCMU, g729[1]])
        await quiet(media, alice)
        since = bob.mark()
        payload = os.urandom(20)
        alice.send_raw(build_packet(18, 1, 1, 1, payload), (pair.to_alice.address, pair.to_alice.port))
        await bob.until(1, since)
        await asyncio.sleep(0.1)
        assert [(p.payload_type, p.payload) for p in bob.packets[since:]] == [(97, payload)]


async def test_what_the_other_side_did_not_agree_on_is_not_sent_to_it(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob, [PCMU, EVENTS], [PCMU])
        alice.press("5")
        await media.expect(Digit, stream="a", digit="5")
        await alice.said()
        assert {packet.payload_type for packet in bob.packets} == {0}


async def test_codecs_without_a_way_between_them_are_told(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob, [PCMU], [Codec(payload_type=18, name="G729")])
        await media.expect(Failed, op="bridge", subject="ab", code="codec")


async def test_codecs_without_a_way_are_told_once_as_long_as_it_lasts(media: Controller) -> None:
    g729 = Codec(payload_type=18, name="G729")
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob, [PCMU], [g729])
        for muted in (True, False):
            media.send(Mute(stream="a", muted=muted))
            media.connect_to("a", alice, [PCMU])
            media.connect_to("b", bob, [g729])
        await media.settled("a", "b")
        assert [failed.reason for failed in media.seen(Failed)] == ["no way between PCMU and G729"]
        media.connect_to("b", bob, [PCMU])
        media.connect_to("b", bob, [g729])
        media.connect_to("a", alice, [PCMA])
        await media.settled("a", "b")
        reasons = [failed.reason for failed in media.seen(Failed)]
        assert reasons == ["no way between PCMU and G729"] * 2 + ["no way between PCMA and G729"]


async def test_the_peer_hears_one_unbroken_stream_whatever_feeds_it__rfc3550_7_1(media: Controller) -> None:
    async with (
        await RtpEndpoint.open("127.0.0.2") as alice,
        await RtpEndpoint.open("127.0.0.3") as bob,
        await RtpEndpoint.open("127.0.0.4") as carol,
    ):
        await bridged(media, alice, bob)
        to_carol = await media.open("c", call="other")
        media.connect_to("c", carol)
        carol.send_to((to_carol.address, to_carol.port))
        await asyncio.sleep(0.5)
        media.send(Unbridge(bridge="ab"))
        await asyncio.sleep(0.3)
        media.send(Bridge(bridge="cb", first="c", second="b"))
        await asyncio.sleep(0.5)
        packets = bob.packets
        assert len({packet.ssrc for packet in packets}) == 1
        steps = {(after.sequence - before.sequence) % 65536 for before, after in itertools.pairwise(packets)}
        assert steps == {1}
        assert packets[0].marker and sum(packet.marker for packet in packets) == 2
        with judged_by_time():
            for before, after in itertools.pairwise(packets):
                spoken, passed = ((after.timestamp - before.timestamp) % 2**32) / 8000, after.at - before.at
                assert abs(spoken - passed) < 0.05


async def test_streams_of_different_threads_can_be_bridged(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        opened = [await media.open(name, call=name) for name in ("a", "b")]
        for name, phone, at in zip(("a", "b"), (alice, bob), opened, strict=True):
            media.connect_to(name, phone)
            phone.send_to((at.address, at.port))
        await asyncio.sleep(0.1)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await media.settled("a", "b")
        alice.say(sound.chirp_up(0.5))
        await bob.hears(sound.chirp_up(0.5), likeness=0.99)


async def test_a_stream_is_in_one_bridge_at_a_time(media: Controller) -> None:
    for name in ("a", "b", "c"):
        await media.open(name)
    media.send(Bridge(bridge="one", first="a", second="b"))
    media.send(Bridge(bridge="two", first="b", second="c"))
    await media.expect(Failed, op="bridge", subject="two", code="busy")
    media.send(Bridge(bridge="one", first="a", second="c"))
    media.send(Bridge(bridge="two", first="b", second="b"))
    await media.expect(Failed, op="bridge", subject="two", code="busy")
    media.send(List())
    assert (await media.expect(Listing)).bridges == ["one"]


@pytest.mark.parametrize(
    ("direction", "sends", "hears"), [("sendonly", True, False), ("recvonly", False, True), ("inactive", False, False)]
)
async def test_the_direction_is_kept__rfc3264_5_1(media: Controller, direction: str, sends: bool, hears: bool) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        media.connect_to("a", alice, direction=direction)
        await media.settled("a", "b")
        await asyncio.sleep(0.1)
        for listener, comes in ((alice, sends), (bob, hears)):
            since = listener.mark()
            if comes:
                await listener.until(5, since)
            else:
                await asyncio.sleep(0.3)
                assert len(listener.packets) == since
        media.connect_to("a", alice)
        alice.say(sound.chirp_up(0.3))
        bob.say(sound.chirp_down(0.3))
        await alice.hears(sound.chirp_down(0.3))
        await bob.hears(sound.chirp_up(0.3))


async def test_loss_and_order_of_the_sender_stay_visible(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        await quiet(media, alice)
        since = bob.mark()
        for sequence in (100, 101, 104, 103, 105):
            alice.send_raw(rtp(sequence, ssrc=77), (pair.to_alice.address, pair.to_alice.port))
        await bob.until(5, since)
        await asyncio.sleep(0.1)
        first = bob.packets[since].sequence
        assert [(packet.sequence - first) % 65536 for packet in bob.packets[since:]] == [0, 1, 4, 3, 5]


async def test_csrcs_extensions_and_padding_are_taken_off(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        await quiet(media, alice)
        since = bob.mark()
        plain = rtp(1, ssrc=5, fill=0x33)
        dressed = bytes([0x80 | 0x20 | 0x10 | 2]) + plain[1:12] + b"CSRCCSRC" + b"\xbe\xde\x00\x01EXTE" + plain[12:] + b"\0\0\0\x04"
        alice.send_raw(dressed, (pair.to_alice.address, pair.to_alice.port))
        await bob.until(1, since)
        await asyncio.sleep(0.1)
        assert [packet.payload for packet in bob.packets[since:]] == [b"\x33" * 160]
        assert bob.malformed == 0


# --- digits, silence, reports -------------------------------------------------------------------------------------


async def test_digits_pass_and_are_told_once(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob, [PCMU, EVENTS], [PCMU, Codec(payload_type=96, name="telephone-event")])
        bob.event_type = 96
        alice.press("19*0#D")
        await media.expect(Digit, digit="D")
        assert "".join(digit.digit for digit in media.seen(Digit)) == "19*0#D"
        assert all(80 <= digit.duration_ms <= 120 for digit in media.seen(Digit))
        await bob.hears_digits("19*0#D")


async def test_a_digit_whose_end_was_lost_is_told(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        alice.mute()
        alice.send_raw(build_packet(101, 9000, 777, 5, b"\x07\x0a\x01\x40"), (pair.to_alice.address, pair.to_alice.port))
        with judged_by_time():
            digit = await media.expect(Digit, stream="a", digit="7", timeout_s=1)
        assert digit.duration_ms == 40


async def test_silence_is_told_once_until_something_is_heard(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        media.connect_to("a", alice, media_timeout_ms=600)
        await asyncio.sleep(0.9)
        with judged_by_time(allowed_s=0.3):
            assert media.seen(MediaTimeout) == []
        alice.mute()
        with judged_by_time():
            timeout = await media.expect(MediaTimeout, stream="a", timeout_s=1.5)
            assert 600 <= timeout.silent_ms < 800
        await asyncio.sleep(0.9)
        assert len(media.seen(MediaTimeout)) == 1
        since = bob.mark()
        alice.mute(False)
        await bob.until(3, since)
        alice.mute()
        with judged_by_time():
            await media.expect(MediaTimeout, stream="a", timeout_s=1.5)


@pytest.mark.parametrize("noise", [True, False])
async def test_a_silent_peer_that_reports_is_alive_where_pauses_were_agreed__rfc3389_4(media: Controller, noise: bool) -> None:
    codecs = [PCMU, EVENTS, *([Codec(payload_type=13, name="CN")] if noise else [])]
    report = struct.pack("!BBHI", 0x80, 201, 1, 77)
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        alice.mute()
        media.connect_to("a", alice, codecs, media_timeout_ms=600)
        for _ in range(12):
            assert alice._control
            alice._control.sendto(report, (pair.to_alice.address, pair.to_alice.rtcp_port))
            await asyncio.sleep(0.1)
        await media.settled("a")
        with judged_by_time(allowed_s=0.2):
            assert len(media.seen(MediaTimeout)) == (0 if noise else 1)
        if noise:  # then it is dead after all
            with judged_by_time():
                timeout = await media.expect(MediaTimeout, stream="a", timeout_s=1.5)
                assert 600 <= timeout.silent_ms < 800


async def test_a_peer_on_hold_may_be_silent(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        alice.mute()
        for direction in ("sendonly", "inactive"):
            media.connect_to("a", alice, direction=direction, media_timeout_ms=400)
            await asyncio.sleep(0.7)
        assert media.seen(MediaTimeout) == []
        media.connect_to("a", alice, media_timeout_ms=400)
        with judged_by_time():
            timeout = await media.expect(MediaTimeout, stream="a", timeout_s=1.0)
            assert timeout.silent_ms < 600


async def test_silence_counts_from_when_it_is_limited(media: Controller) -> None:
    """A peer that holds sends or not, as it likes; when it has resumed it gets the whole time."""
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        alice.mute()
        media.connect_to("a", alice, direction="recvonly", media_timeout_ms=0)
        await asyncio.sleep(0.7)
        media.connect_to("a", alice, media_timeout_ms=400)
        with judged_by_time():
            timeout = await media.expect(MediaTimeout, stream="a", timeout_s=1.0)
            assert 400 <= timeout.silent_ms < 600


async def test_the_counters_say_what_was_there(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        bob.mute()
        await quiet(media, alice)
        before, since = (await media.stats("a")).counters, bob.mark()
        for sequence in (1, 2, 3, 6):
            alice.send_raw(rtp(sequence, ssrc=99), (pair.to_alice.address, pair.to_alice.port))
        await bob.until(4, since)
        after = (await media.stats("a")).counters
        assert (after.packets_in - before.packets_in, after.bytes_in - before.bytes_in) == (4, 4 * 172)
        assert after.lost_in - before.lost_in == 2
        media.send(Close(stream="a"))
        assert (await media.expect(Closed, stream="a")).counters == after
        assert (await media.stats("b")).counters.packets_out > 0


@pytest.mark.parametrize("mux", [False, True])
async def test_reports_are_sent_and_understood__rfc3550_6_4(media: Controller, mux: bool) -> None:
    loop = asyncio.get_running_loop()
    audio, control = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for one in (audio, control):
        one.setblocking(False)
        one.bind(("127.0.0.2", 0))
    at = await media.open("a")
    host, port = audio.getsockname()
    session = Connect(
        stream="a", remote_address=host, remote_port=port, remote_rtcp_port=control.getsockname()[1], codecs=[PCMU], rtcp_mux=mux
    )
    media.send(session)
    media.send(Play(stream="a", play="p", tone="silence"))
    ours = audio if mux else control
    target = (at.address, at.port if mux else at.rtcp_port)

    async def report() -> bytes:
        async with asyncio.timeout(9):
            while True:
                data = await loop.sock_recv(ours, 2048)
                if 192 <= data[1] <= 223:
                    return data

    audio.sendto(rtp(1), (at.address, at.port))
    first = await report()
    assert (first[0] & 0xC0, first[1]) == (0x80, 200)
    ssrc = first[4:8]
    heard = await loop.sock_recv(audio, 2048)
    assert heard[8:12] == ssrc
    # A receiver report about that SSRC: fraction lost 1/16, five lost in all, and the middle of the NTP time just seen.
    block = ssrc + b"\x10\x00\x00\x05" + bytes(8) + first[10:14] + bytes(4)
    ours.sendto(b"\x81\xc9\x00\x07" + bytes(4) + block, target)
    for _ in range(100):
        if (stats := (await media.stats("a")).counters).remote_lost == 5:
            break
        await asyncio.sleep(0.02)
    assert stats.remote_lost == 5
    with judged_by_time():
        assert 0 <= stats.round_trip_ms < 1000
    media.send(Close(stream="a"))
    goodbye = b"\x81\xcb\x00\x01" + ssrc
    assert goodbye in await report()
    for one in (audio, control):
        one.close()


async def test_packets_longer_than_the_peer_takes_are_cut__rfc4566_6_maxptime(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        for name, phone, most_ms in (("a", alice, 0), ("b", bob, 10)):
            opened = await media.open(name, call="CA")
            media.connect_to(name, phone, max_ptime_ms=most_ms, ptime_ms=most_ms or 20)
            phone.send_to((opened.address, opened.port))
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await asyncio.sleep(2.0)  # the jitter buffer settles
        since = (alice.mark(), bob.mark())

        async def both_hear() -> None:
            begun = (alice.mark(), bob.mark())
            alice.say(sound.chirp_up(1.0))
            bob.say(sound.chirp_down(1.0))
            await bob.hears(sound.chirp_up(1.0), since=begun[1], likeness=0.7)
            await alice.hears(sound.chirp_down(1.0), since=begun[0], likeness=0.7)

        await in_time(both_hear, rest_s=1.5, memory_s=5.0)
        assert {len(packet.payload) for packet in bob.packets[since[1] :]} == {80}
        assert {len(packet.payload) for packet in alice.packets[since[0] :]} == {160}
