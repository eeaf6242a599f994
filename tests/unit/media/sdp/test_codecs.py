"""What is known of codecs: names, numbers, and the fmtp of telephone-event."""

from __future__ import annotations

import pytest

from media.engine import Codec
from media.sdp.codecs import DESCRIPTORS, STATIC, Descriptor, Encoding, build_events, is_relayed, is_voice, parse_events, parse_parameters
from media.settings import KNOWN_CODECS

ALL = [descriptor for of_one_name in DESCRIPTORS.values() for descriptor in of_one_name]


def only(name: str) -> Descriptor:
    (descriptor,) = DESCRIPTORS[name]
    return descriptor


def test_settings_and_descriptors_name_the_same_codecs() -> None:
    assert set(KNOWN_CODECS) == set(DESCRIPTORS)


def test_static_numbers_of_descriptors_agree_with_the_table__rfc3551_6() -> None:
    for descriptor in ALL:
        if descriptor.payload_type < 96:
            assert descriptor.matches(STATIC[descriptor.payload_type])


def test_names_compare_without_case__rfc8866_6_6() -> None:
    assert only("PCMU").matches(Encoding("pcmu", 8000))
    assert not only("PCMU").matches(Encoding("PCMU", 16000))
    assert not only("PCMU").matches(Encoding("PCMU", 8000, 2))


def test_numbers_that_we_like_are_all_different() -> None:
    numbers = [descriptor.payload_type for descriptor in ALL]
    assert len(set(numbers)) == len(numbers)


def test_opus_without_its_two_channels_is_taken_for_opus__rfc7587_4_1() -> None:
    assert only("opus").matches(Encoding("OPUS", 48_000)) and str(only("opus").encoding) == "opus/48000/2"
    assert not only("opus").matches(Encoding("opus", 16_000, 2))


def test_what_is_a_voice_and_what_can_only_pass() -> None:
    kinds = {name: Codec(payload_type=0, name=name) for name in KNOWN_CODECS}
    assert [name for name, codec in kinds.items() if not is_voice(codec)] == ["CN", "telephone-event"]
    assert [name for name, codec in kinds.items() if is_relayed(codec)] == ["G729"]


@pytest.mark.parametrize(
    ("offered", "other", "said"),
    [
        (None, None, "useinbandfec=1"),
        ("minptime=10;useinbandfec=1;stereo=1", None, "useinbandfec=1"),
        ("cbr=1", None, "useinbandfec=1;cbr=1"),
        (
            None,
            "maxplaybackrate=16000; stereo=1; sprop-stereo=1; minptime=3",
            "useinbandfec=1;maxplaybackrate=16000;stereo=1;sprop-stereo=1",
        ),
        ("", "useinbandfec=0;MaxAverageBitrate=20000;usedtx=1", "useinbandfec=1;maxaveragebitrate=20000;usedtx=1"),
        (None, "stereo=1\r\na=evil;cbr=x;;=;maxplaybackrate=99999999", "useinbandfec=1"),
    ],
)
def test_opus_is_asked_for_copies_and_for_what_the_other_leg_wants__rfc7587_7_1(offered: str | None, other: str | None, said: str) -> None:
    assert only("opus").fmtp(offered, other, 0) == said


@pytest.mark.parametrize(
    ("far_hz", "other", "said"),
    [
        (8000, None, "useinbandfec=1;maxplaybackrate=8000"),
        (16_000, None, "useinbandfec=1;maxplaybackrate=16000"),
        (44_100, None, "useinbandfec=1;maxplaybackrate=48000"),
        (96_000, None, "useinbandfec=1;maxplaybackrate=48000"),
        (8000, "stereo=1", "useinbandfec=1;stereo=1"),  # it has Opus too, and says itself what it wants
    ],
)
def test_opus_of_more_than_the_other_leg_can_carry_is_not_asked_for__rfc7587_6_1(far_hz: int, other: str | None, said: str) -> None:
    assert only("opus").fmtp(None, other, far_hz) == said


def test_parameters_that_are_no_numbers_are_left_out() -> None:
    assert parse_parameters("a=1; B = 22 ;c=x;d;=3;;e=1=2") == {"a": 1, "b": 22}
    assert len(parse_parameters(";".join(f"{letter}=1" for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))) == 26


def test_g729_never_has_silence_frames__rfc7261_3() -> None:
    assert {only("G729").fmtp(offered, None, 0) for offered in (None, "", "annexb=yes")} == {"annexb=no"}


@pytest.mark.parametrize(("asked", "opus"), [(10, 10), (20, 20), (30, 20), (40, 40), (50, 40), (60, 60)])
def test_opus_has_no_packets_of_30_and_50_ms__rfc6716_2_1_4(asked: int, opus: int) -> None:
    assert only("opus").packet_ms(asked) == opus and only("PCMU").packet_ms(asked) == asked


def test_l16_packets_fit_into_a_network() -> None:
    longest = {str(one.encoding): one.packet_ms(60) for one in DESCRIPTORS["L16"]}
    assert longest == {"L16/16000": 40, "L16/8000": 60, "L16/48000": 10, "L16/44100": 10, "L16/44100/2": 10}


@pytest.mark.parametrize(
    ("fmtp", "events"),
    [
        ("", set(range(16))),
        ("0-15", set(range(16))),
        ("0-2,5, 9-10", {0, 1, 2, 5, 9, 10}),
        ("events=0-3", {0, 1, 2, 3}),
        ("5-3", set()),
        ("garbage", set(range(16))),
        ("0-999", set(range(256))),
        ("1," * 200 + "1", set(range(16))),
    ],
)
def test_events_of_an_fmtp__rfc4733_2_4_1(fmtp: str, events: set[int]) -> None:
    assert parse_events(fmtp) == events


def test_events_are_written_as_ranges() -> None:
    assert build_events(frozenset({0, 1, 2, 5, 9, 10})) == "0-2,5,9-10"
    assert build_events(frozenset()) == ""
