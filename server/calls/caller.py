"""The inbound leg: what we have told the caller, and what of it still lives.

```
  RINGING --answer()--> ANSWERING --ACK--> ANSWERED --bye()/BYE--> OVER
     |                     |(only for late offers and the bookkeeping of the ACK)
     +--reject()/CANCEL----+-------------------------------------> OVER
```
OVER is the logical end; `gone` says when the SIP session and the stream are over too.
"""

from __future__ import annotations

import enum

from media.engine import Codec
from media.sdp.codecs import is_relayed
from media.sdp.description import extract_sdp
from media.sdp.offer_answer import SdpRefused, offered_family
from media.settings import SrtpPolicy
from server.calls.effects import Kind
from server.calls.legs.media import CodecPreference, LegMedia, MediaState
from server.calls.outbox import Outbox
from sip.core import commands, events, flows
from sip.message import Request


class CallerState(enum.Enum):
    RINGING = "ringing"
    ANSWERING = "answering"
    ANSWERED = "answered"
    OVER = "over"


class Caller:
    def __init__(
        self, outbox: Outbox, session: commands.SessionId, invite: Request, flow: flows.Flow, srtp: SrtpPolicy | None = None
    ) -> None:
        self._outbox = outbox
        self.session = session
        self.invite = invite
        self.state = CallerState.RINGING
        self.session_open = True
        self.cancel_pending = False  # a CANCEL came; we owe the 487
        self.media = LegMedia(outbox, outbox.call_sid, flow.local.host, srtp)
        self.late_offer = False
        self.answered_at: float | None = None
        self._sdp_sent: bytes | None = None

    @property
    def unanswered(self) -> bool:
        return self.state is CallerState.RINGING

    @property
    def awaits_answer(self) -> bool:
        """Our 200 carried the offer, and nothing can be heard before its ACK."""
        return self.late_offer and self.state is CallerState.ANSWERING

    @property
    def over(self) -> bool:
        return self.state is CallerState.OVER

    @property
    def gone(self) -> bool:
        return self.over and not self.session_open and not self.media.live

    @property
    def media_connected(self) -> bool:
        return self.media.connected and self.media.state is MediaState.OPEN

    def receive_offer(self) -> None:
        """Look at the INVITE's body; raises SdpRefused (400 broken, 488 nothing in common)."""
        body = extract_sdp(self.invite.body, self.invite.headers.get("Content-Type") or "")
        if body is None and self.invite.body:
            raise SdpRefused(400, "No session description in the body", 399, "The body carries no application/sdp part")
        self.late_offer = body is None
        if body is not None:
            self.media.prefer_family(offered_family(body))
            self.media.offer_answer.receive_offer(body)

    def preference(self, *, relay: bool) -> CodecPreference:
        """What to offer to the other side: what was agreed here, or what the caller offers.

        relay: whether codecs that can only pass are welcome, so that the caller need hear nothing but the other side.
        """
        agreed = self.media.offer_answer.agreed
        if agreed is not None and agreed.relayed:
            return CodecPreference(agreed.voices[:1], only=True)
        if agreed is not None:
            return CodecPreference(agreed.voices)
        offered = () if self.late_offer else self.media.offer_answer.offered_codecs()
        return CodecPreference(tuple(codec for codec in offered if relay or not is_relayed(codec)))

    def can_take(self, codec: Codec) -> bool:
        """Whether this voice codec was agreed on here, or could be in our answer."""
        agreed = self.media.offer_answer.agreed
        voices = agreed.voices if agreed is not None else self.media.offer_answer.offered_codecs()
        return any((own.name, own.clock_rate_hz, own.channels) == (codec.name, codec.clock_rate_hz, codec.channels) for own in voices)

    @property
    def hops_left(self) -> int:
        """Max-Forwards for the legs that this call leads to: one less than came in, so that a loop through us ends (RFC 3261 8.1.1.6)."""
        text = self.invite.headers.get("Max-Forwards") or ""
        return max(0, min(int(text), 70) - 1) if text.isascii() and text.isdigit() and len(text) <= 3 else 69

    # --- commands -------------------------------------------------------------------------------------------------

    def ring(self) -> None:
        """180, or again the 183 with the session description that the caller hears already. The SIP core repeats it in time."""
        if self.state is not CallerState.RINGING:
            return
        if self._sdp_sent is not None:
            self._outbox.emit(commands.SendProvisional(self.session, 183, body=self._sdp_sent))
        else:
            self._outbox.emit(commands.SendProvisional(self.session, 180))

    def early_media(self, prefer: tuple[Codec, ...] = ()) -> bool:
        """183 with our answer, so that the unanswered caller hears us. False when that cannot be (late offer)."""
        if self.state is not CallerState.RINGING or self.late_offer or self.media.state is not MediaState.OPEN or self.cancel_pending:
            return False
        if self._sdp_sent is None:
            self._negotiate(prefer)
            self.ring()
        return True

    def _negotiate(self, prefer: tuple[Codec, ...]) -> bytes:
        """Our answer; the one in the 200 equals the one in the 183 (trap 38)."""
        if self._sdp_sent is None:
            self._sdp_sent, agreed = self.media.offer_answer.answer(prefer)
            self.media.connect(agreed)
        return self._sdp_sent

    def answer(self, prefer: tuple[Codec, ...] = ()) -> None:
        """200. With a late offer the media follows the ACK (`acked`)."""
        if self.state is not CallerState.RINGING:
            return
        body = self.media.offer_answer.offer(prefer) if self.late_offer else self._negotiate(prefer)
        self.state = CallerState.ANSWERING
        self.answered_at = self._outbox.now
        self._outbox.emit(commands.SendAnswer(self.session, body))
        self._outbox.note(Kind.STATE, {"status": "in-progress"}, self._outbox.call_sid)

    def prepare_answer(self, prefer: tuple[Codec, ...]) -> None:
        """Connect the media before the 200 goes out, so that the bridge stands when the caller hears of it."""
        if self.state is CallerState.RINGING and not self.late_offer:
            self._negotiate(prefer)

    def acked(self, event: events.AnswerAcked) -> str | None:
        """Returns what is wrong with the answer to a late offer, None when all is well."""
        if self.state is not CallerState.ANSWERING:
            return None
        self.state = CallerState.ANSWERED
        if not self.late_offer:
            return None
        try:
            body = extract_sdp(event.body, event.content_type)
            if body is None:
                return "The ACK carries no answer to our offer"
            agreed = self.media.offer_answer.receive_answer(body)
        except SdpRefused as refused:
            return refused.reason
        self.media.connect(agreed)
        return None

    def reject(self, status: int, reason: str = "", headers: commands.HeaderList = ()) -> None:
        if self.state is CallerState.RINGING:
            self._outbox.emit(commands.SendReject(self.session, status, reason, headers))
            self._over()

    def bye(self, reason: str | None = None) -> None:
        if self.state in (CallerState.ANSWERING, CallerState.ANSWERED):
            if self.session_open:
                self._outbox.emit(commands.SendBye(self.session, reason))
            self._over()

    # --- events ---------------------------------------------------------------------------------------------------

    def canceled(self) -> None:
        """CANCEL came; the 487 goes out when the other side has been told (behaviour.md 4.2)."""
        self.cancel_pending = True

    def left(self) -> None:
        """The dialog is over by the caller's BYE, or because the caller never ACKed."""
        self._over()

    def session_ended(self) -> None:
        self.session_open = False

    def _over(self) -> None:
        self.state = CallerState.OVER
        self.media.close()
