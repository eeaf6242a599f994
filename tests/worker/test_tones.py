"""Keys as tones in the audio through the real worker, and from one form to the other where legs differ."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from media.engine import Codec, Digit, Mute, Play, PlayEnded, Unbridge
from media.prompts.speech import Speech
from media.settings import SpeechSettings
from tests.support import pace, sound
from tests.support.keys import event, keys_of, press, presses, spelt, tones, tones_in
from tests.support.pace import PACE, judged_by_time
from tests.support.rtp import FRAME, RtpEndpoint
from tests.support.sound import Samples
from tests.support.worker import EVENTS, PCMA, PCMU, Controller
from tests.worker.mouths import ALL, FAST_EVENTS, L16, OPUS, PATIENCE_S, Mouth, assert_unbroken, joined, sources, told

pytestmark = pytest.mark.worker


# --- tones come in --------------------------------------------------------------------------------------------------


async def hear_all(media: Controller, expected: dict[str, str], audio: dict[str, Samples], payload_type: int = 0) -> None:
    """Each sound said by a phone of its own, all at the same time; of each its keys are told, and no others.

    What was held up is said again, in less company: a key whose packets come apart is two.
    """
    for number in range(1, pace.TRIES + 1):
        began = time.monotonic()
        told = await _hear_all(media, {f"{name}-{number}": samples for name, samples in audio.items()}, payload_type)
        wrong = {name for name in audio if told[f"{name}-{number}"] != expected[name]}
        if not wrong:
            return
        text = f"{ {name: told[f'{name}-{number}'] for name in wrong} }; {PACE.told(began)}"
        assert PACE.worst(began) > PATIENCE_S and number < pace.TRIES, text
        audio = {name: audio[name] for name in wrong}


async def _hear_all(media: Controller, audio: dict[str, Samples], payload_type: int) -> dict[str, str]:
    phones = [await RtpEndpoint.open("127.0.0.2") for _ in audio]
    mouths = []
    for name, phone in zip(audio, phones, strict=True):
        opened = await media.open(name)
        media.connect_to(name, phone, [PCMU, PCMA], inband_digits=True)
        mouths.append(Mouth(phone, opened))
    await media.synchronize()
    await asyncio.gather(*(mouth.say(samples, payload_type) for mouth, samples in zip(mouths, audio.values(), strict=True)))
    await asyncio.sleep(0.4)
    await media.settled(*audio)
    for phone in phones:
        await phone.close()
    return {name: "".join(one.digit for one in media.seen(Digit) if one.stream == name) for name in audio}


@pytest.mark.parametrize("payload_type", [0, 8])
async def test_tones_within_the_limits_are_keys__q24(media: Controller, payload_type: int) -> None:
    lead = sound.silence(0.1)
    cases = {
        "loud": spelt(ALL, 0.05, 0.05, level_dbm0=-3.0),
        "quiet": spelt(ALL, 0.05, 0.05, level_dbm0=-25.0),
        "high-louder": spelt(ALL, 0.05, 0.05, level_dbm0=-12.0, twist_db=4.0),
        "high-quieter": spelt(ALL, 0.05, 0.05, level_dbm0=-10.0, twist_db=-8.0),
        "too-high": spelt(ALL, 0.05, 0.05, off_percent=(1.5, 1.5), off_hz=2.0),
        "too-low": spelt(ALL, 0.05, 0.05, off_percent=(-1.5, -1.5), off_hz=2.0),
        "apart": spelt(ALL, 0.05, 0.05, off_percent=(-1.5, 1.5), off_hz=2.0),
        "short": spelt(ALL, 0.04, 0.06),
        "short-gap": spelt(ALL + "55", 0.06, 0.04),
        "long": spelt("5*", 1.0, 0.1),
        "torn": np.concatenate([spelt("5", 0.05, 0.01), spelt("5", 0.05, 0.06)]),
    }
    expected = dict.fromkeys(cases, ALL) | {"short-gap": ALL + "55", "long": "5*", "torn": "5"}
    await hear_all(media, expected, {name: np.concatenate([lead, audio]) for name, audio in cases.items()}, payload_type)
    assert sources(media) == {"inband"}


async def test_tones_beyond_the_limits_are_none__q24(media: Controller) -> None:
    cases = {
        "faint": spelt(ALL, 0.06, 0.06, level_dbm0=-30.0),
        "far-too-high": spelt(ALL, 0.06, 0.06, off_percent=(3.5, 3.5)),
        "far-too-low": spelt(ALL, 0.06, 0.06, off_percent=(0.0, -3.5)),
        "a-click": spelt(ALL, 0.02, 0.08),
        "one-tone": np.concatenate([sound.tone(hz, 0.1) for hz in (697, 770, 852, 941, 1209, 1336, 1477, 1633)]),
        "ringback": np.concatenate([sound.tone(440, 1.0, 5000) + sound.tone(480, 1.0, 5000)]),
        "sweep": sound.chirp_up(2.0),
    }
    await hear_all(media, dict.fromkeys(cases, ""), cases)


PARAGRAPHS = {
    "en": "Please hold the line while I look at your account. Seven hundred and seventy six people called us yesterday evening, "
    "and most of them wanted to know when the shop would open again after the holidays. I do not know it either. "
    "Eleven benevolent elephants; she sells sea shells by the sea shore; how now, brown cow, we were away a year ago.",
    "de": "Bitte bleiben Sie in der Leitung, ich verbinde Sie mit der Abteilung. Zweiundzwanzig freundliche Frauen fuhren fröhlich "
    "über die Brücke. Wir waren gestern im Wald, und die Luft war wunderbar. Auf Wiederhören und vielen Dank für Ihren Anruf.",
    "fr": "Ne quittez pas, un conseiller va vous répondre dans quelques minutes. Les vieux amis arrivent lundi avec une valise rouge, "
    "et nous irons au bord de la mer où il y a du vent et du soleil. Merci de votre appel, au revoir et à bientôt.",
    "es": "Espere un momento, por favor, que ahora le atiende un compañero. Mañana iremos todos juntos a la montaña, aunque llueva "
    "mucho. Ella quería una naranja y un vaso de agua, y él no quería nada. Gracias por su llamada y hasta luego.",
}


async def test_minutes_of_speech_hold_no_key__q24_talk_off(media: Controller, tmp_path: Path) -> None:
    """Eight voices in four languages, each cut into pieces that are said side by side, at two levels."""
    speech = Speech(SpeechSettings(cache_dir=str(tmp_path / "speech"), processes=2))
    try:
        wishes = [(text, voice, language) for language, text in PARAGRAPHS.items() for voice in ("man", "woman")]
        files = await asyncio.gather(*(speech.say(text, voice, language) for text, voice, language in wishes))
    finally:
        await speech.close()
    spoken = np.concatenate([sound.read_wav(Path(file.path))[0][:, 0] for file in files])
    assert len(spoken) > 100 * sound.RATE_HZ and sound.loudness(spoken) > 500
    quiet = (spoken.astype(np.float64) * 0.25).astype(np.int16)
    piece = 10 * sound.RATE_HZ
    # Neighbours overlap by a second, so that no word is cut in all of them.
    pieces = {
        f"{name}-{start // sound.RATE_HZ}": audio[start : start + piece]
        for name, audio in (("loud", spoken), ("quiet", quiet))
        for start in range(0, len(audio), piece - sound.RATE_HZ)
    }
    key = {"key-at-the-end": np.concatenate([spoken[:piece], sound.silence(0.1), spelt("8", 0.06, 0.06)])}  # they do listen
    await hear_all(media, dict.fromkeys(pieces, "") | {"key-at-the-end": "8"}, pieces | key)


async def test_tones_are_not_listened_for_unless_asked_for(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob)
    await Mouth(alice, to_alice).say(spelt("123"))
    assert await told(media, 1, timeout_s=0.2) == ""
    assert "".join(one.key for one in tones_in(bob.heard())) == "123"


async def test_a_press_in_both_forms_is_one(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob, inband=True)
    mouth = Mouth(alice, to_alice)
    for key in "1#55":
        # Tones begin; events follow with the first packets, or after some, in between the audio.
        audio, payloads = tones(key, 0.12), press(key, 960)
        for number, start in enumerate(range(0, len(audio), FRAME)):
            timestamp = mouth.timestamp
            mouth.send([mouth.packet(sound.encode(audio[start : start + FRAME]), 0)])
            mouth.timestamp = timestamp - number * FRAME
            mouth.send([mouth.packet(payload, 101) for payload in (payloads[number:] if number == 5 else payloads[number : number + 1])])
            mouth.timestamp = timestamp + FRAME
            await asyncio.sleep(0.02)
        await mouth.say(sound.silence(0.1))
    heard = await told(media, 4)
    with judged_by_time(allowed_s=PATIENCE_S):
        assert heard == "1#55"
    assert [one.key for one in presses(bob.packets)] == list("1#55")


# --- from one form to the other ---------------------------------------------------------------------------------------


async def test_events_of_one_clock_become_events_of_the_other(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, to_bob = await joined(media, alice, bob, [PCMU, EVENTS], [OPUS, FAST_EVENTS])
    await Mouth(alice, to_alice).press("19*0#D55", 120)
    fast = Mouth(bob, to_bob, units=960, event_type=110)
    await fast.press("19*0#D55", 120)
    heard = await told(media, 8), await told(media, 8, "b")
    with judged_by_time(allowed_s=PATIENCE_S):
        assert heard == ("19*0#D55", "19*0#D55")
    to_fast, to_slow = presses(bob.packets, 110), presses(alice.packets, 101)
    assert "".join(one.key for one in to_fast) == "".join(one.key for one in to_slow) == "19*0#D55"
    with judged_by_time():
        assert all(120 <= one.duration / 48 <= 160 for one in to_fast) and all(120 <= one.duration / 8 <= 160 for one in to_slow)
    assert {one.ends for one in to_fast + to_slow} == {3}
    assert_unbroken(bob.packets)
    assert_unbroken(alice.packets)


async def test_a_converted_press_begins_while_the_key_is_held(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob, [PCMU, EVENTS], [OPUS, FAST_EVENTS])
    began = asyncio.get_running_loop().time()
    await Mouth(alice, to_alice).press("7", 2000)
    first = next(packet for packet in bob.packets if packet.payload_type == 110)
    with judged_by_time(began):
        assert first.at - began < 0.1
    await bob.until_silence()
    with judged_by_time(began):
        (one,) = presses(bob.packets, 110)
        assert (one.key, one.ends) == ("7", 3)
        assert 96_000 <= one.duration <= 100_800


async def test_a_converted_press_whose_ends_were_lost_ends(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob, [PCMU, EVENTS], [PCMU])
    mouth = Mouth(alice, to_alice)
    mouth.send(mouth.pressed("3")[:-3])
    assert await told(media, 1) == "3"
    await bob.until_silence()
    (one,) = tones_in(bob.heard())
    with judged_by_time():
        assert one.key == "3" and one.seconds < 0.4


@pytest.mark.parametrize("b", [[PCMU], [PCMA]], ids=["same codec", "other law"])
async def test_events_become_tones_for_a_peer_without_them(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, b: list[Codec]) -> None:
    to_alice, _ = await joined(media, alice, bob, [PCMU, EVENTS], b)
    alice.say(sound.tone(1000, 0.5))
    alice.send_to((to_alice.address, to_alice.port))
    await bob.hears_tone(1000, seconds=0.4)
    alice.press("19*0#D55")
    heard = await told(media, 8)
    found = tones_in(bob.heard())
    with judged_by_time():
        assert heard == "".join(one.key for one in found) == "19*0#D55"
        assert all(abs(one.seconds - 0.1) <= 0.025 for one in found)
    since = bob.mark()
    alice.say(sound.chirp_up(0.5))
    await bob.hears(sound.chirp_up(0.5), since=since)
    assert_unbroken(bob.packets)


async def test_events_become_tones_in_a_transcoded_call(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    _, to_bob = await joined(media, alice, bob, [PCMU], [OPUS, FAST_EVENTS])
    await Mouth(bob, to_bob, units=960, event_type=110).press("19*0#D55", 120)
    heard = await told(media, 8, "b")
    with judged_by_time(allowed_s=PATIENCE_S):
        assert heard == "".join(one.key for one in tones_in(alice.heard())) == "19*0#D55"


async def test_tones_become_events_and_are_not_heard_beside_them(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob, [PCMU], [PCMU, EVENTS], inband=True)
    mouth = Mouth(alice, to_alice)
    await mouth.say(np.concatenate([sound.chirp_up(0.5), sound.silence(0.1)]))
    await mouth.say(np.concatenate([spelt("19*0#D55", 0.2, 0.15), sound.silence(0.2)]))
    await mouth.say(sound.chirp_down(0.5))
    keys = await told(media, 8)
    with judged_by_time():
        assert keys == keys_of(bob.packets) == "19*0#D55"
        assert all(abs(one.duration / 8 - 200) <= 30 for one in presses(bob.packets))
    heard = bob.heard()
    # The relay goes on around them; of each tone no more is heard than it takes to know it.
    assert sound.find(sound.chirp_up(0.5), heard).likeness > 0.95
    assert sound.find(sound.chirp_down(0.5), heard).likeness > 0.95
    with judged_by_time():
        assert all(one.seconds <= 0.08 for one in tones_in(heard))
    assert_unbroken(bob.packets)


async def test_tones_become_events_in_a_transcoded_call(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob, [PCMU], [OPUS, FAST_EVENTS], inband=True)
    await Mouth(alice, to_alice).say(np.concatenate([spelt("19*0#D55", 0.1, 0.1), sound.silence(0.2)]))
    heard = await told(media, 8)
    with judged_by_time(allowed_s=PATIENCE_S):
        assert heard == keys_of(bob.packets, 110) == "19*0#D55"


@pytest.mark.parametrize(("a", "b"), [([PCMU, EVENTS], [PCMU]), ([PCMU], [PCMA]), ([L16], [PCMU])], ids=["pass", "law", "transcoded"])
async def test_tones_stay_in_the_audio_for_a_peer_without_events(
    media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, a: list[Codec], b: list[Codec]
) -> None:
    to_alice, _ = await joined(media, alice, bob, a, b, inband=True)
    mouth, audio = Mouth(alice, to_alice), np.concatenate([spelt("19*0#D55"), sound.silence(0.3)])
    if a == [L16]:
        for start in range(0, len(audio) - FRAME + 1, FRAME):
            mouth.send([mouth.packet(audio[start : start + FRAME].astype(">i2").tobytes(), 96)])
            mouth.timestamp += FRAME
            await asyncio.sleep(0.0195)
    else:
        await mouth.say(audio)
    heard = await told(media, 8)
    with judged_by_time(allowed_s=0.04):
        assert heard == "".join(one.key for one in tones_in(bob.heard())) == "19*0#D55"


async def test_who_is_muted_may_press_keys(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob)
    media.send(Mute(stream="a", muted=True))
    await media.settled("a", "b")
    alice.say(sound.tone(1000, 1.5))
    alice.send_to((to_alice.address, to_alice.port))
    await asyncio.sleep(0.3)
    alice.press("19#")
    assert await told(media, 3) == "19#"
    assert keys_of(bob.packets) == "19#"
    assert sound.loudness(bob.heard()) < 10
    assert_unbroken(bob.packets)


async def test_keys_are_not_heard_beside_a_play(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob, [PCMU, EVENTS], [PCMU])
    media.send(Play(stream="b", play="p", tone="beep", loop=0, duration_ms=1000))
    await bob.hears_tone(1000, seconds=0.1)
    await Mouth(alice, to_alice).press("5")
    assert await told(media, 1) == "5"
    await media.expect(PlayEnded, reason="finished")
    assert tones_in(bob.heard()) == []


async def test_a_held_key_is_let_go_when_the_bridge_ends(media: Controller, alice: RtpEndpoint, bob: RtpEndpoint) -> None:
    to_alice, _ = await joined(media, alice, bob, [PCMU, EVENTS], [OPUS, FAST_EVENTS])
    mouth = Mouth(alice, to_alice)
    for number in range(1, 6):
        mouth.send([mouth.packet(event("9", 160 * number), 101)])
        due = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        PACE.note(time.monotonic() - due, "a phone")
    media.send(Unbridge(bridge="ab"))
    await asyncio.sleep(0.3)
    await media.settled("a", "b")
    await bob.until_silence()
    with judged_by_time():
        (one,) = presses(bob.packets, 110)
        assert one.ends == 3 and one.duration <= 0.16 * 48_000
