"""Encrypted streams of the real worker, with phones whose SRTP is libsrtp's: nothing in the clear is sent or taken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from media.engine import (
    Bridge,
    Close,
    Closed,
    Codec,
    Counters,
    Failed,
    Latched,
    Opened,
    Play,
    Record,
    RecordingEnded,
    RecordingStarted,
    SendDigits,
    SrtpKeys,
    StopRecord,
)
from tests.support import libsrtp, sound
from tests.support.pace import judged_by_time
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.secure_phone import Keys, SecurePhone
from tests.support.worker import EVENTS, PCMU, Controller, running

pytestmark = pytest.mark.worker

SUITES = libsrtp.SUITES
COMMON = "AES_CM_128_HMAC_SHA1_80"
UP, DOWN = sound.chirp_up(0.5), sound.chirp_down(0.5)


class Call:
    """Alice, who is secure, on stream "a"; Bob on stream "b"; both bridged and talking."""

    def __init__(self, media: Controller, alice: SecurePhone, bob: RtpEndpoint, to_alice: Opened, to_bob: Opened) -> None:
        self.media, self.alice, self.bob = media, alice, bob
        self.to_alice, self.to_bob = (to_alice.address, to_alice.port), (to_bob.address, to_bob.port)

    async def counters(self, stream: str = "a", **awaited: int) -> Counters:
        return await self.media.counters(stream, **awaited)

    async def both_hear(self) -> None:
        """What each says from now on is heard by the other, whole."""
        since = self.alice.mark(), self.bob.mark()
        self.alice.say(UP)
        self.bob.say(DOWN)
        await self.bob.hears(UP, since=since[1], likeness=0.99)
        await self.alice.hears(DOWN, since=since[0], likeness=0.99)


@contextlib.asynccontextmanager
async def call(media: Controller, keys: Keys, others: Keys | None = None, *, apart: bool = False, talk: bool = True) -> AsyncIterator[Call]:
    """others: Bob's keys, should he be secure too. apart: the streams begin on different threads."""
    kind = SecurePhone if others else RtpEndpoint
    async with await SecurePhone.open("127.0.0.2") as alice, await kind.open("127.0.0.3") as bob:
        assert isinstance(alice, SecurePhone)
        alice.secure(keys)
        if isinstance(bob, SecurePhone) and others:
            bob.secure(others)
        to_bob = await media.open("b", call="CB" if apart else "CA")
        to_alice = await media.open("a", call="CA")
        media.connect_to("a", alice, srtp=keys.for_worker)
        media.connect_to("b", bob, srtp=others.for_worker if others else msgspec.UNSET)
        if not apart:
            media.send(Bridge(bridge="ab", first="b", second="a"))
        await media.synchronize()
        made = Call(media, alice, bob, to_alice, to_bob)
        if talk:
            alice.send_to(made.to_alice)
            bob.send_to(made.to_bob)
        yield made


def rtp(sequence: int, fill: int = 0x55, ssrc: int = 1) -> bytes:
    return build_packet(0, sequence, 160 * sequence, ssrc, bytes([fill]) * 160)


# --- audio --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
async def test_every_suite_is_understood_both_ways(media: Controller, suite: str) -> None:
    async with call(media, Keys.some(suite)) as made:
        await made.both_hear()
        assert made.alice.refused == []
        assert (await made.counters()).unauthentic == 0
        assert all(len(packet) > 172 for packet in made.alice.wire if not 192 <= packet[1] <= 223)


@pytest.mark.parametrize(("suite", "other"), list(zip(SUITES, SUITES[1:] + SUITES[:1], strict=True)))
async def test_two_encrypted_legs_have_keys_of_their_own(media: Controller, suite: str, other: str) -> None:
    async with call(media, Keys.some(suite, "alice"), Keys.some(other, "bob")) as made:
        await made.both_hear()
        assert made.alice.refused == []


async def test_a_key_identifier_of_the_peer_is_taken_off(media: Controller) -> None:
    async with call(media, Keys.some(COMMON, mki=b"\x00\x07")) as made:
        await made.both_hear()


async def test_what_is_made_here_is_encrypted_too(media: Controller) -> None:
    async with call(media, Keys.some("AEAD_AES_256_GCM")) as made:
        since = made.alice.mark()
        media.send(SendDigits(stream="a", digits="42"))
        await made.alice.hears_digits("42", since=since)
        media.send(Play(stream="a", play="p", tone="busy", tone_country="eu", loop=0))
        await made.alice.hears_tone(425)
        assert made.alice.refused == []


@pytest.mark.parametrize("secure_bob", [False, True])
async def test_recordings_hold_what_was_said_not_what_was_on_the_wire(media: Controller, tmp_path: Path, secure_bob: bool) -> None:
    async with call(media, Keys.some(COMMON), Keys.some(COMMON, "bob") if secure_bob else None) as made:
        media.send(Record(recording="both", path=str(tmp_path / "both.wav"), bridge="ab", channels=2))
        media.send(Record(recording="leg", path=str(tmp_path / "leg.wav"), stream="a", channels=2))
        await media.expect(RecordingStarted, recording="leg")
        await made.both_hear()
        for recording in ("both", "leg"):
            media.send(StopRecord(recording=recording))
            await media.expect(RecordingEnded, recording=recording, reason="stopped")
        both, _ = sound.read_wav(tmp_path / "both.wav")
        leg, _ = sound.read_wav(tmp_path / "leg.wav")
        for samples, channel, said in ((both, 0, DOWN), (both, 1, UP), (leg, 0, UP), (leg, 1, DOWN)):
            with judged_by_time():
                assert sound.find(said, samples[:, channel]).likeness > 0.95


# --- what is refused ----------------------------------------------------------------------------------------------


async def test_the_longest_packets_are_sent_while_they_are_recorded(media: Controller, tmp_path: Path) -> None:
    """20 ms of L16 with two channels at 48 kHz: 3840 octets."""
    wide = [Codec(payload_type=96, name="L16", clock_rate_hz=48_000, channels=2)]
    keys = Keys.some(COMMON)
    async with call(media, keys, talk=False) as made:
        media.connect_to("a", made.alice, wide, srtp=keys.for_worker)
        media.connect_to("b", made.bob, wide)
        media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", channels=2))
        await media.expect(RecordingStarted, recording="r")
        for index in range(5):
            made.bob.send_raw(build_packet(96, index, 960 * index, 7, bytes(3840)), made.to_bob)
        await made.alice.until(5)
        assert [len(packet.payload) for packet in made.alice.packets] == [3840] * 5
        assert made.alice.refused == []


async def test_nothing_in_the_clear_is_taken(media: Controller) -> None:
    async with call(media, Keys.some(COMMON), talk=False) as made:
        made.alice.send_raw(rtp(1), made.to_alice)
        await asyncio.sleep(0.1)
        for sequence in range(2, 12):
            made.alice.send_clear(rtp(sequence), made.to_alice)
        counters = await made.counters(unauthentic=10)
        assert (counters.packets_in, counters.unauthentic) == (1, 10)
        assert len(made.bob.packets) == 1


@pytest.mark.parametrize("suite", SUITES)
async def test_wrong_keys_are_counted_and_never_heard(media: Controller, suite: str) -> None:
    async with call(media, Keys.some(suite)) as made:
        await made.both_hear()
        made.alice.secure(Keys.some(suite, "another call"))
        before = await made.counters(unauthentic=5)
        await asyncio.sleep(0.1)
        since = made.bob.mark()
        after = await made.counters(unauthentic=before.unauthentic + 15)
        await asyncio.sleep(0.1)
        assert len(made.bob.packets) == since
        assert after.unauthentic - before.unauthentic >= 15
        assert after.packets_in == before.packets_in


async def test_a_replayed_packet_is_heard_once__rfc3711_3_3_2(media: Controller) -> None:
    async with call(media, Keys.some(COMMON), talk=False) as made:
        session = libsrtp.Session(COMMON, Keys.some(COMMON).own, inbound=False)
        packets = [session.protect(rtp(sequence, fill=sequence)) for sequence in range(1, 21)]
        for packet in packets + packets[::-1]:
            made.alice.send_clear(packet, made.to_alice)
        counters = await made.counters(unauthentic=20)
        await made.bob.until(20)
        assert [packet.payload[0] for packet in made.bob.packets] == list(range(1, 21))
        assert counters.unauthentic == 20


async def test_only_an_authentic_packet_moves_the_latch(media: Controller) -> None:
    keys = Keys.some(COMMON)
    async with (
        await SecurePhone.open("127.0.0.2") as alice,
        await RtpEndpoint.open("127.0.0.9") as mallory,
    ):
        assert isinstance(alice, SecurePhone)
        alice.secure(keys)
        at = await media.open("a")
        target = (at.address, at.port)
        media.connect_to("a", alice, remote_address="127.0.0.77", remote_port=4000, srtp=keys.for_worker)
        await media.synchronize()
        wrong = libsrtp.Session(COMMON, Keys.some(COMMON, "mallory").own, inbound=False)
        for sequence in range(10):
            mallory.send_raw(rtp(sequence), target)
            mallory.send_raw(wrong.protect(rtp(sequence)), target)
        assert (await media.counters("a", unauthentic=20)).unauthentic == 20
        assert media.seen(Latched) == []
        alice.send_to(target)
        latched = await media.expect(Latched, stream="a")
        assert (latched.address, latched.port) == (alice.host, alice.port)


async def test_a_stranger_is_refused_by_its_address_before_any_cipher(media: Controller) -> None:
    keys = Keys.some(COMMON)
    async with call(media, keys) as made, await RtpEndpoint.open("127.0.0.9") as mallory:
        await made.both_hear()
        # Even authentic packets: another address is enough.
        thief = libsrtp.Session(COMMON, keys.own, inbound=False)
        for sequence in range(20):
            mallory.send_raw(rtp(sequence), made.to_alice)
            mallory.send_raw(thief.protect(rtp(sequence, ssrc=7)), made.to_alice)
        counters = await made.counters(strangers=40)
        assert (counters.strangers, counters.unauthentic) == (40, 0)
        await made.both_hear()


@pytest.mark.parametrize(
    "wrong",
    [
        SrtpKeys(suite="AES_CM_128_NULL_AUTH", local_key="A" * 40, remote_key="B" * 40),
        SrtpKeys(suite=COMMON, local_key="A" * 40, remote_key="B" * 36),
        SrtpKeys(suite=COMMON, local_key="A" * 40, remote_key="*" * 40),
        SrtpKeys(suite=COMMON, local_key="A" * 40, remote_key="A" * 40),
        SrtpKeys(suite=COMMON, local_key="A" * 40, remote_key="B" * 40, remote_mki="xy"),
    ],
)
async def test_keys_that_cannot_be_used_are_refused_and_nothing_changes(media: Controller, wrong: SrtpKeys) -> None:
    async with call(media, Keys.some(COMMON)) as made:
        media.connect_to("a", made.alice, srtp=wrong)
        failed = await media.expect(Failed, op="connect", subject="a", code="srtp")
        assert wrong.local_key not in failed.reason and wrong.remote_key not in failed.reason
        await made.both_hear()


# --- roll-over, changes of keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM"])
async def test_the_peer_s_sequence_number_rolls_over__rfc3711_3_3_1(media: Controller, suite: str) -> None:
    async with call(media, Keys.some(suite), talk=False) as made:
        made.alice.number_from(65536 - 15)
        made.bob.send_to(made.to_bob)
        made.alice.send_to(made.to_alice)
        await made.both_hear()
        assert (await made.counters()).unauthentic == 0
        assert made.alice._sequence > 65536


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
async def test_our_sequence_number_rolls_over__rfc3711_3_3_1(media: Controller, suite: str) -> None:
    async with call(media, Keys.some(suite), talk=False) as made:
        # Losses of the bridged source stay losses, so its steps carry ours beyond 65535.
        for step in range(60):
            made.bob.send_raw(build_packet(0, 2000 * step, 160 * step, 9, bytes(160)), made.to_bob)
            await asyncio.sleep(0.01)
        made.bob.send_to(made.to_bob)
        made.alice.send_to(made.to_alice)
        await made.both_hear()
        sequences = [packet.sequence for packet in made.alice.packets]
        assert sequences[0] < 32768 and any(b < a for a, b in itertools.pairwise(sequences))
        assert made.alice.refused == []


async def test_the_same_keys_again_change_nothing(media: Controller) -> None:
    keys = Keys.some(COMMON)
    async with call(media, keys) as made:
        await made.both_hear()
        for _ in range(20):
            media.connect_to("a", made.alice, srtp=keys.for_worker)
        await made.both_hear()
        assert len({packet.ssrc for packet in made.alice.packets}) == 1
        assert made.alice.refused == []


async def test_the_peer_changes_its_key_and_packets_under_the_old_one_are_taken_too(media: Controller) -> None:
    first = Keys.some(COMMON, 1)
    second = Keys(COMMON, Keys.some(COMMON, 2).own, first.theirs)
    async with call(media, first) as made:
        await made.both_hear()
        media.connect_to("a", made.alice, srtp=second.for_worker)
        await made.both_hear()
        made.alice._outbound = libsrtp.Session(COMMON, second.own, inbound=False)
        await made.both_hear()
        assert len({packet.ssrc for packet in made.alice.packets}) == 1
        assert (await made.counters()).unauthentic == 0


@pytest.mark.parametrize(("suite", "next_suite"), [(COMMON, COMMON), ("AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM")])
async def test_with_a_new_key_of_ours_goes_a_new_ssrc(media: Controller, suite: str, next_suite: str) -> None:
    first, second = Keys.some(suite, 1), Keys.some(next_suite, 2)
    async with call(media, first) as made:
        await made.both_hear()
        before = {packet.ssrc for packet in made.alice.packets}
        media.connect_to("a", made.alice, srtp=second.for_worker)
        await media.settled("a", "b")
        made.alice.secure(second)
        since = made.alice.mark()
        await made.both_hear()
        after = {packet.ssrc for packet in made.alice.packets[since:]}
        assert len(before) == len(after) == 1 and before != after


async def test_encryption_is_turned_on_and_off_in_mid_call(media: Controller) -> None:
    keys = Keys.some(COMMON)
    async with call(media, keys) as made:
        await made.both_hear()
        for _ in range(2):
            made.alice._keys = None
            media.connect_to("a", made.alice)
            await media.settled("a", "b")
            await asyncio.sleep(0.1)
            await made.both_hear()
            # The same keys once more: another SSRC, or one keystream would hide two packets.
            before = {packet.ssrc for packet in made.alice.packets}
            made.alice.secure(keys)
            media.connect_to("a", made.alice, srtp=keys.for_worker)
            await media.settled("a", "b")
            await asyncio.sleep(0.1)
            since = made.alice.mark()
            await made.both_hear()
            assert not before & {packet.ssrc for packet in made.alice.packets[since:]}


async def test_a_stream_that_moves_to_another_thread_keeps_its_keys(media: Controller) -> None:
    async with call(media, Keys.some(COMMON), apart=True, talk=False) as made:
        made.alice.number_from(65536 - 10)
        made.alice.send_to(made.to_alice)
        made.bob.send_to(made.to_bob)
        media.send(Play(stream="a", play="p", tone="silence"))
        await asyncio.sleep(0.5)
        media.send(Bridge(bridge="ab", first="b", second="a"))
        media.send(Play(stream="a", play="q", tone="silence", duration_ms=1))
        await asyncio.sleep(0.1)
        await made.both_hear()
        assert len({packet.ssrc for packet in made.alice.packets}) == 1
        assert made.alice.refused == []
        assert (await made.counters()).unauthentic == 0


# --- reports ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mux", [False, True])
@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
async def test_reports_are_encrypted_both_ways__rfc3711_3_4(media: Controller, suite: str, mux: bool) -> None:
    keys = Keys.some(suite)
    async with call(media, keys) as made:
        media.connect_to("a", made.alice, rtcp_mux=mux, srtp=keys.for_worker)
        target = (made.to_alice[0], made.to_alice[1] + (0 if mux else 1))
        await made.both_hear()
        ssrc = made.alice.packets[0].ssrc
        block = struct.pack("!IIIIII", ssrc, 0x10 << 24 | 5, 0, 0, 0, 0)
        report = b"\x81\xc9\x00\x07" + bytes(4) + block
        made.alice.send_report(report, target, muxed=mux)
        before = await made.counters(remote_lost=5)
        assert before.remote_lost == 5
        # In the clear, and once more the same: neither is taken.
        lie = report.replace(block, struct.pack("!IIIIII", ssrc, 0xFF << 24 | 77, 0, 0, 0, 0))
        socket = made.alice._media if mux else made.alice._control
        assert socket
        socket.sendto(lie, target)
        for _ in range(100):
            if (after := await made.counters()).unauthentic + after.malformed > before.unauthentic + before.malformed:
                break
            await asyncio.sleep(0.02)
        assert after.remote_lost == 5 and after.unauthentic + after.malformed > before.unauthentic + before.malformed
        first = await made.alice.report()
        assert first[:2] == b"\x81\xc8" and first[4:8] == ssrc.to_bytes(4, "big")
        heard = struct.unpack_from("!I", first, 28)[0]
        assert heard == made.alice._ssrc
        media.send(Close(stream="a"))
        await media.expect(Closed, stream="a")
        await asyncio.sleep(0.1)
        assert any(b"\x81\xcb\x00\x01" + ssrc.to_bytes(4, "big") in report for report in made.alice.reports())


async def test_keys_are_not_in_the_log(tmp_path: Path) -> None:
    keys = Keys.some(COMMON)
    async with running(tmp_path, "--log-level", "debug") as worker:
        media = await worker.controller()
        async with call(media, keys) as made:
            media.connect_to("a", made.alice, codecs=[PCMU, EVENTS], srtp=keys.for_worker)
            await made.both_hear()
        log = worker.errors.read_text()
        assert log and not any(base64.b64encode(key).decode() in log for key in (keys.own, keys.theirs))
