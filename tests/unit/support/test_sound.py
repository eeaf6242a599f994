"""The tools that judge audio must themselves be right: a judge that hears everything everywhere proves nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import sound


@pytest.mark.parametrize("payload_type", [0, 8])
def test_g711_comes_back_within_its_steps(payload_type: int) -> None:
    ramp = np.arange(-32000, 32000, 7, dtype=np.int16)
    back = sound.decode(sound.encode(ramp, payload_type), payload_type).astype(int)
    assert np.max(np.abs(back - ramp) / np.maximum(np.abs(ramp.astype(int)), 600)) < 0.06


@pytest.mark.parametrize(
    ("payload_type", "octet", "value"),
    [(0, 0xFF, 0), (0, 0x00, -32124), (0, 0x80, 32124), (8, 0xD5, 8), (8, 0x2A, -32256)],
)
def test_g711_octets_mean_what_the_table_says__g711(payload_type: int, octet: int, value: int) -> None:
    assert sound.decode(bytes([octet]), payload_type)[0] == value


def test_a_chirp_is_found_where_it_is() -> None:
    heard = np.concatenate((sound.silence(0.731), sound.chirp_up(), sound.tone(440, 1.0)))
    match = sound.find(sound.chirp_up(), heard)
    assert match.likeness > 0.999
    assert abs(match.at_s - 0.731) < 0.001


@pytest.mark.parametrize("other", [sound.chirp_down(), sound.tone(1000, 1.0), sound.silence(1.5), sound.chirp_up()[::-1].copy()])
def test_a_chirp_is_not_found_where_it_is_not(other: sound.Samples) -> None:
    assert sound.find(sound.chirp_up(), np.concatenate((sound.silence(0.3), other, sound.silence(0.3)))).likeness < 0.3


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_a_recording_of_another_rate_is_the_same_sound(rate_hz: int) -> None:
    there = sound.resample(sound.chirp_up(), sound.RATE_HZ, rate_hz)
    assert len(there) == rate_hz
    assert sound.find(sound.chirp_up(), sound.resample(there, rate_hz, sound.RATE_HZ)).likeness > 0.999


def test_a_chirp_with_a_cut_is_there_nearly_whole() -> None:
    words = sound.chirp_up()
    heard = np.concatenate((sound.silence(0.3), words[:3950], words[3650:6000], words[6200:], sound.silence(0.3)))
    assert sound.find(words, heard).likeness < 0.9
    assert sound.share_found(words, heard) >= 0.9


@pytest.mark.parametrize("other", [sound.chirp_down(), sound.tone(1000, 1.0), sound.silence(1.5)])
def test_of_a_chirp_nothing_is_there_where_it_is_not(other: sound.Samples) -> None:
    assert sound.share_found(sound.chirp_up(), np.concatenate((sound.silence(0.3), other, sound.silence(0.3)))) <= 0.2


def test_a_chirp_is_found_whose_beginning_was_missed() -> None:
    match = sound.find(sound.chirp_up(), np.concatenate((sound.chirp_up()[160:], sound.silence(0.5))))
    assert match.likeness > 0.98
    assert abs(match.at_s + 0.02) < 0.001


def test_a_chirp_that_slipped_is_found_in_pieces_and_another_is_not() -> None:
    slipped = np.concatenate((sound.silence(0.25), sound.chirp_up()[:4000], sound.chirp_up()[4002:], sound.silence(0.3)))
    mixed = slipped + sound.chirp_down(2.0)[: len(slipped)]
    assert sound.find(sound.chirp_up(), slipped).likeness < 0.9
    assert sound.find_in_pieces(sound.chirp_up(), slipped).likeness > 0.9
    match = sound.find_in_pieces(sound.chirp_up(), mixed)
    assert match.likeness > 0.6
    assert match.at_s == pytest.approx(0.25, abs=0.001)
    assert sound.find_in_pieces(sound.chirp_up(), sound.chirp_down(1.5)).likeness < 0.5


def test_a_chirp_survives_g711_and_half_the_level() -> None:
    heard = sound.decode(sound.encode(sound.chirp_up() // 2))
    assert sound.find(sound.chirp_up(), heard).likeness > 0.99


def test_a_tone_is_heard_for_as_long_as_it_lasts() -> None:
    heard = np.concatenate((sound.silence(0.5), sound.tone(440, 0.8), sound.tone(620, 0.4)))
    assert sound.tone_seconds(heard, 440) == pytest.approx(0.8, abs=0.06)
    assert sound.tone_seconds(heard, 620) == pytest.approx(0.4, abs=0.06)
    assert sound.tone_seconds(heard, 1000) == 0.0


def test_silence_has_no_tone_and_is_not_loud() -> None:
    assert sound.tone_seconds(sound.silence(2), 440) == 0.0
    assert sound.loud_seconds(sound.silence(2)) == 0.0
    assert sound.loud_seconds(sound.tone(440, 1.0)) == pytest.approx(1.0, abs=0.03)


def test_wav_is_read_as_written() -> None:
    samples, rate = sound.read_wav(sound.wav(sound.tone(440, 0.1), rate_hz=16000, channels=2))
    assert rate == 16000
    assert samples.shape == (800, 2)
    assert np.array_equal(samples[:, 0], sound.tone(440, 0.1))
