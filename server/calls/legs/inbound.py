"""How an inbound leg opens: what the caller has been told of an INVITE that came to us, up to our 200 or our final.

The answer in the 183 equals the one in the 200 (trap 38): once an answer is out it stands.
"""

from __future__ import annotations

from media.engine import Codec
from media.sdp.description import extract_sdp
from media.sdp.offer_answer import SdpRefused, offered_family
from media.settings import SrtpPolicy
from server.calls.legs.leg import MAX_BREADTH, MAX_FORWARDS, Direction, Leg, LegState, Opening
from server.calls.legs.media import LegMedia, MediaState
from server.calls.legs.party import Party
from server.calls.outbox import Outbox
from server.calls.phones import name_of
from sip.core import commands, events
from sip.message import Request


class Inbound(Opening):
    """`Inbound(...).leg` is the leg; its sid is that of its call.

    expires_s: how long the caller waits for an answer; None: as long as it likes (RFC 3261 13.3.1, 20.19).
    """

    def __init__(self, outbox: Outbox, invite: events.InviteReceived, party: Party, srtp: SrtpPolicy | None = None) -> None:
        """srtp: the rule for this leg, None for that of the server."""
        self.invite = invite.request
        hops, breadth = self._number("Max-Forwards", 3), self._number("Max-Breadth", 3)
        # One less than came in, so that a loop through us ends (RFC 3261 8.1.1.6).
        self.hops_left = MAX_FORWARDS - 1 if hops is None else max(0, min(hops, MAX_FORWARDS) - 1)
        self.breadth = None if breadth is None else min(breadth, MAX_BREADTH)
        self.expires_s = self._number("Expires", 10)
        self.cancel_pending = False  # a CANCEL came; we owe the 487
        self._sdp_sent: bytes | None = None
        address = outbox.policy.media_places.came_by(invite.flow.local.host, invite.flow.remote.host)
        media = LegMedia(outbox, outbox.call_sid, address, srtp)
        media.signalling_address = invite.flow.remote.host
        self.leg = Leg(outbox, outbox.call_sid, Direction.INBOUND, invite.session, media, from_user=party.from_user, to_user=party.to_user)
        self.leg.sip_call_id = self.invite.headers.get("Call-ID")
        self.leg.opening = self
        self.phone = name_of(invite.client, invite.flow) if invite.client else ""

    def receive_offer(self) -> None:
        """Look at the INVITE's body; raises SdpRefused (400 broken, 488 nothing in common)."""
        body = extract_sdp(self.invite.body, self.invite.headers.get("Content-Type") or "")
        if body is not None:
            self.leg.media.prefer_family(offered_family(body))
            self.leg.media.offer_answer.receive_offer(body)
        elif self.invite.body:
            raise SdpRefused(400, "No session description in the body", 399, "The body carries no application/sdp part")
        else:
            self.late_offer = True

    def _number(self, name: str, digits: int) -> int | None:
        """A header field of the INVITE that holds up to so many digits; None for anything else."""
        text = (self.invite.headers.get(name) or "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None

    def offered_codecs(self) -> tuple[Codec, ...]:
        return () if self.late_offer else self.leg.media.offer_answer.offered_codecs()

    # --- commands -------------------------------------------------------------------------------------------------

    def ring(self) -> None:
        """180, or again the 183 with the session description that the caller hears already. The SIP core repeats it in time."""
        if self.leg.state is not LegState.RINGING:
            return
        if self._sdp_sent is not None:
            self.leg.outbox.emit(commands.SendProvisional(self.leg.session, 183, body=self._sdp_sent))
        else:
            self.leg.outbox.emit(commands.SendProvisional(self.leg.session, 180))

    def early_media(self, prefer: tuple[Codec, ...]) -> bool:
        """183 with our answer. False with a late offer, and when the caller has given up."""
        leg = self.leg
        if leg.state is not LegState.RINGING or self.late_offer or leg.media.state is not MediaState.OPEN or self.cancel_pending:
            return False
        if self._sdp_sent is None:
            self._negotiate(prefer)
            self.ring()
        return True

    def prepare_answer(self, prefer: tuple[Codec, ...]) -> None:
        if self.leg.state is LegState.RINGING and not self.late_offer:
            self._negotiate(prefer)

    def answer(self, prefer: tuple[Codec, ...]) -> None:
        """200. With a late offer the media follows the ACK (`acked`)."""
        leg = self.leg
        if leg.state is not LegState.RINGING:
            return
        body = leg.media.offer_answer.offer(prefer) if self.late_offer else self._negotiate(prefer)
        leg.outbox.emit(commands.SendAnswer(leg.session, body))
        leg.taken(acknowledged=False)

    def renegotiated(self, offer: Request) -> None:
        self._sdp_sent = b""

    def give_up(self, status: int, phrase: str, headers: commands.HeaderList, reason: str | None) -> None:
        more = (("Reason", reason),) if reason is not None else ()
        self.leg.outbox.emit(commands.SendReject(self.leg.session, status, phrase, (*headers, *more)))

    def _negotiate(self, prefer: tuple[Codec, ...]) -> bytes:
        if self._sdp_sent is None:
            self._sdp_sent, agreed = self.leg.media.offer_answer.answer(prefer)
            self.leg.media.connect(agreed)
        return self._sdp_sent

    # --- events ---------------------------------------------------------------------------------------------------

    def canceled(self) -> None:
        """CANCEL came; the 487 goes out when the other side has been told (behaviour.md 4.2)."""
        self.cancel_pending = True

    def acked(self, event: events.AnswerAcked) -> str | None:
        """Returns what is wrong with the answer to a late offer, None when all is well."""
        if self.leg.state is not LegState.ANSWERING:
            return None
        self.leg.state = LegState.ANSWERED
        if not self.late_offer:
            return None
        try:
            body = extract_sdp(event.body, event.content_type)
            if body is None:
                return "The ACK carries no answer to our offer"
            agreed = self.leg.media.offer_answer.receive_answer(body)
        except SdpRefused as refused:
            return refused.reason
        self.leg.media.connect(agreed)
        return None
