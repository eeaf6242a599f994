"""The music for those who wait: a slow, soft round of broken chords, made here, so that nobody's rights are touched."""

from __future__ import annotations

import array
import math
import sys

URL = "builtin:wait-music"  # under which it is asked for; no document can have it, for it is no http
RATE_HZ = 8000
LEVEL = 4200  # of 32767: well under speech, so that nobody is startled
NOTE_S = 0.42
RING_S = 1.9  # how long a note is heard

# Chords as keys of a piano (69 is 440 Hz), each broken up and down; a telephone lets little below 300 Hz through.
CHORDS = ((60, 64, 67, 71), (57, 60, 64, 69), (62, 65, 69, 72), (59, 62, 67, 71), (60, 64, 69, 72), (62, 65, 67, 71))
PATTERN = (0, 1, 2, 3, 2, 1)


def compose() -> bytes:
    """PCM s16le, mono, 8000 Hz: about 15 s that join without a seam when they are looped."""
    notes = [chord[step] for chord in CHORDS for step in PATTERN]
    length = round(NOTE_S * RATE_HZ)
    total = [0.0] * (length * len(notes))
    rings = {key: _ring(440.0 * 2 ** ((key - 69) / 12)) for key in set(notes)}
    for index, key in enumerate(notes):
        at = index * length
        for offset, value in enumerate(rings[key]):
            total[(at + offset) % len(total)] += value  # what rings on past the end is heard at the beginning
    peak = max(map(abs, total))
    samples = array.array("h", (round(value / peak * LEVEL) for value in total))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def _ring(hz: float) -> list[float]:
    """One note: it swells for 15 ms and dies away."""
    step = 2 * math.pi * hz / RATE_HZ
    found = []
    for n in range(round(RING_S * RATE_HZ)):
        swell = min(1.0, n / (0.015 * RATE_HZ))
        loudness = swell * math.exp(-2.4 * n / RATE_HZ) * min(1.0, (RING_S * RATE_HZ - n) / 800)
        found.append(loudness * (math.sin(step * n) + 0.25 * math.sin(2 * step * n)))
    return found
