"""Which payload formats of an audio line are used: those in common, in whose order, and what goes beside them. Pure.

The offerer's order decides, unless another leg is known (`others`, its codecs): what both have passes without transcoding, so
it comes first. A codec that can only pass (G.729) is offered and answered only when the other leg has it; how that is kept
safe is told in docs/sdp.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from media.engine import Codec
from media.sdp.codecs import LAST_DYNAMIC, Descriptor, Encoding, is_voice
from media.sdp.description import Media

_EVENTS = "telephone-event"


@dataclass(frozen=True, slots=True)
class Match:
    """A payload format of the peer's that we know."""

    descriptor: Descriptor
    payload_type: int
    fmtp: str

    @property
    def codec(self) -> Codec:
        return self.descriptor.codec(self.payload_type, self.fmtp)


def voices(codecs: Iterable[Codec]) -> tuple[Codec, ...]:
    """The voice codecs, each once, in their order."""
    found: dict[str, Codec] = {}
    for codec in codecs:
        if is_voice(codec):
            found.setdefault(Encoding(codec.name, codec.clock_rate_hz, codec.channels).key, codec)
    return tuple(found.values())


def offer(descriptors: Sequence[Descriptor], others: Sequence[Codec], *, only: bool = False) -> list[Descriptor]:
    """What we offer: the other leg's codecs first, then ours, then what travels beside them.

    only: no voice codec but the other leg's.
    """
    wished = [next((one for one in descriptors if one.voice and one.wish([codec])), None) for codec in others]
    first = list(dict.fromkeys(one for one in wished if one is not None))
    rest = [one for one in descriptors if one.voice and not one.on_request and one not in first]
    chosen = first if only and first else first + rest
    clocks = {one.clock_rate_hz for one in chosen}
    return chosen + [one for one in descriptors if not one.voice and one.clock_rate_hz in clocks]


def common(media: Media, descriptors: Sequence[Descriptor], ours: Mapping[int, str]) -> tuple[Match, ...]:
    """The formats of a line that we know, in its order.

    ours: number → key of the formats that we offered, when the line is an answer. It may leave out the rtpmap of a
    dynamic number that was ours: devices do.
    """
    matches: list[Match] = []
    for text in media.formats:
        if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= LAST_DYNAMIC):
            continue
        number = int(text)
        encoding, fmtp = media.encoding(number), media.fmtp(number)
        for descriptor in descriptors:
            known = descriptor.matches(encoding) if encoding else ours.get(number) == descriptor.key
            if known and descriptor.accepts(fmtp) and all(match.descriptor is not descriptor for match in matches):
                matches.append(Match(descriptor, number, fmtp))
    return tuple(matches)


def beside(matches: Sequence[Match], spoken: Iterable[Match]) -> list[Match]:
    """What travels beside these voice codecs: formats of the same clock (RFC 4733 2.3, RFC 3389 4).

    Events at 8 kHz are taken beside any codec when there are no others: many devices offer no others beside Opus.
    """
    clocks = {match.descriptor.clock_rate_hz for match in spoken}
    others = [match for match in matches if not match.descriptor.voice]
    found = [match for match in others if match.descriptor.clock_rate_hz in clocks]
    if not any(match.descriptor.name == _EVENTS for match in found):
        found += [match for match in others if match.descriptor.name == _EVENTS and match.descriptor.clock_rate_hz == 8000]
    return found


def select(matches: Sequence[Match], others: Sequence[Codec], *, single: bool) -> tuple[Match, ...]:
    """What of the common formats is answered: voice first, and only one unless it is otherwise wanted.

    A codec that can only pass is taken when the other leg speaks it, not when it merely has it; and it is never alone: one that
    we can speak stands behind it, for prompts after the bridge.
    """
    ranks = {match: _rank(match, others) for match in matches}
    usable = [match for match in matches if match.descriptor.voice and (not match.descriptor.relayed or (others and ranks[match] == 0))]
    spoken = sorted(usable, key=lambda match: ranks[match])
    if single and spoken:
        speakable = next((match for match in spoken if not match.descriptor.relayed), None)
        spoken = list(dict.fromkeys(match for match in (spoken[0], speakable) if match is not None))
        if not spoken[0].descriptor.relayed:
            spoken = spoken[:1]
    return (*spoken, *beside(matches, spoken))


def _rank(match: Match, others: Sequence[Codec]) -> int:
    return next((rank for rank, codec in enumerate(others) if match.descriptor.wish([codec])), len(others))
