"""The media worker over its real socket and real RTP: control, relay, latching, digits, reports."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from media.engine import (
    Bridge,
    Close,
    Closed,
    Codec,
    Connect,
    Digit,
    Failed,
    Hello,
    Latched,
    List,
    Listing,
    MediaTimeout,
    Mute,
    Open,
    Opened,
    Play,
    Shutdown,
    Stats,
    Stranger,
    Unbridge,
)
from tests.support import ports, sound
from tests.support import ports as ports_of
from tests.support.pace import in_time, judged_by_time
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import EVENTS, IO, PCMA, PCMU, PROGRAM, Controller, Worker, running

pytestmark = pytest.mark.worker


@pytest.fixture(params=[IO, "epoll"])
async def worker(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Worker]:
    """Everything here holds with either way of waiting for sockets; `auto` is io_uring where the kernel allows it."""
    async with running(tmp_path, "--threads", "2", "--io", request.param) as worker:
        yield worker


class Pair:
    """Two phones on two streams of the worker, bridged."""

    def __init__(self, media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, to_alice: Opened, to_bob: Opened) -> None:
        self.media, self.alice, self.bob = media, alice, bob
        self.to_alice, self.to_bob = to_alice, to_bob


async def bridged(
    media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, a: list[Codec] | None = None, b: list[Codec] | None = None
) -> Pair:
    """Streams "a" and "b", bridge "ab"; both phones talk (silence, until they are told what)."""
    to_alice = await media.open("a", call="CA", address="::1" if ":" in alice.host else "127.0.0.1")
    to_bob = await media.open("b", call="CA", address="::1" if ":" in bob.host else "127.0.0.1")
    media.connect_to("a", alice, a)
    media.connect_to("b", bob, b)
    media.send(Bridge(bridge="ab", first="a", second="b"))
    await media.synchronize()
    alice.send_to((to_alice.address, to_alice.port))
    bob.send_to((to_bob.address, to_bob.port))
    return Pair(media, alice, bob, to_alice, to_bob)


def rtp(sequence: int, payload_type: int = 0, ssrc: int = 1, fill: int = 0x55) -> bytes:
    return build_packet(payload_type, sequence, 160 * sequence, ssrc, bytes([fill]) * 160)


async def quiet(media: Controller, phone: RtpEndpoint) -> None:
    """A phone of a bridge falls silent, and what it said has arrived."""
    phone.mute()
    await asyncio.sleep(0.1)
    await media.settled("a", "b")
    await asyncio.sleep(0.05)


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=10, check=False)


# --- the process and its socket -----------------------------------------------------------------------------------


async def test_the_socket_is_for_our_user_only(worker: Worker, media: Controller) -> None:
    assert stat.S_IMODE(worker.socket.stat().st_mode) == 0o600


async def test_a_second_worker_on_a_served_socket_refuses_to_start(worker: Worker, media: Controller) -> None:
    second = await asyncio.to_thread(run_program, "--socket", str(worker.socket))
    assert second.returncode == 1 and "another worker" in second.stderr
    await media.synchronize()


def test_version_is_told_without_a_socket(tmp_path: Path) -> None:
    Worker(tmp_path).stop()
    assert run_program("--version").stdout.startswith("dialplane-media ")


async def test_a_socket_left_behind_by_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await first.controller()
        first.process.kill()
        first.process.wait()
        assert first.socket.exists()
    async with running(tmp_path) as second:
        await second.controller()


async def test_ports_rest_across_the_death_of_a_worker__issue_ports_rest(tmp_path: Path) -> None:
    """Phones that were never told go on sending to the ports of the calls that died: new calls get others as long as there are some."""
    used: set[int] = set()
    low = ports_of.WORKER[0]
    for _ in range(3):  # 72 of 80
        async with running(tmp_path, "--port-min", str(low), "--port-max", str(low + 159)) as worker:
            media = await worker.controller()
            ports = {(await media.open(f"s{number}")).port for number in range(24)}
            worker.process.kill()
            worker.process.wait()
        assert not used & ports
        used |= ports


@pytest.mark.parametrize("way", ["sigterm", "shutdown"])
async def test_it_ends_politely(tmp_path: Path, way: str) -> None:
    async with running(tmp_path) as worker:
        media = await worker.controller()
        await media.open("a")
        if way == "sigterm":
            worker.process.send_signal(signal.SIGTERM)
        else:
            media.send(Shutdown())
        assert await worker.ended() == 0
        await media.expect(Closed, stream="a")
        assert not worker.socket.exists()


async def test_an_idle_worker_leaves_when_told_to(tmp_path: Path) -> None:
    async with running(tmp_path, "--idle-exit", "1") as worker:
        media = await worker.controller()
        await asyncio.sleep(1.5)
        await media.synchronize()
        await media.close()
        assert await worker.ended() == 0


# --- hello, frames, adoption --------------------------------------------------------------------------------------


async def test_hello_is_answered_by_welcome(worker: Worker) -> None:
    connection = await worker.raw_connection()
    welcome = await connection.hello()
    assert (welcome.version, welcome.pid, welcome.threads) == (2, worker.process.pid, 2)


async def test_another_version_is_refused_and_the_controller_stays(worker: Worker, media: Controller) -> None:
    stranger = await worker.raw_connection()
    stranger.send(Hello(version=99))
    await stranger.expect(Failed, op="hello", code="version")
    await stranger.expect_close()
    await media.synchronize()


async def test_a_new_controller_replaces_the_old_one_and_finds_what_lives(worker: Worker, media: Controller) -> None:
    port = (await media.open("a", call="CA")).port
    await media.open("b", call="CB")
    media.send(Bridge(bridge="ab", first="a", second="b"))
    await media.synchronize()
    heir = await worker.controller()
    await media.expect_close()
    heir.send(List())
    listing = await heir.expect(Listing)
    assert [(s.stream, s.call) for s in listing.streams] == [("a", "CA"), ("b", "CB")]
    assert (listing.streams[0].port, listing.bridges) == (port, ["ab"])


async def test_before_hello_nothing_is_done(worker: Worker, media: Controller) -> None:
    connection = await worker.raw_connection()
    connection.send(Open(stream="x", address="127.0.0.1"))
    await connection.expect(Failed, op="open", subject="x", code="frame")
    media.send(List())
    assert (await media.expect(Listing)).streams == []


@pytest.mark.parametrize(
    ("body", "op"),
    [
        (b"", ""),
        (b"\xc1", ""),
        (b"\x93\x01\x02\x03", ""),
        (msgspec.msgpack.encode({"t": "no_such"}), "no_such"),
        (msgspec.msgpack.encode({"t": "open"}), "open"),
        (msgspec.msgpack.encode({"t": "open", "stream": 5, "address": "::1"}), "open"),
        (msgspec.msgpack.encode({"t": "open", "stream": "a b", "address": "::1"}), "open"),
        (msgspec.msgpack.encode({"t": "open", "stream": "x" * 65, "address": "::1"}), "open"),
        (b"\x81\xa1t" + b"\x91" * 100_000, ""),
        (os.urandom(1000), None),
    ],
)
async def test_a_frame_that_does_not_parse_is_answered_and_harms_nothing(media: Controller, body: bytes, op: str | None) -> None:
    media.send_body(body)
    failed = await media.expect(Failed, code="frame")
    assert op is None or failed.op == op
    await media.synchronize()


async def test_a_frame_over_the_limit_closes_the_connection_only(worker: Worker, media: Controller) -> None:
    await media.open("a")
    media.send_raw((1 + (1 << 20)).to_bytes(4, "big"))
    await media.expect(Failed, code="frame")
    await media.expect_close()
    heir = await worker.controller()
    heir.send(List())
    assert len((await heir.expect(Listing)).streams) == 1


async def test_unknown_keys_are_ignored(media: Controller) -> None:
    media.send_body(msgspec.msgpack.encode({"t": "open", "stream": "a", "address": "127.0.0.1", "colour": {"red": [1]}}))
    await media.expect(Opened, stream="a")


async def test_streams_without_a_controller_live_as_long_as_they_were_given(worker: Worker, media: Controller) -> None:
    await media.open("mortal", expires_ms=500)
    await media.open("patient", expires_ms=60_000)
    await media.open("immortal")
    await asyncio.sleep(1.5)
    await media.synchronize()
    assert not media.seen(Closed)
    await media.close()
    await asyncio.sleep(2.5)
    heir = await worker.controller()
    heir.send(List())
    assert [s.stream for s in (await heir.expect(Listing)).streams] == ["immortal", "patient"]


# --- streams ------------------------------------------------------------------------------------------------------


async def test_ports_come_in_even_and_odd_pairs_from_the_range__rfc3550_11(media: Controller) -> None:
    every = [(await media.open(f"s{i}")) for i in range(20)]
    assert all(ports.WORKER[0] <= opened.port < ports.WORKER[1] and opened.port % 2 == 0 for opened in every)
    assert all(opened.rtcp_port == opened.port + 1 for opened in every)
    assert len({opened.port for opened in every}) == 20


async def test_opening_twice_repeats_the_answer(media: Controller) -> None:
    assert await media.open("a") == await media.open("a")


async def test_a_closed_port_rests(tmp_path: Path) -> None:
    async with running(tmp_path, "--port-min", str(ports.CERTAIN), "--port-max", str(ports.CERTAIN + 3)) as worker:
        media = await worker.controller()
        first, second = await media.open("a"), await media.open("b")
        assert {first.port, second.port} == {ports.CERTAIN, ports.CERTAIN + 2}
        media.send(Close(stream="a"))
        await media.expect(Closed, stream="a")
        media.send(Open(stream="c", address="127.0.0.1"))
        await media.expect(Failed, op="open", subject="c", code="no_ports")


async def test_a_port_that_someone_else_has_is_skipped(tmp_path: Path) -> None:
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", ports.CERTAIN + 11))
    async with running(tmp_path, "--port-min", str(ports.CERTAIN + 10), "--port-max", str(ports.CERTAIN + 13)) as worker:
        media = await worker.controller()
        assert (await media.open("a")).port == ports.CERTAIN + 12
    taken.close()


@pytest.mark.parametrize(("address", "code"), [("localhost", "address"), ("192.0.2.1", "address"), ("", "address")])
async def test_an_address_that_is_not_ours_is_refused(media: Controller, address: str, code: str) -> None:
    media.send(Open(stream="a", address=address))
    await media.expect(Failed, op="open", subject="a", code=code)


async def test_closing_is_answered_also_for_what_is_unknown(media: Controller) -> None:
    media.send(Close(stream="nobody"))
    await media.expect(Closed, stream="nobody")


async def test_commands_on_unknown_streams_are_refused(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as phone:
        media.connect_to("nobody", phone)
        await media.expect(Failed, op="connect", subject="nobody", code="unknown_stream")
    media.send(Stats(stream="nobody"))
    await media.expect(Failed, op="stats", subject="nobody", code="unknown_stream")
    media.send(Bridge(bridge="b", first="nobody", second="none"))
    await media.expect(Failed, op="bridge", subject="b", code="unknown_stream")


async def test_a_closed_stream_leaves_no_descriptor(worker: Worker, media: Controller) -> None:
    before = await worker.settled_descriptors(media)
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        assert await worker.until_descriptors(before + 6) == before + 6  # two ports each, and a socket for the peer once it is heard
        media.send(Close(stream="a"))
        media.send(Close(stream="b"))
        await media.expect(Closed, stream="a")
        await media.expect(Closed, stream="b")
    assert await worker.until_descriptors(before) == before


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


# --- who the peer is ----------------------------------------------------------------------------------------------


async def test_a_phone_behind_a_nat_is_found_and_a_stranger_never_heard(media: Controller) -> None:
    async with (
        await RtpEndpoint.open("127.0.0.2") as alice,
        await RtpEndpoint.open("127.0.0.3") as bob,
        await RtpEndpoint.open("127.0.0.9") as mallory,
    ):
        opened = [await media.open(name, call="CA") for name in ("a", "b")]
        media.connect_to("a", alice, remote_address="127.0.0.77", remote_port=4000)
        media.connect_to("b", bob)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        bob.send_to((opened[1].address, opened[1].port))
        alice.send_to((opened[0].address, opened[0].port))
        latched = await media.expect(Latched, stream="a")
        assert (latched.address, latched.port) == (alice.host, alice.port)
        await media.counters("a", packets_in=10)
        mallory.say(sound.tone(1000, 2.0))
        mallory.send_to((opened[0].address, opened[0].port))
        stranger = await media.expect(Stranger, stream="a")
        assert (stranger.address, stranger.port) == (mallory.host, mallory.port)
        alice.say(sound.chirp_up(0.5))
        await bob.hears(sound.chirp_up(0.5), likeness=0.99)
        assert sound.tone_seconds(bob.heard(), 1000) == 0
        assert mallory.packets == []
        assert len(media.seen(Stranger)) == 1
        for _ in range(200):
            if (strangers := (await media.stats("a")).counters.strangers) > 10:
                break
            await asyncio.sleep(0.02)
        assert strangers > 10


async def test_without_leave_to_latch_only_the_signalled_address_is_heard(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        media.connect_to("a", alice, remote_port=alice.port + 2, latch=False)
        await media.expect(Stranger, stream="a")
        await media.settled("a", "b")
        await asyncio.sleep(0.1)
        since = bob.mark()
        await asyncio.sleep(0.2)
        assert len(bob.packets) == since
        assert pair.media.seen(Latched) == []


async def test_implausible_packets_do_not_move_the_latch(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.9") as mallory:
        at = await media.open("a")
        target = (at.address, at.port)
        media.connect_to("a", alice, remote_address="127.0.0.77", remote_port=4000)
        await media.synchronize()
        for junk in (b"", b"\x80", os.urandom(172)[:1], b"\x00" + rtp(1)[1:], rtp(1, payload_type=96), b"\x80\xc8" + bytes(26)):
            mallory.send_raw(junk, target)
        await asyncio.sleep(0.1)
        await media.settled("a")
        assert media.seen(Latched) == []
        alice.send_to(target)
        await media.expect(Latched, stream="a", port=alice.port)


async def test_a_new_address_in_the_session_opens_the_latch_again(media: Controller) -> None:
    async with (
        await RtpEndpoint.open("127.0.0.2") as alice,
        await RtpEndpoint.open("127.0.0.3") as bob,
        await RtpEndpoint.open("127.0.0.4") as carol,
    ):
        pair = await bridged(media, alice, bob)
        await asyncio.sleep(0.2)
        media.connect_to("a", carol)
        carol.send_to((pair.to_alice.address, pair.to_alice.port))
        carol.say(sound.chirp_up(0.5))
        alice.say(sound.chirp_down(0.5))
        await bob.hears(sound.chirp_up(0.5))
        await alice.said()
        assert sound.find(sound.chirp_down(0.5), bob.heard()).likeness < 0.5
        bob.say(sound.chirp_down(0.5))
        await carol.hears(sound.chirp_down(0.5))


async def test_the_same_session_again_changes_nothing(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        alice.say(sound.chirp_up(0.6))
        for _ in range(20):
            media.connect_to("a", alice)
            media.connect_to("b", bob)
            media.send(Bridge(bridge="ab", first="a", second="b"))
            await asyncio.sleep(0.02)
        await bob.hears(sound.chirp_up(0.6), likeness=0.99)


async def test_any_bytes_on_the_ports_leave_it_running(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        generator = np.random.default_rng(1)
        for round_ in range(3000):
            junk = bytearray(generator.bytes(int(generator.integers(0, 200))))
            if junk and round_ % 2:
                junk[0] = 0x80 | junk[0] & 0x3F
            alice.send_raw(bytes(junk), (pair.to_alice.address, pair.to_alice.port + round_ % 3 % 2))
            if round_ % 100 == 0:
                await asyncio.sleep(0.005)
        alice.say(sound.chirp_up(0.5))
        await bob.hears(sound.chirp_up(0.5))
        assert (await media.stats("a")).counters.malformed > 100


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
