"""The media half of a leg: one stream of the engine, and the offer/answer of its dialog (RFC 3264)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from media import engine
from media.sdp.codecs import is_relayed
from media.sdp.offer_answer import Agreed, LocalMedia, OfferAnswer
from media.settings import SrtpPolicy
from server.calls.effects import Json, Kind
from server.calls.names import play_name
from server.calls.outbox import Outbox
from server.calls.policy import MediaAddress

BEEP_MS = 200


class MediaState(enum.Enum):
    NONE = "none"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CodecPreference:
    """The codecs of the leg that another one is to be joined with. only: no others are of use.

    far_hz: the sampling rate that is of use to that leg, 0 when more may be heard or it is not known.
    """

    codecs: tuple[engine.Codec, ...] = ()
    only: bool = False
    far_hz: int = 0


class LegMedia:
    """Owns the stream named like the leg. Everything is idempotent: closing twice sends one Close."""

    def __init__(self, outbox: Outbox, sid: str, address: MediaAddress, srtp: SrtpPolicy | None = None) -> None:
        """srtp: the rule for this leg, None for that of the server."""
        self.stream = sid
        self.signalling_address = ""  # whom the dialog is with, as far as it is an IP address: a hint for whose packets are the peer's
        self.state = MediaState.NONE
        self.connected = False
        self._in_force: engine.Connect | None = None
        self.held = False  # by a Hold of the document
        self.offer_open = False  # in our 200 to an empty re-INVITE, answered by its ACK
        self._silent = False  # a MediaTimeout stands
        self._packets: int | None = None  # heard until then; None: not known yet
        self._counting = False  # Stats are on their way
        self.playing: str | None = None
        self._filling: str | None = None  # a play of silence, while nothing else is sent
        self._beeping = False  # the engine plays the beep of a recording, which any play would take away
        self.outbox = outbox
        self._address = address
        self._srtp = srtp
        self.offer_answer = self._new_offer_answer(LocalMedia(self._address.advertised, 9, 10))
        self._plays = 0
        self.mix_plays = 0  # that it has played to a mix, in whatever room
        self.leaving: list[str] = []  # mixes whose leaving is not confirmed yet: a document may lead back into the same at once

    def _new_offer_answer(self, local: LocalMedia) -> OfferAnswer:
        policy = self.outbox.policy
        session_id = int.from_bytes(policy.random_bytes(4), "big") >> 1
        return OfferAnswer(policy.media, local, session_id, random_bytes=policy.random_bytes, srtp=self._srtp)

    def prefer_family(self, family: int) -> None:
        """Before it is opened: have a stream of IP version 4 or 6, if there can be one. 0: as the signalling."""
        self._address = self.outbox.policy.of_family(self._address, family)
        self.offer_answer.local = LocalMedia(self._address.advertised, 9, 10)

    @property
    def srtp(self) -> SrtpPolicy:
        """The rule in force."""
        return self._srtp or self.outbox.policy.media.srtp

    def begin_anew(self, srtp: SrtpPolicy | None) -> None:
        """Another dialog, with the same stream: nothing is agreed in it yet, and keys are not used twice. srtp: its rule, as for a leg."""
        self._srtp = srtp
        self.offer_answer = self._new_offer_answer(self.offer_answer.local)

    @property
    def live(self) -> bool:
        return self.state in (MediaState.OPENING, MediaState.OPEN, MediaState.CLOSING)

    @property
    def voices(self) -> tuple[engine.Codec, ...]:
        """The voice codecs in force, () before there are any."""
        agreed = self.offer_answer.agreed
        return agreed.voices if agreed is not None else ()

    @property
    def relays(self) -> bool:
        """The peer speaks a codec that can only pass: nothing but its counterpart understands it."""
        agreed = self.offer_answer.agreed
        return agreed is not None and agreed.relayed

    @property
    def may_be_heard(self) -> bool:
        """By what was agreed the peer may send."""
        agreed = self.offer_answer.agreed
        return agreed is not None and agreed.direction in ("sendrecv", "recvonly")

    @property
    def should_be_heard(self) -> bool:
        """The peer is expected to send: it may, and does not hold (then it may be silent as long as it likes)."""
        agreed = self.offer_answer.agreed
        return self.may_be_heard and agreed is not None and not agreed.remote_hold

    def offer_direction(self, direction: str) -> bytes:
        """An offer of what is in force but for the direction, ours: `sendonly` puts the peer on hold, `sendrecv` takes it back."""
        return self.offer_answer.offer(self.voices[:1] if self.relays else self.voices, only=self.relays, direction=direction)

    def offer_again(self, peer: LegMedia | None) -> bytes:
        """An offer in the middle of a call, for an empty re-INVITE: what saves transcoding first (RFC 3261 14.2)."""
        if peer is not None and peer.relays:
            return self.offer_answer.offer(peer.voices[:1], only=True)
        codecs = (peer.voices if peer is not None else ()) or self.voices
        return self.offer_answer.offer([codec for codec in codecs if not is_relayed(codec)])

    def open(self) -> None:
        self.state = MediaState.OPENING
        self.outbox.emit(
            engine.Open(
                stream=self.stream,
                call=self.outbox.call_sid,
                address=self._address.bind,
                expires_ms=round(self.outbox.policy.media.orphan_s * 1000),
                signalling_address=self.signalling_address,
            )
        )

    def opened(self, event: engine.Opened) -> bool:
        """True when this is news."""
        if self.state is not MediaState.OPENING:
            return False
        self.state = MediaState.OPEN
        self.offer_answer.local = LocalMedia(self._address.advertised, event.port, event.rtcp_port)
        return True

    def connect(self, agreed: Agreed) -> None:
        """Tell the engine what was agreed; also after every exchange in the dialog (RFC 3264 8)."""
        if self.state is not MediaState.OPEN:
            return
        media = self.outbox.policy.media
        command = agreed.connect_command(
            self.stream,
            latch=media.latch,
            media_timeout_ms=int(media.media_timeout_s * 1000),
            inband_digits=media.inband_digits == "auto",
        )
        # Also when it says nothing new: with each exchange the peer may be elsewhere behind its NAT, and the engine looks for it anew.
        self.outbox.emit(command)
        if command == self._in_force:
            return  # a 183 and its 200 mostly say the same: one line tells it
        self._in_force = command
        self.connected = True
        self._silent = False
        facts: dict[str, Json] = {"event": "connected", "stream": self.stream, "peer": f"{agreed.remote_address}:{agreed.remote_port}"}
        facts |= {"codec": agreed.codecs[0].name, "ptime_ms": agreed.ptime_ms, "direction": agreed.direction}
        keys = "events" if agreed.has_events else "in the audio" if command.inband_digits else "none"
        facts |= {"keys": keys, "encryption": agreed.srtp.suite if agreed.srtp is not None else "none"}
        self.outbox.note(Kind.MEDIA, facts, self.stream)

    def limit(self, seconds: float | None) -> None:
        """Have the engine close the stream by itself then, should no control process be there any more; None takes that back."""
        if self.state is MediaState.OPEN:
            self.outbox.emit(engine.Deadline(stream=self.stream, in_ms=0 if seconds is None else max(1, round(seconds * 1000))))

    def ask_counters(self) -> None:
        """Answered by StreamStats."""
        if self.state is MediaState.OPEN:
            self.outbox.emit(engine.Stats(stream=self.stream))

    # --- silence --------------------------------------------------------------------------------------------------

    @property
    def dead(self) -> bool:
        """Silent for long, and it was counted that nothing has been heard since."""
        return self._silent and self._packets is not None and not self._counting

    def fell_silent(self) -> None:
        """The engine tells of a silence once; whether it lasts is found out by counting."""
        self._silent, self._packets = True, None
        self.count()

    def count(self) -> None:
        if self._silent and self.state is MediaState.OPEN:
            self._counting = True
            self.ask_counters()

    def counted(self, packets_in: int) -> None:
        self._counting = False
        if self._packets is not None and self._packets != packets_in:
            self._silent = False
        self._packets = packets_in

    # --- plays ----------------------------------------------------------------------------------------------------

    def fill(self, wanted: bool) -> None:
        """Send silence as long as nothing else is sent: carriers, phones and NATs take a stream without packets for dead (RFC 6263 4).

        It is no play to anybody else: whatever is played ends it, and no event of it is news.
        """
        free = self.playing is None and not self._beeping and not self.relays
        wanted = wanted and free and self.state is MediaState.OPEN
        if wanted and self._filling is None:
            self._plays += 1
            self._filling = play_name(self.stream, self._plays)
            self.outbox.emit(engine.Play(stream=self.stream, play=self._filling, tone="silence", loop=0))
        elif not wanted and self._filling is not None:
            if self.playing is None and self.state is MediaState.OPEN:
                self.outbox.emit(engine.StopPlay(stream=self.stream, play=self._filling))
            self._filling = None

    def await_beep(self, on: bool) -> None:
        """A recording of this stream begins with a beep, which the engine plays by itself; or that is over."""
        self._beeping = on
        if on:
            self._filling = None  # replaced

    def play_tone(self, tone: str, country: str | None = None) -> str | None:
        """Endless tone, as in `country` or as the setting has it; returns the play's name, or None without a connected stream."""
        return self._play([], tone, 0, country)

    def play_beep(self) -> str | None:
        """A short tone; it ends by itself."""
        return self._play([], "beep", 0, duration_ms=BEEP_MS)

    def play_files(self, files: list[str], loop: int) -> str | None:
        """Canonical WAVs one after another; loop 0 is for ever."""
        return self._play(files, "", loop)

    def _play(self, files: list[str], tone: str, loop: int, country: str | None = None, duration_ms: int = 0) -> str | None:
        if self.state is not MediaState.OPEN or not self.connected:
            return None
        self._plays += 1
        self._filling = None  # replaced
        self.playing = play_name(self.stream, self._plays)
        country = country or self.outbox.policy.ringback_country
        self.outbox.emit(
            engine.Play(
                stream=self.stream, play=self.playing, files=files, tone=tone, tone_country=country, loop=loop, duration_ms=duration_ms
            )
        )
        self.outbox.note(Kind.MEDIA, {"event": "play", "what": tone or ", ".join(files), "loop": loop}, self.stream)
        return self.playing

    def press(self, keys: str, tone_ms: int, gap_ms: int) -> None:
        """Send keys to the peer. What is played, silence too, goes on beside them."""
        if self.state is MediaState.OPEN and self.connected:
            self.outbox.emit(engine.SendDigits(stream=self.stream, digits=keys, tone_ms=tone_ms, gap_ms=gap_ms))

    def stop_playing(self) -> None:
        if self.playing is not None and self.state is MediaState.OPEN:
            self.outbox.emit(engine.StopPlay(stream=self.stream, play=self.playing))
        self.playing = None

    def play_ended(self, event: engine.PlayEnded) -> bool:
        """True when it was the play that is on now."""
        if event.play != self.playing:
            return False
        self.playing = None
        return True

    # --- mixes ----------------------------------------------------------------------------------------------------

    def join(self, mix: str, *, beep: bool) -> None:
        """Take part in a mix. beep: its members hear a tone."""
        if self.state is MediaState.OPEN:
            self.outbox.emit(engine.Join(mix=mix, stream=self.stream, beep=beep))
            self.outbox.note(Kind.MEDIA, {"event": "mix", "mix": mix}, self.stream)

    def leave(self, mix: str, *, beep: bool) -> None:
        if self.state is MediaState.OPEN:
            self.leaving.append(mix)
            self.outbox.emit(engine.Leave(mix=mix, stream=self.stream, beep=beep))
            self.outbox.note(Kind.MEDIA, {"event": "unmix", "mix": mix}, self.stream)

    def mute(self, muted: bool) -> None:
        """Have others hear this peer no longer, or again."""
        if self.state is MediaState.OPEN:
            self.outbox.emit(engine.Mute(stream=self.stream, muted=muted))
            self.outbox.note(Kind.MEDIA, {"event": "muted" if muted else "unmuted"}, self.stream)

    def close(self) -> None:
        self.playing = None
        if self.state in (MediaState.OPENING, MediaState.OPEN):
            self.state = MediaState.CLOSING
            self.outbox.emit(engine.Close(stream=self.stream))
        elif self.state is MediaState.NONE:
            self.state = MediaState.CLOSED

    def closed(self) -> None:
        self.state = MediaState.CLOSED
        self.playing = self._filling = None

    def lost(self) -> None:
        """The engine died, the stream with it."""
        if self.state is not MediaState.NONE:
            self.closed()
        self.connected = False
