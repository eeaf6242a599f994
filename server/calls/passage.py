"""How sound and keys get from one leg of a bridge to the other: what the timeline says of it.

The engine decides by the same rule: a format that both legs agreed on passes as it is, else audio is transcoded.
"""

from __future__ import annotations

from media.engine import Codec
from media.sdp.codecs import Encoding, is_relayed, is_voice
from media.sdp.offer_answer import Agreed
from server.calls.outputs import Json


def passage(first: Agreed | None, second: Agreed | None) -> dict[str, Json]:
    """audio: "passes PCMU" or "transcodes opus to PCMU" (the first leg's codec is named first), "none" when neither can be."""
    if first is None or second is None:
        return {}
    here, there = first.codecs[0], second.codecs[0]
    if _has(second, here) and _has(first, there):
        way = f"passes {here.name}" if _key(here) == _key(there) else f"passes {here.name} and {there.name}"
    elif (is_relayed(here) and not _has(second, here)) or (is_relayed(there) and not _has(first, there)):
        way = "none"
    else:
        way = f"transcodes {here.name} to {there.name}"
    keys = {True: "events", False: "in the audio"}
    facts: dict[str, Json] = {"audio": way}
    if first.has_events != second.has_events:
        facts["keys"] = f"{keys[first.has_events]} to {keys[second.has_events]}"
    return facts


def _has(leg: Agreed, codec: Codec) -> bool:
    return any(is_voice(other) and _key(other) == _key(codec) for other in leg.codecs)


def _key(codec: Codec) -> str:
    return Encoding(codec.name, codec.clock_rate_hz, codec.channels).key
