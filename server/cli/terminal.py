"""What all commands share: what they print to, and how they end."""

from __future__ import annotations

import sys

DONE, FAILED, WRONG = 0, 1, 2  # it was done; it did not work out; the command or the configuration is wrong


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)


def complain(text: str) -> None:
    sys.stderr.write(text + "\n")


def draws() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")
