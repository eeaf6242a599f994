"""Which numbers of ours a call has come through already: how a Dial that leads back here is told from a loop.

Every INVITE of a Dial carries the header X-Dialplane-Trail: a mark of each number that led to it, ours or another dialplane's. Who comes in
under a mark that is in there goes round in circles, and two nouns that lead back would double the calls with each round (RFC 5393 names the
attack; Max-Forwards alone allows 2**70). A spiral is legal (RFC 3261 6): to another number, or for another caller, as often as the
setting `dial.max_passages` says.
"""

from __future__ import annotations

import hashlib
import re

from rcml.notices import LOOP
from server.calls.policy import Refusal
from sip.message import Headers

HEADER = "X-Dialplane-Trail"
OWN_PREFIX = "x-dialplane-"
MAX_MARKS = 64  # more are not read
_MARK = re.compile(r"[0-9a-f]{12}")


def mark_of(instance_id: str, dialled: str, from_user: str) -> str:
    """A number of this instance and who calls it. Whom it is sent to cannot read it."""
    text = f"{instance_id}\n{dialled}\n{from_user}"
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def trail_of(headers: Headers) -> tuple[str, ...]:
    """The marks of an INVITE that came, the oldest first."""
    return tuple(mark for field in headers.get_all(HEADER) for mark in _MARK.findall(field.lower()))[-MAX_MARKS:]


def header_of(trail: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return ((HEADER, ",".join(trail)),) if trail else ()


def circles(trail: tuple[str, ...], mark: str, dialled: str, max_passages: int) -> Refusal | None:
    """482 for a call that a Dial has led back to where it was (RFC 3261 16.3, item 4), or here too often."""
    if mark in trail:
        return Refusal(482, "Loop Detected", f"A Dial of the number {dialled} has led back to it", notification=LOOP)
    if len(trail) > max_passages:
        explain = f"Dials have led back here {len(trail)} times: [dial] max_passages = {max_passages} is reached"
        return Refusal(482, "Loop Detected", explain, notification=LOOP)
    return None
