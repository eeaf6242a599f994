"""What reading a document leaves behind besides its verbs: notices for the application's author."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]

# Numbers of the notifications that come from documents. 12200 stands for everything that has no number of its own.
BAD_URL = 11100
NOT_CARRIED_OUT = 12200
LOOP = 12200
DIAL_METHOD = 13210
DIAL_TIMEOUT = 13212
DIAL_CALLER_ID = 13214
DIAL_TIME_LIMIT = 13216
CONFERENCE_WAIT_METHOD = 13234
GATHER_FINISH_ON_KEY = 13310
GATHER_METHOD = 13312
GATHER_TIMEOUT = 13313
GATHER_NUM_DIGITS = 13314
GATHER_NESTED = 13320
PLAY_LOOP = 13410
SAY_LOOP = 13510
SAY_LANGUAGE = 13511
RECORD_METHOD = 13611
RECORD_NUMBER = 13612
RECORD_FINISH_ON_KEY = 13613
REDIRECT = 13710
PAUSE_LENGTH = 13910


@dataclass(frozen=True, slots=True)
class Notice:
    """One mistake of a document.

    level: "error" when something that was asked for is not done, "warning" when a default takes its place.
    message: one sentence, without the line. line: where in the document, from 1. url: of the document.
    """

    code: int
    level: Level
    message: str
    line: int
    url: str

    @property
    def text(self) -> str:
        """The sentence with its line, for a log or a list."""
        return f"line {self.line}: {self.message}"
