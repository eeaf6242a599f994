"""What is known of codecs: names, numbers, and the fmtp of telephone-event."""

from __future__ import annotations

import pytest

from media.sdp.codecs import DESCRIPTORS, STATIC, Encoding, build_events, parse_events
from media.settings import CODECS


def test_settings_and_descriptors_name_the_same_codecs() -> None:
    assert set(CODECS) == set(DESCRIPTORS)


def test_static_numbers_of_descriptors_agree_with_the_table__rfc3551_6() -> None:
    for descriptor in DESCRIPTORS.values():
        if descriptor.payload_type < 96:
            assert descriptor.matches(STATIC[descriptor.payload_type])


def test_names_compare_without_case__rfc8866_6_6() -> None:
    assert DESCRIPTORS["PCMU"].matches(Encoding("pcmu", 8000))
    assert not DESCRIPTORS["PCMU"].matches(Encoding("PCMU", 16000))
    assert not DESCRIPTORS["PCMU"].matches(Encoding("PCMU", 8000, 2))


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
