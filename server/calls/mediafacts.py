"""What the timeline says of the media engine's events."""

from __future__ import annotations

from media import engine
from server.calls.effects import Json
from server.calls.names import is_leg, leg_of


def facts_of(event: engine.Event) -> tuple[dict[str, Json], str] | None:
    """The data of a MEDIA entry and the leg that it belongs to ("" for the call); None for what nobody needs to read."""
    match event:
        case engine.Closed(stream=stream, counters=counters, quality=quality):
            facts: dict[str, Json] = {"event": "closed", "packets_in": counters.packets_in, "packets_out": counters.packets_out}
            facts |= {"lost_in": counters.lost_in, "jitter_ms": round(counters.jitter_ms, 2), "strangers": counters.strangers}
            dropped = {"malformed": counters.malformed, "unauthentic": counters.unauthentic, "flooded": counters.flooded}
            scores = {"mos_in": quality.mos_in, "mos_out": quality.mos_out, "worst_in": quality.worst_in, "worst_out": quality.worst_out}
            facts |= {name: round(score, 2) for name, score in scores.items() if score > 0}
            return facts | {name: count for name, count in dropped.items() if count}, stream
        case engine.RecordingEnded():
            facts = {"event": "recorded", "recording": event.recording, "duration_ms": event.duration_ms}
            facts |= {"lost_ms": event.lost_ms} if event.lost_ms else {}
            return facts | {"reason": event.reason, "detail": event.detail}, ""
        case engine.MediaTimeout(stream=stream, silent_ms=silent_ms):
            return {"event": "media-timeout", "silent_ms": silent_ms}, stream
        case engine.Failed():
            leg = leg_of(event.subject)
            return {"event": "failed", "op": event.op, "code": event.code, "reason": event.reason}, leg if is_leg(leg) else ""
        case engine.PlayEnded(stream=stream, play=play, reason="failed", detail=detail):
            return {"event": "play-failed", "play": play, "detail": detail}, stream
        case engine.Latched(stream=stream) | engine.Stranger(stream=stream):
            kind = "latched" if isinstance(event, engine.Latched) else "stranger"
            return {"event": kind, "address": f"{event.address}:{event.port}"}, stream
        case engine.Digit(stream=stream):  # not which: it may be a PIN
            return {"event": "digit", "duration_ms": event.duration_ms, "source": event.source}, stream
        case engine.Opened() | engine.PlayEnded() | engine.RecordingStarted() | engine.StreamStats() | engine.Welcome():
            return None
        case engine.Listing() | engine.Pong():
            return None
        case engine.Joined() | engine.Left():
            return None
