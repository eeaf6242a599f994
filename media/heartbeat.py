"""Whether the media worker still answers: its control thread, that is, which all commands go through.

Sans-I/O: beats in, what is to be done out.

A worker that is stopped or stuck keeps its socket open, so nothing else tells. Beats are counted and not time: when it was we who stood
still (a suspended machine, a long pause of the loop), one beat passes, and that proves nothing against the worker.
"""

from __future__ import annotations

import enum

BEAT_S = 0.5  # from beat to beat
ASK_AFTER_S = 1.0  # while it talks by itself it need not be asked
HUNG_AFTER_S = 2.0  # without a word, though it was asked


class Beat(enum.Enum):
    WELL = "well"
    ASK = "ask"  # send a Ping
    HUNG = "hung"  # as before, and no stream is opened on it
    REPLACE = "replace"  # end it, and start another


class Heartbeat:
    """What was heard of one session with a worker."""

    def __init__(self, replace_after_s: float) -> None:
        """replace_after_s: seconds without a word after which a worker is given up."""
        self._replace_after_s = max(replace_after_s, HUNG_AFTER_S)
        self._silent_beats = 0

    @property
    def silent_s(self) -> float:
        """Seconds without a word, counted in beats."""
        return self._silent_beats * BEAT_S

    @property
    def hung(self) -> bool:
        return self.silent_s >= HUNG_AFTER_S

    def heard(self) -> None:
        """It said something, whatever it was."""
        self._silent_beats = 0

    def beat(self) -> Beat:
        """BEAT_S have passed."""
        self._silent_beats += 1
        if self.silent_s >= self._replace_after_s:
            return Beat.REPLACE
        if self.hung:
            return Beat.HUNG
        return Beat.ASK if self.silent_s >= ASK_AFTER_S else Beat.WELL
