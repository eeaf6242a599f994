"""Reject: refuse the call (behaviour 1.8; docs/rcml.md, Reject)."""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader
from rcml.verbs.verb import Verb

REASONS: dict[str, tuple[int, str]] = {
    "rejected": (603, "Decline"),
    "busy": (486, "Busy Here"),
    "forbidden": (403, "Forbidden"),
    "anonymity_disallowed": (433, "Anonymity Disallowed"),
    "address_incomplete": (484, "Address Incomplete"),
    "no_route": (404, "No Route"),
    "service_unavailable": (503, "Service Unavailable"),
    "unwanted": (607, "Unwanted"),
}


@dataclass(frozen=True, slots=True)
class Reject(Verb):
    """status, reason_phrase: of the SIP response. reason: as in the document, a key of REASONS."""

    line: int
    status: int = 603
    reason_phrase: str = "Decline"
    reason: str = "rejected"


def parse(element: Element, read: Reader) -> Reject:
    read.names(element, "reason")
    reason = read.choice(element, "reason", tuple(REASONS), notices.NOT_CARRIED_OUT)
    status, phrase = REASONS[reason]
    return Reject(element.line, status, phrase, reason)
