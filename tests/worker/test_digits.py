"""Keys through the real worker: telephone-events in and out, tones out."""

from __future__ import annotations

import asyncio
import random
import time

import numpy as np
import pytest

from media.engine import Codec, Connect, Digit, Failed, Play, PlayEnded, SendDigits
from tests.support import sound
from tests.support.keys import keys_of, presses, tones_in
from tests.support.pace import PACE, judged_by_time
from tests.support.rtp import RtpEndpoint
from tests.support.worker import EVENTS, PCMA, PCMU, Controller
from tests.worker.mouths import ALL, FAST_EVENTS, G722, G729, L16, OPUS, PATIENCE_S, Mouth, assert_unbroken, joined, sources, told

pytestmark = pytest.mark.worker


# --- events come in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fate", ["as it was sent", "ends are lost", "only an end comes", "only a middle comes", "all come twice", "disorder", "chance"]
)
async def test_every_press_is_told_once_whatever_the_network_does__rfc4733_2_5(
    media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, fate: str
) -> None:
    to_alice, _ = await joined(media, alice, bob)
    mouth, chance = Mouth(alice, to_alice), random.Random(5)
    keys = ALL + "5555"
    for key in keys:
        packets = mouth.pressed(key)
        match fate:
            case "ends are lost":
                packets = packets[:-3]
            case "only an end comes":
                packets = packets[-1:]
            case "only a middle comes":
                packets = packets[2:3]
            case "all come twice":
                packets = [packet for packet in packets for _ in range(2)]
            case "disorder":
                chance.shuffle(packets)
            case "chance":
                packets = [packet for packet in packets for _ in range(chance.choice([0, 1, 1, 2]))] or packets[-1:]
            case "as it was sent":
                pass
            case _:
                raise AssertionError(fate)
        began = time.monotonic()
        for packet in packets:
            mouth.send([packet])
            await asyncio.sleep(0.004)
        PACE.note(time.monotonic() - began - 0.005 * len(packets), "a phone")
        await asyncio.sleep(0.02)
    heard = await told(media, len(keys))
    with judged_by_time(allowed_s=PATIENCE_S):
        assert heard == keys
        # The same clock and audio that passes: the packets pass too, and a phone that knows the rules hears each key once.
        assert keys_of(bob.packets) == keys
    assert sources(media) == {"rfc4733"}


@pytest.mark.parametrize("held_back", [2, -2], ids=["in its midst", "before its end is repeated"])
async def test_a_press_whose_packets_are_held_up_on_their_way_is_one__rfc4733_2_5_1_2(
    media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, held_back: int
) -> None:
    """Packets of one timestamp are one press, whatever lies between them: a network may stand still for a quarter of a second."""
    to_alice, _ = await joined(media, alice, bob)
    mouth = Mouth(alice, to_alice)
    packets = mouth.pressed("5")
    mouth.send(packets[:held_back])
    await asyncio.sleep(0.3)
    mouth.send(packets[held_back:])
    assert await told(media, 1) == keys_of(bob.packets) == "5"


async def test_copies_of_a_press_that_come_after_the_next_one_are_old(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob)
    mouth = Mouth(alice, to_alice)
    first, second = mouth.pressed("1"), mouth.pressed("2")
    mouth.send(first + second[:3] + first[-2:] + second[3:] + first[:2])
    assert await told(media, 2) == "12"


async def test_a_peer_that_counts_anew_is_heard_at_once(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob)
    mouth = Mouth(alice, to_alice)
    mouth.send(mouth.pressed("1"))
    again = Mouth(alice, to_alice, seed=2)
    again.timestamp = 5000
    again.send(again.pressed("1"))
    assert await told(media, 2) == "11"


# --- events go out --------------------------------------------------------------------------------------------------


async def test_a_long_press_of_a_fast_clock_is_sent_in_segments__rfc4733_2_5_1_3(media: Controller, bob: RtpEndpoint) -> None:
    await media.open("b")
    media.connect_to("b", bob, [OPUS, FAST_EVENTS])
    media.send(SendDigits(stream="b", digits="7", tone_ms=3000))
    await bob.until_silence()
    (one,) = presses(bob.packets, 110)
    assert (one.key, one.duration, one.ends, one.segments) == ("7", 144_000, 3, 3)
    assert_unbroken(bob.packets)


async def test_on_hold_the_peer_is_sent_no_key_and_time_goes_on(media: Controller, alice: RtpEndpoint) -> None:
    await media.open("a")
    for codecs in ([PCMU, EVENTS], [PCMU]):
        media.connect_to("a", alice, codecs, direction="recvonly")
        media.send(SendDigits(stream="a", digits="12", tone_ms=60, gap_ms=60))
        await asyncio.sleep(0.4)
        assert alice.packets == []
    media.connect_to("a", alice)
    media.send(SendDigits(stream="a", digits="34", tone_ms=60, gap_ms=60))
    await alice.until_silence()
    with judged_by_time(allowed_s=0.1):  # 160 ms more than the keys take
        assert keys_of(alice.packets) == "34"


@pytest.mark.parametrize("codecs", [[PCMU, EVENTS], [PCMU], [PCMA]], ids=["events", "tones", "tones in A-law"])
async def test_a_play_waits_for_keys_and_the_stream_stays_one(media: Controller, alice: RtpEndpoint, codecs: list[Codec]) -> None:
    await media.open("a")
    media.connect_to("a", alice, codecs)
    media.send(Play(stream="a", play="p", tone="beep", loop=0, duration_ms=2000))
    await alice.hears_tone(1000, seconds=0.2)
    media.send(SendDigits(stream="a", digits="19w#", tone_ms=100, gap_ms=100))
    await media.expect(PlayEnded, reason="finished")
    assert_unbroken(alice.packets)
    heard = alice.heard()
    if EVENTS in codecs:
        assert keys_of(alice.packets) == "19#"
        assert tones_in(heard) == []
    else:
        found = tones_in(heard)
        assert "".join(one.key for one in found) == "19#"
        assert all(abs(one.seconds - 0.1) <= 0.02 for one in found)
    # 2 s less three presses with their gaps.
    assert 1.2 <= sound.tone_seconds(heard, 1000) <= 1.5


# --- tones go out ---------------------------------------------------------------------------------------------------


async def test_without_events_keys_are_tones_in_the_audio__q23(media: Controller, alice: RtpEndpoint) -> None:
    await media.open("a")
    for payload_type, codec in ((0, PCMU), (8, PCMA)):
        since = alice.mark()
        media.connect_to("a", alice, [codec])
        media.send(SendDigits(stream="a", digits=ALL + "55", tone_ms=60, gap_ms=60))
        packets = await alice.until_silence(since=since)
        assert {packet.payload_type for packet in packets} == {payload_type}
        assert "".join(one.key for one in tones_in(alice.heard(since))) == ALL + "55"
        assert_unbroken(packets)
    assert media.seen(Failed) == []


async def test_tones_have_their_length_and_their_packets_the_agreed_one(media: Controller, alice: RtpEndpoint) -> None:
    await media.open("a")
    media.connect_to("a", alice, [PCMU], ptime_ms=30)
    media.send(SendDigits(stream="a", digits="4w8", tone_ms=250, gap_ms=100))
    await alice.until_silence(of_s=1.0)
    assert {len(packet.payload) for packet in alice.packets} == {240}
    four, eight = tones_in(alice.heard())
    assert (four.key, eight.key) == ("4", "8")
    assert abs(four.seconds - 0.25) <= 0.015 and abs(eight.seconds - 0.25) <= 0.015
    assert 0.8 <= eight.at_s - four.at_s <= 0.95


async def test_tones_are_sent_in_a_linear_codec(media: Controller, alice: RtpEndpoint) -> None:
    await media.open("a")
    media.connect_to("a", alice, [L16])
    media.send(SendDigits(stream="a", digits="2580", tone_ms=80, gap_ms=80))
    await alice.until_silence()
    heard = np.frombuffer(b"".join(packet.payload for packet in alice.packets), dtype=">i2").astype(np.int16)
    assert "".join(one.key for one in tones_in(heard)) == "2580"
    assert_unbroken(alice.packets)


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722, OPUS, L16, Codec(payload_type=97, name="L16", clock_rate_hz=44_100)], ids=str)
async def test_tones_of_one_stream_are_heard_by_another_in_every_codec(media: Controller, codec: Codec) -> None:
    one, other = await media.open("c"), await media.open("d")
    for name, far in (("c", other), ("d", one)):
        media.send(Connect(stream=name, remote_address=far.address, remote_port=far.port, codecs=[codec], inband_digits=name == "d"))
    media.send(SendDigits(stream="c", digits=ALL + "99", tone_ms=60, gap_ms=60))
    assert await told(media, 18, "d") == ALL + "99"
    assert sources(media) == {"inband"}
    assert all(40 <= one.duration_ms <= 90 for one in media.seen(Digit))


async def test_neither_events_nor_a_codec_of_ours_is_a_refusal(media: Controller, alice: RtpEndpoint) -> None:
    await media.open("a")
    media.connect_to("a", alice, [G729])
    media.send(SendDigits(stream="a", digits="1"))
    await media.expect(Failed, op="send_digits", subject="a", code="codec")
    media.connect_to("a", alice, [G729, EVENTS])
    media.send(SendDigits(stream="a", digits="1"))
    await alice.hears_digits("1")
