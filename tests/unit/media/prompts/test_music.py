"""The music for those who wait."""

from __future__ import annotations

import numpy as np

from media.prompts import music
from server.calls.effects import WAIT_MUSIC


def test_the_music_is_soft_and_joins_without_a_seam() -> None:
    samples = np.frombuffer(music.compose(), "<i2").astype(int)
    assert 10 < len(samples) / music.RATE_HZ < 30
    assert abs(int(np.abs(samples).max()) - music.LEVEL) <= 1
    steps = np.abs(np.diff(samples))
    assert abs(samples[0] - samples[-1]) <= steps.max()
    seconds = samples[: len(samples) // 8000 * 8000].reshape(-1, 8000)
    assert np.sqrt((seconds.astype(float) ** 2).mean(axis=1)).min() > 300  # no second of it is silence


def test_call_control_asks_for_it_by_its_name() -> None:
    assert music.URL == WAIT_MUSIC
