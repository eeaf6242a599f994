"""Keys as a test says and hears them, apart from the worker's own code: telephone-events packet by packet, tones sample by sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.rtp import DIGITS, Packet
from tests.support.sound import RATE_HZ, Samples

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
ROWS = ("123A", "456B", "789C", "*0#D")
FREQUENCIES = {key: (low, high) for low, row in zip(LOW_HZ, ROWS, strict=True) for high, key in zip(HIGH_HZ, row, strict=True)}
FULL_SCALE_DBM0 = 3.17


# --- telephone-events (RFC 4733) ----------------------------------------------------------------------------------------


def event(key: str, duration: int, *, end: bool = False) -> bytes:
    """The payload of one packet of a press."""
    return bytes([DIGITS.index(key), 0x8A if end else 0x0A]) + duration.to_bytes(2, "big")


def press(key: str, duration: int, step: int = 160) -> list[bytes]:
    """The payloads of a whole press, the last three times; durations in units of the RTP clock, growing by `step`."""
    growing = [event(key, units) for units in range(step, duration, step)]
    return growing + [event(key, duration, end=True)] * 3


@dataclass(slots=True)
class Press:
    """A press as its packets tell it. `duration`: in units of the RTP clock, of all its segments."""

    key: str
    timestamp: int
    duration: int = 0
    packets: int = 0
    ends: int = 0
    segments: int = 1


def presses(packets: Iterable[Packet], payload_type: int = 101) -> list[Press]:
    """The presses in what was received, in order of arrival: packets of one press share their timestamp (RFC 4733 2.5.1.2), and a
    segment that begins where the one before was full goes on with it (2.5.1.3).
    """
    found: list[Press] = []
    by_timestamp: dict[tuple[int, int, int], tuple[Press, int]] = {}
    for packet in packets:
        if packet.payload_type != payload_type or len(packet.payload) != 4:
            continue
        number, end = packet.payload[0], packet.payload[1] >> 7
        duration = int.from_bytes(packet.payload[2:], "big")
        at = (packet.ssrc, number, packet.timestamp)
        before = (packet.ssrc, number, (packet.timestamp - 0xFFFF) % 2**32)
        if at not in by_timestamp:
            if before in by_timestamp:
                one, passed = by_timestamp[before]
                one.segments += 1
                by_timestamp[at] = one, passed + 0xFFFF
            else:
                found.append(Press(DIGITS[number], packet.timestamp))
                by_timestamp[at] = found[-1], 0
        one, passed = by_timestamp[at]
        one.duration = max(one.duration, passed + duration)
        one.packets += 1
        one.ends += end
    return found


def keys_of(packets: Iterable[Packet], payload_type: int = 101) -> str:
    return "".join(one.key for one in presses(packets, payload_type))


# --- tones (ITU-T Q.23) -------------------------------------------------------------------------------------------------


def amplitude(level_dbm0: float) -> float:
    return float(32768 * 10 ** ((level_dbm0 - FULL_SCALE_DBM0) / 20))


def tones(
    key: str,
    seconds: float,
    *,
    level_dbm0: float = -10.0,
    twist_db: float = 0.0,
    off_percent: tuple[float, float] = (0.0, 0.0),
    off_hz: float = 0.0,
) -> Samples:
    """A key's two tones. twist_db: how much louder the high one is. off_percent, off_hz: how wrong the frequencies are."""
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    low, high = (hz * (1 + off / 100) + np.sign(off) * off_hz for hz, off in zip(FREQUENCIES[key], off_percent, strict=True))
    sum_ = amplitude(level_dbm0) * np.sin(2 * np.pi * low * at) + amplitude(level_dbm0 + twist_db) * np.sin(2 * np.pi * high * at)
    return np.asarray(np.clip(np.round(sum_), -32768, 32767)).astype(np.int16)


def spelt(keys: str, tone_s: float = 0.1, gap_s: float = 0.1, **how: Any) -> Samples:
    """Keys one after another, a gap behind each. how: as in `tones`."""
    gap = np.zeros(int(gap_s * RATE_HZ), dtype=np.int16)
    return np.concatenate([part for key in keys for part in (tones(key, tone_s, **how), gap)])


@dataclass(frozen=True, slots=True)
class Tone:
    """A key that was heard in audio. at_s: where it began."""

    key: str
    at_s: float
    seconds: float


def tones_in(heard: Samples, window_s: float = 0.02, hop_s: float = 0.005, share: float = 0.7) -> list[Tone]:
    """The keys in audio, by Goertzel's sums over short windows: a key is there while two frequencies, one of each group, have
    `share` of the energy. Presses of one key that lie further apart than a window are two.
    """
    n, hop = int(window_s * RATE_HZ), int(hop_s * RATE_HZ)
    at = np.arange(n) / RATE_HZ
    probes = np.exp(-2j * np.pi * np.outer(at, LOW_HZ + HIGH_HZ)) * np.hanning(n)[:, None]
    found: list[tuple[str, int, int]] = []
    for number, start in enumerate(range(0, len(heard) - n + 1, hop)):
        window = heard[start : start + n].astype(np.float64)
        energy = float(np.sum((window * np.hanning(n)) ** 2))
        if energy < n * 50.0**2:
            continue
        # What a sine of amplitude a gives here: power a²/4 · (sum of the window)², energy a²/2 · (sum of its square).
        power = np.abs(window @ probes) ** 2 * 2 * np.sum(np.hanning(n) ** 2) / np.sum(np.hanning(n)) ** 2
        low, high = int(power[:4].argmax()), int(power[4:].argmax())
        if power[low] + power[4 + high] < share * energy or min(power[low], power[4 + high]) < 0.1 * energy:
            continue
        key = ROWS[low][high]
        if found and found[-1][0] == key and number - found[-1][2] <= window_s / hop_s:
            found[-1] = (key, found[-1][1], number)
        else:
            found.append((key, number, number))
    return [Tone(key, first * hop_s, (last - first) * hop_s + window_s / 2) for key, first, last in found if last - first >= 2]
