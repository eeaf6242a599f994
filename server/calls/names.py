"""Names: sids, and what is named after them for the SIP core and the media engine. Made and taken apart here, nowhere else.

A leg's stream has the leg's sid as its name. Its sessions, plays and bridges are named after it, so whatever a peer's event
or the engine's answer is about, the leg is found by the beginning of the name.
"""

from __future__ import annotations

from server.calls.policy import Policy
from sip.core.commands import SessionId

CALL, RECORDING, CONFERENCE = "CA", "RE", "CF"


def new_sid(policy: Policy, prefix: str) -> str:
    """`CA`, `RE` ... and 32 hexadecimal digits."""
    return prefix + policy.random_bytes(16).hex()


def session_name(leg: str, attempt: int) -> SessionId:
    """attempt: 1 for the first INVITE of the leg, 2 for that to its fallback ..."""
    return SessionId(leg if attempt == 1 else f"{leg}/{attempt}")


def leg_of_session(session: str) -> str:
    return session.split("/", 1)[0]


def play_name(stream: str, number: int) -> str:
    return f"{stream}-{number}"


def bridge_name(leg: str, number: int) -> str:
    """number: counts the bridges that are named after the leg; none is ever used again."""
    return f"{leg}-bridge" if number == 1 else f"{leg}-bridge-{number}"


def mix_name(room: str, number: int) -> str:
    """number: counts the times that the room was opened; none is ever used again."""
    return f"{room}-{number}"


def mix_play_name(leg: str, number: int) -> str:
    """Of a play to a whole mix, which this leg asked for."""
    return f"{leg}-all-{number}"


def is_mix_play(name: str) -> bool:
    return "-all-" in name


def leg_of(subject: str) -> str:
    """The leg that a stream, a play or a bridge is named after; the name itself for anything else (a recording)."""
    return subject.split("-", 1)[0]


def is_leg(sid: str) -> bool:
    return sid.startswith(CALL)
