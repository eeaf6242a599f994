"""How sound and keys get from one leg of a bridge to the other: what the timeline says of it.

The engine decides by the same rule: a format that both legs agreed on passes as it is, else audio is transcoded.
"""

from __future__ import annotations

from media.engine import Codec
from media.sdp.codecs import Encoding, is_relayed
from media.sdp.offer_answer import Agreed
from server.calls.effects import Json


def passage(first: Agreed | None, second: Agreed | None) -> dict[str, Json]:
    """audio: "passes PCMU" or "transcodes opus to PCMU" (the first leg's codec is named first), both when the two directions
    differ, "none" when one cannot be.
    """
    if first is None or second is None:
        return {}
    here, there = first.codecs[0], second.codecs[0]
    onward, back = _target(first, second), _target(second, first)
    if onward is None or back is None:
        way = "none"
    elif _key(here) == _key(there):
        way = f"passes {here.name}"
    else:
        passes = [codec.name for codec, heard in ((here, onward), (there, back)) if _key(codec) == _key(heard)]
        made = [f"{codec.name} to {heard.name}" for codec, heard in ((here, onward), (there, back)) if _key(codec) != _key(heard)]
        ways = [f"passes {' and '.join(passes)}"] if passes else []
        way = ", ".join([*ways, *([f"transcodes {made[0]}"] if made else [])])
    keys = {True: "events", False: "in the audio"}
    facts: dict[str, Json] = {"audio": way}
    if first.has_events != second.has_events:
        facts["keys"] = f"{keys[first.has_events]} to {keys[second.has_events]}"
    return facts


def _target(source: Agreed, target: Agreed) -> Codec | None:
    """As what the target hears what the source says: the source's codec as it is, or the one that the engine speaks there."""
    codec = source.codecs[0]
    same = next((other for other in target.voices if _key(other) == _key(codec)), None)
    if same is not None or is_relayed(codec):
        return same
    return next((other for other in target.voices if not is_relayed(other)), None)


def _key(codec: Codec) -> str:
    return Encoding(codec.name, codec.clock_rate_hz, codec.channels).key
