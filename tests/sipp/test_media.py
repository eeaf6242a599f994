"""What the two parties hear (behaviour 0.1, 0.2, 7, 10.2), with real RTP through the media worker."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.support import sound
from tests.support.app import Answer, audio, nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.sipp import Phone

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"


async def talk_both_ways(caller: Phone, callee: Phone, delay_s: float = 0.25) -> None:
    """Each says its own chirp and hears the other's, and not its own."""
    await asyncio.gather(caller.until("ACK"), callee.until("ACK"))
    near, far = ear(caller), ear(callee)
    near.say(sound.chirp_up())
    far.say(sound.chirp_down())
    await asyncio.gather(far.hears(sound.chirp_up(), likeness=0.95), near.hears(sound.chirp_down(), likeness=0.95))
    assert sound.find(sound.chirp_up(), near.heard()).likeness < 0.5
    assert sound.find(sound.chirp_down(), far.heard()).likeness < 0.5


@pytest.mark.parametrize(("payload_type", "name"), [(0, "PCMU"), (8, "PCMA")])
async def test_both_hear_each_other__issue_media_worker(scene: Scene, payload_type: int, name: str) -> None:
    callee = await scene.called("callee_waits", payload_type=payload_type, payloads=payload_type)
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=3000, payload_type=payload_type, payloads=payload_type)
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)
    assert {p.payload_type for p in ear(caller).packets} == {payload_type}, name
    assert {p.ssrc for p in ear(caller).packets[-50:]} == {ear(caller).packets[-1].ssrc}


async def test_keys_reach_the_other_side_once_each__rfc4733(scene: Scene) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=3500)
    await asyncio.gather(caller.until("ACK"), callee.until("ACK"))
    ear(caller).press("159#")
    ear(callee).press("*0")
    await scene.through(caller, callee)
    assert ear(callee).digits() == "159#"
    assert ear(caller).digits() == "*0"


async def test_rtp_from_behind_nat_is_answered_where_it_comes_from__symmetric_rtp(scene: Scene) -> None:
    """The caller's SDP names a port where nobody listens."""
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=3000, rtp_port=9)
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)


async def test_rtp_from_a_stranger_is_not_passed_on__rtpbleed(scene: Scene) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=4500)
    await talk_both_ways(caller, callee)
    stranger = await scene.rtp("127.0.0.7")
    for target in (ear(caller).target, ear(callee).target):
        assert target is not None
        marks = ear(caller).mark(), ear(callee).mark()
        stranger.say(sound.tone(1700, 0.6))
        stranger.send_to(target)
        await stranger.said()
        await asyncio.sleep(0.2)
        assert sound.tone_seconds(ear(caller).heard(marks[0]), 1700) == 0.0
        assert sound.tone_seconds(ear(callee).heard(marks[1]), 1700) == 0.0
    assert stranger.packets == []
    await scene.through(caller, callee)


# --- recording ------------------------------------------------------------------------------------------------------


async def test_a_recording_holds_both_voices__behaviour_7(scene: Scene) -> None:
    callee = await scene.called("callee_waits", ring_ms=800)
    scene.app.answer("/voice", rcml(f"<Dial record='true' action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=3000)
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)

    asked = await scene.app.asked("/done")
    url = asked["RecordingUrl"]
    assert url == asked["PublicRecordingUrl"]
    assert url.startswith(f"{scene.server.http_url}/restcomm/2012-04-24/Accounts/{asked['AccountSid']}/Recordings/RE")
    samples, rate = sound.read_wav(await fetch_recording(scene, url))
    assert (rate, samples.shape[1]) == (8000, 1)
    talked = caller.first("BYE", received=False).at - callee.first("ACK").at
    with judged_by_time():
        assert len(samples) / rate == pytest.approx(talked, abs=0.15)  # from the bridge on: no ringing
    up = sound.find_in_pieces(sound.chirp_up(), samples[:, 0])
    down = sound.find_in_pieces(sound.chirp_down(), samples[:, 0])
    with judged_by_time():
        assert min(up.likeness, down.likeness) > 0.6  # 0.71 is all there can be, as they spoke at the same time
        assert abs(up.at_s - down.at_s) < 0.1


async def test_nothing_is_recorded_of_an_unanswered_dial__behaviour_7(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=300, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial record='true' action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert "RecordingUrl" not in await scene.app.asked("/done")


async def fetch_recording(scene: Scene, url: str) -> bytes:
    """It may take a moment until it is there (REF: "may not yet be accessible")."""
    for _ in range(100):
        status, body = await asyncio.to_thread(scene.server.get, urlsplit(url).path)
        if status == 200:
            return body
        await asyncio.sleep(0.05)
    raise AssertionError(f"no recording at {url}: {status}")


# --- while it rings -------------------------------------------------------------------------------------------------


async def test_dial_music_is_early_media_for_an_unanswered_caller__behaviour_10_2(scene: Scene) -> None:
    """183 with SDP, and half a second of music heard over and over until the answer."""
    callee = await scene.called("callee_waits", ring_ms=3000)
    scene.app.answer("/voice", rcml(f"<Dial dialMusic='music.wav'>{callee.uri}</Dial>"))
    scene.app.answer("/music.wav", audio(sound.wav(sound.tone(700, 0.5))))
    caller = await scene.calling("caller_hangs_up", talk_ms=2500)
    await ear(caller).hears_tone(700, seconds=1.8)
    await talk_both_ways(caller, callee)
    mark = ear(caller).mark()
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 183, 200]
    assert "m=audio" in caller.first("SIP/2.0 183").body
    assert sound.tone_seconds(ear(caller).heard(mark), 700) == 0.0
    assert sound.tone_seconds(ear(callee).heard(), 700) <= 0.1  # the chirp passes by


async def test_the_sdp_of_the_answer_is_that_of_the_183__trap_38(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=1500, talk_ms=300)
    scene.app.answer("/voice", rcml(f"<Dial dialMusic='music.wav'>{callee.uri}</Dial>"))
    scene.app.answer("/music.wav", audio(sound.wav(sound.tone(700, 0.5))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert caller.first("SIP/2.0 183").body == caller.first("SIP/2.0 200").body


async def test_dial_music_disabled_is_a_plain_180__behaviour_10_2(scene: Scene) -> None:
    callee = await scene.called("callee_waits", ring_ms=1500)
    scene.app.answer("/voice", rcml(f"<Dial dialMusic='Disabled'>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=1000)
    await callee.until("SIP/2.0 180")
    await asyncio.sleep(1.0)
    assert ear(caller).packets == []
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]


async def test_dial_music_disabled_is_silence_for_an_answered_caller__behaviour_10_2(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=1500, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial answerOnBridge='false' dialMusic='disabled'>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert sound.loud_seconds(ear(caller).heard()) == 0.0


@pytest.mark.parametrize("answer", [Answer(status=404), Answer(b"this is no audio", content_type="audio/wav")], ids=["404", "no-wav"])
async def test_dial_music_that_cannot_be_had_leaves_ringback__behaviour_10_2(scene: Scene, answer: Answer) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=2500, talk_ms=300)
    scene.app.answer("/voice", rcml(f"<Dial answerOnBridge='false' dialMusic='/no.wav'>{callee.uri}</Dial>"))
    scene.app.answer("/no.wav", answer)
    caller = await scene.calling("caller_waits")
    await ear(caller).hears_tone(440, seconds=0.8)
    await scene.through(caller, callee)
    assert len(scene.app.asked_for("/no.wav")) == 1


async def test_slow_dial_music_does_not_delay_the_call__behaviour_10_2(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=300, talk_ms=500)
    scene.app.answer("/voice", rcml(f"<Dial dialMusic='/slow.wav'>{callee.uri}</Dial>"))
    scene.app.answer("/slow.wav", audio(sound.wav(sound.tone(700, 0.5)), delay_s=3.0))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    with judged_by_time():
        assert callee.first("INVITE").at - caller.first("INVITE", received=False).at < 1.0
    assert caller.statuses() == [180, 200]


async def test_an_answered_caller_hears_ringback__behaviour_10_2(scene: Scene) -> None:
    """The US cadence: 440 and 480 Hz together, two seconds of every six."""
    callee = await scene.called("callee_hangs_up", ring_ms=4000, talk_ms=600)
    scene.app.answer("/voice", rcml(f"<Dial answerOnBridge='false'>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_waits")
    await callee.until("ACK")
    rang = ear(caller).heard()
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
    with judged_by_time():
        assert sound.loud_seconds(rang) == pytest.approx(2.0, abs=0.2)
        assert sound.tone_seconds(rang, 440, share=0.3) == pytest.approx(2.0, abs=0.2)
        assert sound.tone_seconds(rang, 480, share=0.3) == pytest.approx(2.0, abs=0.2)


async def test_a_183_without_media_leaves_the_ringback_until_there_is_some__rfc3960_3_2(scene: Scene) -> None:
    callee = await scene.called("callee_plays_early_media", ring_ms=3500)
    ear(callee).mute()
    scene.app.answer("/voice", rcml(f"<Dial answerOnBridge='false'>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=4000)
    await callee.until("SIP/2.0 183")
    await ear(caller).hears_tone(440, seconds=0.8)
    ear(callee).mute(False)
    ear(callee).say(sound.tone(950, 1.0))
    await ear(caller).hears_tone(950, seconds=0.6)
    await scene.through(caller, callee)


async def test_a_pause_is_silence_and_no_lack_of_packets__behaviour_10_2(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Play>/short.wav</Play><Pause length='2'/>"))
    scene.app.answer("/short.wav", audio(sound.wav(sound.tone(700, 0.4))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    with judged_by_time():
        assert len(ear(caller).packets) >= 100
        assert sound.loud_seconds(ear(caller).heard()) == pytest.approx(0.4, abs=0.2)


async def test_a_single_callees_early_media_reaches_the_caller__behaviour_0_1(scene: Scene) -> None:
    callee = await scene.called("callee_plays_early_media", ring_ms=2500)
    ear(callee).say(sound.tone(950, 2.0))
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=3000)
    await ear(caller).hears_tone(950, seconds=1.0)
    assert [m.status for m in caller.received if m.status >= 200] == []
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 183, 200]


async def test_early_media_of_a_refusing_callee_is_heard_before_the_refusal__behaviour_0_1(scene: Scene) -> None:
    callee = await scene.called("callee_rejects_after_early_media", ring_ms=1800, status_line="SIP/2.0 404 Not Found")
    ear(callee).say(sound.tone(950, 1.5))
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 183, 404]
    with judged_by_time():
        assert sound.tone_seconds(ear(caller).heard(), 950) > 1.0


async def test_no_early_media_is_passed_on_in_a_fork__behaviour_0_1(scene: Scene) -> None:
    early = await scene.called("callee_plays_early_media", ring_ms=1500)
    ear(early).say(sound.tone(950, 1.0))
    other = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial><Sip>{early.uri}</Sip><Sip>{other.uri}</Sip></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=600)
    await early.until("SIP/2.0 183")
    await asyncio.sleep(1.0)
    assert ear(caller).packets == []
    await scene.through(caller, early, other)
    assert caller.statuses() == [180, 200]


# --- hold -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_hold_is_answered_locally_and_silences_the_held_side__behaviour_2_11(scene: Scene, who: str) -> None:
    """The other leg is not re-INVITEd; after the resume both hear each other again."""
    callee = await scene.called("callee_holds" if who == "callee" else "callee_waits", talk_ms=2200, hold_ms=1500)
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    if who == "caller":
        caller = await scene.calling("caller_holds", talk_ms=2200, hold_ms=1500, rest_ms=2500)
    else:
        caller = await scene.calling("caller_hangs_up", talk_ms=7000)
    holder, held = (caller, callee) if who == "caller" else (callee, caller)
    await talk_both_ways(caller, callee)

    await holder.until("INVITE", occurrence=2 if who == "caller" else 1, received=False)
    await asyncio.sleep(0.3)
    mark = ear(holder).mark()
    ear(held).say(sound.tone(1300, 0.5))
    await asyncio.sleep(0.9)
    assert sound.tone_seconds(ear(holder).heard(mark), 1300) == 0.0  # sendonly: the holder does not want to hear

    await holder.until("INVITE", occurrence=3 if who == "caller" else 2, received=False)
    await asyncio.sleep(0.3)
    mark = ear(holder).mark()
    ear(held).say(sound.tone(1500, 0.6))
    await ear(holder).hears_tone(1500, seconds=0.4, since=mark)
    await scene.through(caller, callee)
    assert [m for m in held.received if not m.status and m.method == "INVITE"][1:] == []
    answers = [m for m in holder.received if m.status == 200 and m.method == "INVITE"]
    assert "a=recvonly" in answers[-2].body or "a=inactive" in answers[-2].body
    assert "a=sendrecv" in answers[-1].body or "a=recvonly" not in answers[-1].body


async def test_the_sdp_version_rises_by_one_with_each_change__trap_38(scene: Scene) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_holds", talk_ms=400, hold_ms=400, rest_ms=400)
    await scene.through(caller, callee)
    bodies = [m.body for m in caller.received if m.status == 200 and m.method == "INVITE"]
    origins = [next(line for line in body.splitlines() if line.startswith("o=")).split() for body in bodies]
    versions = [int(origin[2]) for origin in origins]
    assert versions == [versions[0], versions[0] + 1, versions[0] + 2]
    assert len({origin[1] for origin in origins}) == 1
