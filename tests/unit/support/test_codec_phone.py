"""The yardsticks of the tests that transcode: what they find, and what they must not overlook."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.codec_phone import OPUS, CodecPhone, chirp, encode_all
from tests.support.likeness import compare
from tests.support.rtp import Packet
from tests.support.sound import Samples

RATE_HZ = 8000


def rustle(seconds: float) -> Samples:
    """Noise: no piece is like another."""
    return np.random.default_rng(1).normal(0, 3000, int(seconds * RATE_HZ)).astype(np.int16)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE_HZ), dtype=np.int16)


def test_pieces_are_found_again_after_the_delay_has_grown_and_shrunk() -> None:
    said = rustle(3.0)
    second = RATE_HZ
    heard = np.concatenate((silence(0.3), said[:second], silence(0.2), said[second : 2 * second], said[2 * second + 800 :]))
    found = compare(said, heard, RATE_HZ, piece_s=0.1, search_s=0.5)
    assert [round(piece.at_s, 4) for piece in found if piece.snr_db > 40] == [0.3] * 10 + [0.5] * 10 + [0.4] * 9
    near = compare(said, heard, RATE_HZ, piece_s=0.1)
    assert sum(piece.snr_db > 40 for piece in near) <= 10


@pytest.mark.parametrize("lost", [1, 3])
def test_lost_samples_are_a_step_of_the_delay(lost: int) -> None:
    said = rustle(1.0)
    heard = np.concatenate((silence(0.1), said[: RATE_HZ // 2], said[RATE_HZ // 2 + lost :]))
    found = compare(said, heard, RATE_HZ, piece_s=0.1)
    assert [round((piece.at_s - 0.1) * RATE_HZ, 2) for piece in found] == [0.0] * 5 + [-lost] * 5


def test_what_came_before_is_decoded_too() -> None:
    """Opus sounds like what it was before; from the midst on it is something else until it is found again."""
    packets = encode_all(OPUS, chirp(OPUS.rate_hz, 1.0))
    phone = CodecPhone("127.0.0.1", payload_type=OPUS.payload_type, format=OPUS)
    phone.packets = [Packet(0.0, OPUS.payload_type, False, n, n * 960, 1, payload, ("", 0)) for n, payload in enumerate(packets)]
    assert np.array_equal(phone.heard(20), phone.heard()[20 * 960 :])
