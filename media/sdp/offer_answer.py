"""Offer and answer of one leg (RFC 3264). Sans-I/O, and without a clock: text in, text and an agreement out.

One `OfferAnswer` lives as long as its dialog. Whoever owns the dialog decides when descriptions travel; this machine
decides what they say:

    offer()          ─▶ to the peer ─▶ receive_answer() ─▶ Agreed            we ask (also late: the offer goes in a 2xx)
    receive_offer()  ─▶ answer()    ─▶ to the peer, and Agreed               the peer asks
    withdraw()                                                               our offer was refused: all is as before

What it holds to:
- A media line never vanishes: every description has the lines of the one before, in their places; the ones that we do
  not take have port 0 (RFC 3264 6, 8).
- The version in o= rises by one when a description differs from the last one that was sent, and not otherwise (8).
- A payload number keeps its meaning: an answer uses the offer's numbers, a later offer of ours those that were agreed (8.3.2).
- Refusing (SdpRefused) changes nothing; the session goes on as it was.

An answer may come several times to one offer (183, then 200; or from several forks): the last one counts.
Encryption is the affair of `media.sdp.crypto`: here its lines are put in, and its keys handed on.
The file is longer than others: offering and answering change one state, and what holds between them is only to be seen beside each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from media.engine import Codec, Connect, SrtpKeys
from media.errors import SdpError, SdpRefused, UsageError
from media.sdp import formats
from media.sdp.codecs import DESCRIPTORS, FIRST_DYNAMIC, LAST_DYNAMIC, STATIC, Descriptor, is_relayed, is_voice
from media.sdp.crypto import PLAIN, SECURE, CryptoLine, RandomBytes, Security
from media.sdp.description import (
    Attributes,
    Description,
    Media,
    Origin,
    build_description,
    connection_to,
    parse_description,
    parse_literal,
)
from media.sdp.formats import Match
from media.settings import MediaSettings, SrtpPolicy

__all__ = ["Agreed", "LocalMedia", "OfferAnswer", "SdpRefused", "offered_family"]

_SENDS, _RECEIVES = ("sendrecv", "sendonly"), ("sendrecv", "recvonly")
_DIRECTION = {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly", (False, False): "inactive"}


@dataclass(frozen=True)
class LocalMedia:
    """What we advertise for the stream."""

    address: str
    port: int
    rtcp_port: int


@dataclass(frozen=True)
class Agreed:
    """What both sides agreed on.

    remote_address, remote_port: where to send. While the peer has no address (hold by 0.0.0.0, port 0) the last known one
    stays, and direction forbids sending. codecs: never empty, the voice codecs first and in the order of preference. A
    format that the peer numbers otherwise than we do comes twice: first as it is sent, then as it is received. direction:
    ours. remote_hold: the peer does not want to hear us. ptime_ms: what we should send. srtp: None means in the clear.
    max_ptime_ms: the longest packets that the peer takes, 0 for any.
    """

    remote_address: str
    remote_port: int
    remote_rtcp_port: int
    codecs: tuple[Codec, ...]
    direction: str
    remote_hold: bool
    rtcp_mux: bool
    ptime_ms: int
    srtp: SrtpKeys | None = None
    max_ptime_ms: int = 0

    @property
    def voices(self) -> tuple[Codec, ...]:
        """The voice codecs, the first of them the one that is spoken."""
        return formats.voices(self.codecs)

    @property
    def relayed(self) -> bool:
        """The peer speaks what can only be passed on."""
        return is_relayed(self.codecs[0])

    @property
    def has_events(self) -> bool:
        """Keys can travel as telephone-events."""
        return any(codec.name == "telephone-event" for codec in self.codecs)

    def connect_command(self, stream: str, *, latch: bool, media_timeout_ms: int, inband_digits: bool = False) -> Connect:
        """The engine's command that puts this into force on a stream.

        The engine speaks the first codec by itself, so a voice codec that it can only pass stands behind others.
        inband_digits: whether keys may be looked for in the audio; it is done when there is no other way for them.
        A peer that holds may be silent as long as it likes: not all of them play music.
        """
        return Connect(
            stream=stream,
            remote_address=self.remote_address,
            remote_port=self.remote_port,
            remote_rtcp_port=self.remote_rtcp_port,
            codecs=sorted(self.codecs, key=lambda codec: (not is_voice(codec), is_relayed(codec))),
            direction=self.direction,
            rtcp_mux=self.rtcp_mux,
            latch=latch,
            ptime_ms=self.ptime_ms,
            max_ptime_ms=self.max_ptime_ms,
            media_timeout_ms=0 if self.remote_hold else media_timeout_ms,
            srtp=self.srtp or msgspec.UNSET,
            inband_digits=inband_digits and not self.has_events,
        )


@dataclass(frozen=True, slots=True)
class _Choice:
    """The media line of a remote description that we take, and what is common in it. index -1: the peer turned audio off."""

    description: Description
    index: int
    matches: tuple[Match, ...] = ()
    crypto: CryptoLine | None = None

    @property
    def media(self) -> Media:
        return self.description.media[self.index]


class OfferAnswer:
    """The offer/answer state of one dialog's audio.

    local: what we advertise; set it when the stream's ports become known, or when the stream was replaced.
    agreed: what is in force, None before the first agreement. local_description: what we said last and was not refused.
    random_bytes: where keys for encryption come from; needed unless it is forbidden. srtp: the policy for this session,
    None for that of the settings.
    """

    def __init__(
        self,
        settings: MediaSettings,
        local: LocalMedia,
        session_id: int,
        *,
        random_bytes: RandomBytes | None = None,
        srtp: SrtpPolicy | None = None,
    ) -> None:
        self.local = local
        self.agreed: Agreed | None = None
        self.local_description = b""
        self._settings = settings
        self._session_id = session_id
        self._descriptors = tuple(descriptor for name in settings.codecs for descriptor in DESCRIPTORS[name])
        self._version = 0
        self._sent: Description | None = None  # the last one that left us, whatever became of it
        self._lines: tuple[Media, ...] = ()  # ours, in force
        self._index = 0  # the audio line that is in use
        self._wish = "sendrecv"
        self._directed = False  # an offer of ours had another direction once: from then on each names its own
        self._far_hz = 0
        self._numbers: dict[str, int] = {}  # a format's key → payload type that we receive it with
        self._taken: dict[int, str] = {}  # dynamic payload type → the key of its format, whoever used it so
        self._remote_offer: _Choice | None = None
        self._security = Security(srtp or settings.srtp, settings.srtp_suites, random_bytes)
        self._before_offer: tuple[tuple[Media, ...], int, bytes, str, object] | None = None

    # --- we offer -------------------------------------------------------------------------------------------------

    def offer(self, prefer: Sequence[Codec] = (), *, only: bool = False, direction: str | None = None, far_hz: int | None = None) -> bytes:
        """Make an offer: the codecs of the other leg (`prefer`) first, then all others of ours.

        only: no voice codec but those in `prefer`. direction: what we want from now on (sendonly or inactive: hold); None
        keeps the wish. far_hz: the sampling rate that is of use to the other leg for as long as it is there, 0 any; None
        keeps it.
        """
        if far_hz is not None:
            self._far_hz = far_hz
        self._remember()
        if direction is not None:
            self._wish, self._directed = direction, True
        current = self._lines[self._index] if self._lines else None
        protocol = current.protocol if current and current.protocol.upper() in self._security.protocols else self._security.first_protocol()
        encrypted = None if self.agreed is None else self.agreed.srtp is not None
        audio = self._audio_line(
            protocol=protocol,
            formats=[
                self._format(descriptor, self._number(descriptor), None, prefer)
                for descriptor in formats.offer(self._descriptors, prefer, only=only)
            ],
            direction=self._wish,
            ptime_ms=self._settings.ptime_ms,
            rtcp_mux=self._settings.offer_rtcp_mux,
            crypto=self._security.offer_lines(protocol, self._place, encrypted),
            brief=True,  # an INVITE by UDP has room for 1300 octets (RFC 3261 18.1.1), credentials included
        )
        lines = [_refused_line(line) for line in self._lines] or [audio]
        lines[self._index] = audio
        return self._publish(lines)

    def refresh(self) -> bytes:
        """Offer what is in force once more, unchanged: the body of a session refresh (RFC 4028 7.4)."""
        if not self._lines:
            return self.offer()
        self._remember()
        return self._publish(self._lines)

    def withdraw(self) -> None:
        """Our offer was refused or failed: what was agreed before stays in force (RFC 3261 14.1)."""
        if self._before_offer is not None:
            self._lines, self._index, self.local_description, self._wish, security = self._before_offer
            self._security.restore(security)
            self._before_offer = None

    def receive_answer(self, body: bytes) -> Agreed:
        """Take the answer to our last offer.

        Raises:
            SdpRefused: 400 broken, 488 nothing in common or audio refused. What was in force stays.
            UsageError: there was no offer.
        """
        if not self._lines:
            raise UsageError("an answer, but there was no offer")
        description = _parse(body)
        if self._index >= len(description.media):
            raise SdpRefused(488, "The answer lacks the audio line", 304, "The answer lacks the offered audio line")
        media = description.media[self._index]
        if not media.audio or media.port == 0:
            raise SdpRefused(488, "Audio was refused", 304, "The answer refuses audio")
        matches = self._matches(description, media, answer=True)
        srtp = self._security.take_answer(self._lines[self._index], media)
        agreed = self._agree(_Choice(description, self._index, matches), self._numbers, srtp)
        self._note_numbers(media)
        self._before_offer = None
        return agreed

    # --- the peer offers ------------------------------------------------------------------------------------------

    def receive_offer(self, body: bytes, *, relays: bool = False) -> None:
        """Keep the peer's offer, to be answered by `answer`.

        relays: whether there is another leg to which a codec that we cannot speak passes, so that it may stand alone.

        Raises:
            SdpRefused: 400 broken, 488 nothing that we can do. What was in force stays.
        """
        self._remote_offer = self._choose(_parse(body), relays)

    def offered_codecs(self) -> tuple[Codec, ...]:
        """The voice codecs common with the last remote offer, in its order; () when there was none."""
        if self._remote_offer is None:
            return ()
        return tuple(match.codec for match in self._remote_offer.matches if match.descriptor.voice)

    def answer(self, prefer: Sequence[Codec] = ()) -> tuple[bytes, Agreed]:
        """Answer the last remote offer: the first codec of the other leg (`prefer`) that is in it, else the offerer's order.

        May be called again for the same offer; with the same arguments it says the same.

        Raises:
            UsageError: there was no offer.
        """
        choice = self._remote_offer
        if choice is None:
            raise UsageError("no offer to answer")
        self._before_offer = None  # a local offer that was open has lost
        lines = [_refused_line(line) for line in choice.description.media]
        if choice.index < 0:  # a re-offer with audio turned off
            agreed = self._turned_off()
            self._index = self._audio_index(choice.description)
        else:
            matches = formats.select(choice.matches, prefer, single=self._settings.answer_single_codec)
            choice = replace(choice, matches=matches)
            crypto, srtp = self._security.answer(choice.crypto, self._place) if choice.crypto else ((), None)
            agreed = self._agree(choice, {}, srtp)
            self._index = choice.index
            self._note_numbers(choice.media)
            self._numbers = {match.descriptor.key: match.payload_type for match in choice.matches}
            lines[choice.index] = self._audio_line(
                protocol=choice.media.protocol,
                formats=[self._format(match.descriptor, match.payload_type, match.fmtp, prefer) for match in choice.matches],
                direction=agreed.direction,
                ptime_ms=agreed.ptime_ms,
                rtcp_mux=agreed.rtcp_mux,
                crypto=crypto,
            )
        return self._publish(lines), agreed

    # --- reading the peer -----------------------------------------------------------------------------------------

    def _choose(self, description: Description, relays: bool) -> _Choice:
        """The audio line to take: the one in use if it still serves, else the first that does. Raises the first refusal.

        A re-offer that turns audio off and asks for nothing is a hold. One that asks for something else instead, such as a
        fax over T.38 or video alone, is refused as a whole, and the session stays as it was (RFC 3264 6, RFC 3261 14.2).
        """
        if self.agreed and len(description.media) < len(self._lines):
            text = f"{len(description.media)} media lines, {len(self._lines)} were agreed: a line is turned off by port 0"
            raise SdpRefused(488, "Media lines are missing", 304, text)
        order = sorted(range(len(description.media)), key=lambda index: (index != self._index, index))
        refusals: list[SdpRefused] = []
        for index in order if self.agreed else range(len(description.media)):
            media = description.media[index]
            if not media.audio or media.port == 0:
                continue
            try:
                matches = self._matches(description, media, relays=relays)
                return _Choice(description, index, matches, self._security.choose(media))
            except SdpRefused as refused:
                refusals.append(refused)
        if refusals:
            raise refusals[0]
        if self.agreed and any(media.audio for media in description.media) and not any(media.port for media in description.media):
            return _Choice(description, -1)
        raise SdpRefused(488, "No audio", 304, "No audio media line that is in use")

    def _matches(self, description: Description, media: Media, *, answer: bool = False, relays: bool = False) -> tuple[Match, ...]:
        """The payload formats common with one audio line, in its order. Raises SdpRefused when there is no voice among them."""
        if media.protocol.upper() not in self._security.protocols:
            supported = "RTP/AVP and RTP/SAVP are" if SECURE[0] in self._security.protocols else "RTP/AVP is"
            raise SdpRefused(488, f"Transport {_safe(media.protocol)}", 302, f"{_safe(media.protocol)} is not supported, {supported}")
        self._require_address(description, media)
        ours = {number: key for key, number in self._numbers.items()} if answer else {}
        offered = set(self._lines[self._index].formats) if answer else set()
        known = [one for one in self._descriptors if not answer or str(self._numbers.get(one.key)) in offered]
        matches = formats.common(media, known, ours)
        voices = [match for match in matches if match.descriptor.voice]
        if not any(answer or relays or not match.descriptor.relayed for match in voices):
            names = ", ".join(dict.fromkeys(one.name for one in known if one.voice and not one.relayed))
            theirs = ", ".join(_names(media)) or "none"
            raise SdpRefused(488, "No common codec", 305, f"No common codec: offered {theirs}; supported {names}")
        return (*(match for match in matches if match.descriptor.voice), *formats.beside(matches, voices))

    def _require_address(self, description: Description, media: Media) -> None:
        connection = description.connection_of(media)
        if connection is None:
            raise SdpRefused(400, "No c= line for the audio")
        if connection.unspecified:
            return
        if connection.network != "IN":
            raise SdpRefused(488, "Foreign network", 300, f"Network {_safe(connection.network)} is not available, IN is")
        if connection.foreign:
            raise SdpRefused(
                488, "Foreign address", 301, f"Address type {_safe(connection.address_type)} is not available, IP4 and IP6 are"
            )
        if not connection.family:
            raise SdpRefused(488, "Address is no IP literal", 301, f"Address {_safe(connection.address)} is no IP address")
        if connection.multicast:
            raise SdpRefused(488, "Multicast", 330, "Multicast is not available")
        ours = parse_literal(self.local.address).version
        if connection.family != ours:
            raise SdpRefused(488, f"IPv{connection.family} against IPv{ours}", 300, f"Media is available over IPv{ours} here")

    def _agree(self, choice: _Choice, offered: dict[str, int], srtp: SrtpKeys | None) -> Agreed:
        """What a remote description and ours come to. `offered`: our own payload numbers, when the peer answered us."""
        description, media = choice.description, choice.media
        connection = description.connection_of(media)
        assert connection is not None  # _require_address
        theirs = description.direction_of(media)
        they_send, they_receive = theirs in _SENDS, theirs in _RECEIVES and not connection.unspecified
        address, port = connection.address, media.port
        if connection.unspecified and self.agreed:
            address, port = self.agreed.remote_address, self.agreed.remote_port
        elif connection.unspecified:
            address = "::" if parse_literal(self.local.address).version == 6 else "0.0.0.0"
        codecs = [match.codec for match in choice.matches]
        for match in choice.matches:
            if (number := offered.get(match.descriptor.key, match.payload_type)) != match.payload_type:
                codecs.append(match.descriptor.codec(number, match.fmtp))
        rtcp_mux = media.attribute("rtcp-mux") is not None and (not offered or self._offered_mux())
        self.agreed = Agreed(
            remote_address=address,
            remote_port=port,
            remote_rtcp_port=port if rtcp_mux else _rtcp_port(media, port),
            codecs=tuple(codecs),
            direction=_DIRECTION[they_receive and self._wish in _SENDS, they_send and self._wish in _RECEIVES],
            remote_hold=not they_receive,
            rtcp_mux=rtcp_mux,
            ptime_ms=choice.matches[0].descriptor.packet_ms(self._ptime(media)),
            srtp=srtp,
            max_ptime_ms=min(media.number("maxptime") or 0, 1000),
        )
        return self.agreed

    def _audio_index(self, description: Description) -> int:
        """The line to turn on again, should it come to that: the one in use, if it is still for audio."""
        audio = [index for index, media in enumerate(description.media) if media.audio]
        return self._index if self._index in audio else audio[0]

    def _turned_off(self) -> Agreed:
        assert self.agreed is not None  # _choose gives -1 only in a session
        self.agreed = replace(self.agreed, direction="inactive", remote_hold=True)
        return self.agreed

    def _ptime(self, media: Media) -> int:
        """The packet length that the peer asks for, within what it and we can do: 10 to 60 ms in steps of 10."""
        wanted = media.number("ptime") or self._settings.ptime_ms
        limit = media.number("maxptime") or 60
        return max(10, min(wanted, limit, 60) // 10 * 10)

    def _offered_mux(self) -> bool:
        return self._lines[self._index].attribute("rtcp-mux") is not None

    # --- writing ours ---------------------------------------------------------------------------------------------

    @property
    def _place(self) -> tuple[str, int]:
        return self.local.address, self.local.port

    def _audio_line(
        self,
        *,
        protocol: str,
        formats: Iterable[tuple[Descriptor, int, str]],
        direction: str,
        ptime_ms: int,
        rtcp_mux: bool,
        crypto: Attributes,
        brief: bool = False,
    ) -> Media:
        """brief: without what RFC 3551 and RFC 8866 6.7 say already."""
        numbers: list[str] = []
        attributes: list[tuple[str, str]] = []
        for descriptor, number, fmtp in formats:
            numbers.append(str(number))
            if not (brief and STATIC.get(number) == descriptor.encoding):
                attributes.append(("rtpmap", f"{number} {descriptor.encoding}"))
            if fmtp:
                attributes.append(("fmtp", f"{number} {fmtp}"))
        attributes.append(("ptime", str(ptime_ms)))
        if not (brief and direction == "sendrecv" and not self._directed):
            attributes.append((direction, ""))
        if self.local.rtcp_port != self.local.port + 1:  # RFC 3605 2.1: only when it is not the next one
            attributes.append(("rtcp", str(self.local.rtcp_port)))
        if rtcp_mux:
            attributes.append(("rtcp-mux", ""))
        attributes.extend(crypto)
        return Media("audio", self.local.port, protocol, tuple(numbers), None, tuple(attributes))

    def _format(self, descriptor: Descriptor, number: int, offered: str | None, prefer: Sequence[Codec]) -> tuple[Descriptor, int, str]:
        """A format as we say it. offered: the peer's fmtp, None in an offer of ours; prefer: the codecs of the other leg."""
        wish = descriptor.wish(prefer)
        return descriptor, number, descriptor.fmtp(offered, None if wish is None else wish.fmtp, self._far_hz)

    def _number(self, descriptor: Descriptor) -> int:
        """The payload type for a codec in our offers: as before in this session, else its usual one, else a free one."""
        key = descriptor.key
        if key not in self._numbers:
            number = descriptor.payload_type
            if number >= FIRST_DYNAMIC:
                candidates = [number, *range(FIRST_DYNAMIC, LAST_DYNAMIC + 1)]
                used = set(self._numbers.values())
                number = next((n for n in candidates if n not in used and self._taken.get(n, key) == key), number)
            self._numbers[key] = number
        return self._numbers[key]

    def _note_numbers(self, media: Media) -> None:
        """Remember what the peer uses dynamic payload types for, so that we never give one another meaning."""
        for text in media.formats:
            if (
                text.isascii()
                and text.isdigit()
                and FIRST_DYNAMIC <= int(text[:4]) <= LAST_DYNAMIC
                and (encoding := media.encoding(int(text)))
            ):
                self._taken[int(text)] = encoding.key

    def _remember(self) -> None:
        """Keep what `withdraw` goes back to; several offers in a row go back to before the first."""
        if self._before_offer is None:
            self._before_offer = (self._lines, self._index, self.local_description, self._wish, self._security.snapshot())

    def _publish(self, lines: Sequence[Media]) -> bytes:
        """Number and write a description of ours."""
        unnumbered = Description(
            origin=Origin("-", str(self._session_id), "", self.local.address),
            connection=connection_to(self.local.address),
            media=tuple(lines),
        )
        if unnumbered != self._sent:
            self._sent = unnumbered
            self._version += 1
        self._lines = tuple(lines)
        self.local_description = build_description(replace(unnumbered, origin=replace(unnumbered.origin, version=str(self._version))))
        return self.local_description


def offered_family(body: bytes) -> int:
    """4 or 6: the IP version of the first usable audio line of an offer, so that a stream of that kind can be opened; 0 unknown.

    Never raises: what is broken is refused by `OfferAnswer.receive_offer`.
    """
    try:
        description = parse_description(body)
    except SdpError:
        return 0
    for media in description.media:
        connection = description.connection_of(media)
        if media.audio and media.port and media.protocol.upper() in PLAIN + SECURE and connection and connection.family:
            return connection.family
    return 0


def _parse(body: bytes) -> Description:
    try:
        return parse_description(body)
    except SdpError as broken:
        raise SdpRefused(400, f"Broken session description: {broken}") from broken


def _refused_line(line: Media) -> Media:
    """The same media line, turned off: kind, protocol and formats stay (RFC 3264 6)."""
    return Media(line.kind, 0, line.protocol, line.formats)


def _rtcp_port(media: Media, port: int) -> int:
    """RFC 3605 2.1; the address that may follow is not used, latching finds it."""
    announced = media.number("rtcp")
    return announced if announced and announced <= 65535 else min(port + 1, 65535)


def _names(media: Media) -> list[str]:
    """What a media line offers, in words for a Warning; at most eight."""
    names = []
    for text in media.formats[:8]:
        encoding = media.encoding(int(text)) if text.isascii() and text.isdigit() and len(text) <= 3 else None
        names.append(_safe(encoding.name if encoding else text))
    return names


def _safe(text: str) -> str:
    """A peer's word, fit for a quoted string in a header."""
    return re.sub(r"[^A-Za-z0-9.:/_+-]", "?", text)[:40]
