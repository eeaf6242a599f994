"""Decoding to canonical WAV: levels, aliases, channels, containers, and what is no audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.prompts.decode_child import MAX_MPEG_LEAD, Refused, answer, container_of, decode, mpeg_start
from tests.unit.media.prompts.audio import canonical, encoded, level_db, tone, wav


def give(tmp_path: Path, data: bytes, max_ms: int = 60_000, *, mpeg: bool = False) -> Path:
    source, target = tmp_path / "source", tmp_path / "target.wav"
    source.write_bytes(data)
    decode(str(source), str(target), max_ms, mpeg=mpeg)
    return target


def expect_refusal(tmp_path: Path, data: bytes, code: str, words: str, max_ms: int = 60_000, *, mpeg: bool = False) -> None:
    with pytest.raises(Refused, match=words) as refused:
        give(tmp_path, data, max_ms, mpeg=mpeg)
    assert refused.value.code == code


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"

# --- sound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
@pytest.mark.parametrize("frequency_hz", [300, 1000, 3400])
def test_the_telephone_band_keeps_its_level(tmp_path: Path, rate_hz: int, frequency_hz: int) -> None:
    samples = canonical(give(tmp_path, wav([tone(frequency_hz, rate_hz)], rate_hz)))
    assert level_db(samples, frequency_hz) == pytest.approx(-6.02, abs=0.2)


@pytest.mark.parametrize(
    ("rate_hz", "frequency_hz"), [(48000, 6000), (48000, 4300), (44100, 5000), (22050, 6000), (16000, 4200), (96000, 20000)]
)
def test_aliases_are_rejected_by_60_db(tmp_path: Path, rate_hz: int, frequency_hz: int) -> None:
    samples = canonical(give(tmp_path, wav([tone(frequency_hz, rate_hz)], rate_hz)))
    assert level_db(samples) < -6 - 60


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_the_duration_is_kept_to_the_sample(tmp_path: Path, rate_hz: int) -> None:
    assert len(canonical(give(tmp_path, wav([tone(1000, rate_hz, 2.5)], rate_hz)))) == 20_000


def test_8_khz_mono_pcm_passes_bit_for_bit(tmp_path: Path) -> None:
    data = wav([tone(1000, 8000)], 8000)
    assert give(tmp_path, data).read_bytes()[44:] == data[44:]


def test_stereo_is_the_mean_of_both_channels(tmp_path: Path) -> None:
    silent = np.zeros(48000)
    left, right, full = tone(500, 48000), tone(1500, 48000), tone(500, 48000, level=1.0)
    both = canonical(give(tmp_path, wav([left, right], 48000)))
    assert level_db(both, 500) == pytest.approx(-12.04, abs=0.2)
    assert level_db(both, 1500) == pytest.approx(-12.04, abs=0.2)
    same = canonical(give(tmp_path, wav([full, full], 48000)))
    assert level_db(same, 500) == pytest.approx(0.0, abs=0.2), "the sum of equal channels does not clip"
    assert level_db(same, 1500) < -60
    alone = canonical(give(tmp_path, wav([silent, left], 48000)))
    assert level_db(alone, 500) == pytest.approx(-12.04, abs=0.2)


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz", "sample_format", "floor_db"),
    [
        ("wav", "pcm_u8", 8000, "u8", -40),
        ("wav", "pcm_s24le", 48000, "s32", -60),
        ("wav", "pcm_f32le", 44100, "flt", -60),
        ("wav", "pcm_mulaw", 8000, "s16", -30),
        ("wav", "pcm_alaw", 8000, "s16", -30),
        ("wav", "adpcm_ms", 22050, "s16", -25),
        ("mp3", "libmp3lame", 44100, "fltp", -40),
        ("flac", "flac", 16000, "s16", -60),
        ("ogg", "libopus", 48000, "flt", -25),
        ("aiff", "pcm_s16be", 22050, "s16", -60),
        ("au", "pcm_s16be", 8000, "s16", -60),
    ],
)
def test_containers_and_codecs(tmp_path: Path, container: str, codec: str, rate_hz: int, sample_format: str, floor_db: float) -> None:
    samples = canonical(give(tmp_path, encoded(container, codec, tone(1000, rate_hz, 2.0), rate_hz, sample_format)))
    assert len(samples) == pytest.approx(16000, abs=800)
    assert level_db(samples, 1000) == pytest.approx(-6.02, abs=0.5)
    reference = tone(1000, 8000, 2.0)[: len(samples)]
    inner = samples[2000:14000]
    phase = np.exp(-2j * np.pi * 1000 * np.arange(len(inner)) / 8000)
    amplitude = 2 * np.mean(inner * phase)
    rest = inner - (amplitude * np.conj(phase)).real
    assert 20 * np.log10(np.std(rest) / np.std(reference) + 1e-12) < floor_db


def test_an_mp3_with_tags_before_it(tmp_path: Path) -> None:
    data = b"ID3\x04\x00\x00\x00\x00\x00\x10" + bytes(16) + encoded("mp3", "libmp3lame", tone(1000, 44100), 44100, "fltp")
    assert level_db(canonical(give(tmp_path, data)), 1000) == pytest.approx(-6.02, abs=0.5)


MP3 = encoded("mp3", "libmp3lame", tone(1000, 44100, 2.0), 44100, "fltp")
FRAMES = MP3[MP3.index(b"\xff\xfb") :] if MP3.startswith(b"ID3") else MP3
ODD = bytes(index * 37 % 251 for index in range(1000))  # no 0xFF in it


@pytest.mark.parametrize(
    "data",
    [
        bytes(137) + FRAMES,
        ODD[:137] + FRAMES,
        FRAMES[137:],
        FRAMES[1:],
        FRAMES[400:],
        bytes(1) + FRAMES,
        bytes(60_000) + FRAMES,
        ODD * 60 + FRAMES,
        bytes(16) + MP3,
        b"\xff" * 300 + FRAMES,
        b"\xff\xfb\x90\x64\xff\xff" + ODD + FRAMES,  # a header that no second one follows
        b"\xff\xe0\x00\x00"[1:] + FRAMES,
        bytes(100) + b"ID3\x04\x00\x00\x00\x00\x00\x10" + bytes(16) + FRAMES,
    ],
)
def test_an_mp3_that_begins_within_a_frame_is_entered_at_the_next_one__iso11172_3_2_4_1(tmp_path: Path, data: bytes) -> None:
    samples = canonical(give(tmp_path, data, mpeg=True))
    assert len(samples) == pytest.approx(16_000, abs=1000)
    assert level_db(samples[1000:15_000], 1000) == pytest.approx(-6.02, abs=0.5)


@pytest.mark.parametrize(
    ("codec", "rate_hz"), [("libmp3lame", 8000), ("libmp3lame", 16000), ("libmp3lame", 22050), ("libmp3lame", 48000), ("mp2", 44100)]
)
def test_every_version_and_layer_can_be_entered(tmp_path: Path, codec: str, rate_hz: int) -> None:
    sample_format = "s16" if codec == "mp2" else "fltp"
    whole = encoded("mp2" if codec == "mp2" else "mp3", codec, tone(1000, rate_hz, 2.0), rate_hz, sample_format)
    samples = canonical(give(tmp_path, ODD + whole, mpeg=True))
    assert len(samples) == pytest.approx(16_000, abs=1800)


@pytest.mark.parametrize(
    "data", [b"", bytes(5000), ODD * 100, b"\xff" * 70_000, b"\xff\xfb\x90\x64" + bytes(5000), bytes(MAX_MPEG_LEAD) + FRAMES]
)
def test_no_two_frames_in_a_row_are_no_mpeg_audio(tmp_path: Path, data: bytes) -> None:
    assert mpeg_start(data[: MAX_MPEG_LEAD + 8192]) is None or container_of(data) == "mp3"
    expect_refusal(tmp_path, data, "format", ".", mpeg=True)


def test_frames_are_looked_for_only_in_what_is_said_to_be_mpeg_audio(tmp_path: Path) -> None:
    expect_refusal(tmp_path, bytes(137) + FRAMES, "format", "neither WAV")
    beep = wav([tone(1000, 8000, 0.5)], 8000)
    assert len(canonical(give(tmp_path, beep, mpeg=True))) == 4000, "what is recognised is what it is"
    expect_refusal(tmp_path, PLAYLIST + FRAMES[:4], "format", "no two frames", mpeg=True)


def test_a_wav_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    data = wav([tone(1000, 8000, 2.0)], 8000)
    assert len(canonical(give(tmp_path, data[: 44 + 16000]))) == 8000


def test_a_header_that_promises_more_is_not_believed(tmp_path: Path) -> None:
    data = bytearray(wav([tone(1000, 8000, 1.0)], 8000))
    data[40:44] = b"\xff\xff\xff\xff"
    assert len(canonical(give(tmp_path, bytes(data)))) == 8000


# --- no sound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"<html><body>404</body></html>",
        b"RIFF\x24\x00\x00\x00AVI LIST",
        PLAYLIST,
        b"ffconcat version 1.0\nfile x",
        bytes(5000),
    ],
)
def test_what_is_no_audio_is_refused_by_its_first_octets(tmp_path: Path, data: bytes) -> None:
    expect_refusal(tmp_path, data, "format", "neither WAV")


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x00\x00\x00\x00WAVE",
        b"RIFF\xff\xff\xff\xffWAVEfmt " + b"\xff" * 60,
        b"OggS" + bytes(200),
        b"fLaC" + bytes(100),
        b"\xff\xfb\x90\x00" + bytes(10),
    ],
)
def test_what_only_begins_like_audio_is_refused(tmp_path: Path, data: bytes) -> None:
    expect_refusal(tmp_path, data, "format", ".")


def test_a_wav_without_samples_is_refused(tmp_path: Path) -> None:
    expect_refusal(tmp_path, wav([np.zeros(0)], 8000), "format", "holds no audio")


def test_an_absurd_sampling_rate_is_refused(tmp_path: Path) -> None:
    data = bytearray(wav([tone(1000, 8000)], 8000))
    data[24:28] = (2_000_000_000).to_bytes(4, "little")
    expect_refusal(tmp_path, bytes(data), "format", "sampling rate 2000000000")


def test_the_limit_is_on_the_decoded_duration(tmp_path: Path) -> None:
    bomb = encoded("flac", "flac", np.zeros(8000 * 120), 8000)
    assert len(bomb) < 40_000, "a fiftieth of what it unpacks to"
    expect_refusal(tmp_path, bomb, "too_large", "longer than 60 s")
    assert len(canonical(give(tmp_path, bomb, 120_000))) == 8000 * 120


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"RIFF0000WAVE", "wav"),
        (b"RF640000WAVE", "wav"),
        (b"RIFF0000AVI ", ""),
        (b"ID3\x03", "mp3"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"\xff\xf3\x40\xc0", "mp3"),
        (b"\xff\xff\xff\xff", ""),
        (b"\xff\xe8\x90\x64", ""),
        (b"\xff\xf9\x50\x80", ""),
        (b"FORM0000AIFC", "aiff"),
        (b".snd", "au"),
    ],
)
def test_containers_are_known_by_their_first_octets(start: bytes, name: str) -> None:
    assert container_of(start) == name


def test_every_request_has_an_answer(tmp_path: Path) -> None:
    assert answer(b"nonsense")["error"] == "internal"
    assert answer(b"{}")["error"] == "internal"
    missing = answer(f'{{"source": "{tmp_path}/none", "target": "{tmp_path}/t", "max_ms": 1}}'.encode())
    assert missing["error"] == "internal"
    assert "FileNotFoundError" in missing["detail"]
