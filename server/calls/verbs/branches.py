"""From the nouns of a Dial to its branches: where each goes, what it offers, how far it may lead (behaviour.md 2.3, 2.4, 2.7)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from media.sdp.codecs import sampling_hz
from rcml.verbs.dial import Dial
from rcml.verbs.nouns import CallNoun
from server.calls.legs.callbacks import LegCallbacks
from server.calls.legs.leg import MAX_BREADTH, Leg
from server.calls.legs.media import CodecPreference
from server.calls.legs.outbound import Outbound
from server.calls.targets import Unreachable
from server.calls.verbs.acceptance import Acceptance, is_needed
from server.calls.verbs.running import Stage


@dataclass(frozen=True, slots=True)
class Branch:
    """What a noun has become. acceptance: what stands between its answer and the bridge, None for nothing."""

    opening: Outbound
    acceptance: Acceptance | None


def branches_of(stage: Stage, verb: Dial) -> Iterator[Branch | Unreachable]:
    """One for each noun, in their order, and for each phone of a Client. What cannot be called is told to the application's author."""
    refusal = stage.outbox.policy.sip_refusal
    places = [(noun, at) for noun in verb.nouns for at in stage.targets.places(noun, verb.caller_id, stage.identity, refusal)]
    told, count = stage.leg.opening.breadth, max(1, len(places))
    share, rest = divmod(max(MAX_BREADTH, count) if told is None else told, count)  # RFC 5393 5.3.3: what leads back to us ends
    for index, (noun, placed) in enumerate(places):
        breadth = share + (index < rest)
        if not breadth:
            placed = Unreachable("Max-Breadth Exceeded", 440, "dial fewer at a time, and none that leads back here")
        if isinstance(placed, Unreachable):
            text = f"{placed.reason}; {placed.remedy}" if placed.remedy else placed.reason
            stage.outbox.notify(11008, "error", text, line=noun.line)
            yield placed
            continue
        assert isinstance(noun, CallNoun)
        opening = Outbound(
            stage.outbox,
            placed,
            functools.partial(_preference, stage.leg, verb, noun),
            hops_left=stage.leg.opening.hops_left,
            trail=stage.leg.trail,
            breadth=breadth,
            callbacks=LegCallbacks(noun, placed.caller_name, stage.identity.forwarded_from, stage.dialect),
        )
        yield Branch(opening, Acceptance(stage, opening, noun, placed.caller_name) if is_needed(noun) else None)


def _preference(caller: Leg, verb: Dial, noun: CallNoun) -> CodecPreference:
    """What the callees are offered first. A codec that can only pass is of no use where something is played or recorded.

    A recording (8 kHz) hears no more than the narrowest caller, so it asks for nothing beyond that.
    """
    preference = caller.preference(relay=not verb.record and verb.dial_music is None and not is_needed(noun))
    return replace(preference, far_hz=max(map(sampling_hz, preference.codecs), default=0))
