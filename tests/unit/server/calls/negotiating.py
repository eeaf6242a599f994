"""Calls whose legs speak this codec and that, and what was offered, answered and told of them."""

from __future__ import annotations

from media import engine
from media.settings import KNOWN_CODECS, MediaSettings
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import IN, ONE, Bench, dial

ALL = MediaSettings(codecs=KNOWN_CODECS)


def caller(codecs: str, *attributes: str) -> bytes:
    return sdp("192.0.2.7", 4000, codecs, *attributes)


def callee(codecs: str, *attributes: str) -> bytes:
    return sdp("192.0.2.8", 4000, codecs, *attributes)


def numbers(body: bytes) -> list[str]:
    """Payload types of the audio line."""
    return next(line for line in body.decode().splitlines() if line.startswith("m=audio")).split()[3:]


def offered(bench: Bench, leg: int = 0) -> list[str]:
    return numbers(bench.of(commands.SendInvite)[leg].body)


def answered(bench: Bench) -> list[str]:
    """What the caller's 200 says."""
    return numbers(bench.of(commands.SendAnswer)[0].body)


def ask(bench: Bench, body: bytes, session: commands.SessionId = IN) -> commands.AnswerRequest:
    """A re-INVITE; returns what it was answered with."""
    headers = Headers([("Content-Type", "application/sdp")] if body else [])
    bench.give(events.ReinviteReceived(session, commands.TransactionId("t"), Request("INVITE", "sip:x", headers, body)))
    return bench.of(commands.AnswerRequest)[-1]


def facts(bench: Bench, event: str, leg: str = "") -> list[dict[str, object]]:
    return [dict(note.data) for note in bench.notes if note.data.get("event") == event and (not leg or note.leg == leg)]


def connected(bench: Bench, leg: int | None = None) -> engine.Connect:
    """How the engine knows a leg: the caller, or the n-th callee."""
    return bench.engine.connects[bench.sid if leg is None else bench.leg(leg)]


def talking(offer: str, answer: str, **policy: object) -> Bench:
    """Caller and callee, bridged."""
    bench = Bench(dial(ONE), offer=caller(offer), **policy)  # type: ignore[arg-type]
    bench.answer(0, callee(answer))
    bench.give(events.AnswerAcked(IN, b"", ""))
    return bench
