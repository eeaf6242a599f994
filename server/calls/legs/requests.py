"""Requests inside a leg's dialog that are answered locally: re-INVITE, UPDATE, INFO, and what is refused (behaviour.md 2.11, 6).

Media is anchored here, so a new offer from one side changes that side's stream only; the other side is not asked.
"""

from __future__ import annotations

import re

from media import engine
from media.sdp.codecs import is_relayed
from media.sdp.description import extract_sdp
from media.sdp.offer_answer import Agreed, SdpRefused
from server.calls.effects import Kind
from server.calls.legs.leg import Leg
from server.calls.legs.media import LegMedia, MediaState
from sip.core import commands, events
from sip.core.capabilities import Capabilities
from sip.core.session_timer import RefreshDue
from sip.message import Response

_SIGNAL = re.compile(r"^\s*Signal\s*=\s*([0-9A-Da-d*#]|10|11)\s*$", re.MULTILINE | re.IGNORECASE)
_DURATION = re.compile(r"^\s*Duration\s*=\s*(\d{1,5})\s*$", re.MULTILINE | re.IGNORECASE)


# What the SIP core hands over to be answered: here inside a dialog, by the registry outside of one. Whatever else is 405 on the wire.
SERVED = Capabilities(inside=("INFO", "NOTIFY", "UPDATE", "REFER"), outside=("REFER",))
NO_TRANSFER = (("Event", "refer"),)  # with 404: there is no application for transfers (behaviour.md 6)

InDialog = events.ReinviteReceived | events.ReinviteAcked | events.ReinviteAnswered | events.RequestReceived | RefreshDue


def handle(leg: Leg, event: InDialog) -> engine.Digit | None:
    """leg: the one that the request came on. Returns the key that it brought, if any."""
    outbox = leg.outbox
    peer = leg.peer.media if leg.peer is not None else None
    match event:
        case events.ReinviteReceived():
            _offer(leg, peer, event, event.request.body, event.request.headers.get("Content-Type") or "")
        case events.ReinviteAcked():
            _late_answer(leg, event)
        case RefreshDue():
            _refresh(leg)
        case events.ReinviteAnswered():
            _answered(leg, event)
        case events.RequestReceived(request=request):
            match request.method:
                case "UPDATE" | "PRACK" if request.body:
                    _offer(leg, peer, event, request.body, request.headers.get("Content-Type") or "")
                case "UPDATE":
                    outbox.emit(commands.AnswerRequest(event.transaction, 200))
                case "INFO" if "Info-Package" in request.headers:
                    # no package is served here (RFC 6086 4.2.2): the list of those that are is empty
                    outbox.emit(commands.AnswerRequest(event.transaction, 469, headers=(("Recv-Info", ""),)))
                case "INFO":
                    return _info(leg, peer, event)
                case "REFER":
                    outbox.emit(commands.AnswerRequest(event.transaction, 404, headers=NO_TRANSFER))
                case "NOTIFY":
                    # nobody has subscribed to anything (RFC 6665 8.2.1); by a 481 the peer would take the call for gone (RFC 5057 5.1)
                    outbox.emit(commands.AnswerRequest(event.transaction, 489))
                case _:
                    outbox.emit(commands.AnswerRequest(event.transaction, 405))
    return None


def _refresh(leg: Leg) -> None:
    """By a re-INVITE that changes nothing (RFC 4028 7.4). The next half of the interval is left to try again."""
    if leg.answered and leg.media.state is MediaState.OPEN and not leg.media.offer_open:
        leg.outbox.emit(commands.SendReinvite(leg.session, leg.media.offer_answer.refresh()))


def _answered(leg: Leg, event: events.ReinviteAnswered) -> None:
    """The answer to an offer of ours within the dialog; without one all stays as it was (RFC 3261 14.1)."""
    _take_answer(leg, *_described(event.response))


def warning_of(refused: SdpRefused) -> commands.HeaderList:
    """What is wrong with a session description, for the response that refuses it (RFC 3261 20.43)."""
    return (("Warning", f'{refused.warning_code} dialplane "{refused.warning_text}"'),) if refused.warning_code else ()


def _offer(
    leg: Leg,
    peer: LegMedia | None,
    event: events.ReinviteReceived | events.RequestReceived,
    body: bytes,
    content_type: str,
) -> None:
    outbox, media = leg.outbox, leg.media
    if media.state is not MediaState.OPEN:
        outbox.emit(commands.AnswerRequest(event.transaction, 500, headers=(("Retry-After", "2"),)))
        return
    try:
        offer = extract_sdp(body, content_type) if body else None
        if offer is None and body:
            outbox.emit(commands.AnswerRequest(event.transaction, 415, headers=(("Accept", "application/sdp"),)))
            return
        if offer is None:
            media.offer_open = True
            outbox.emit(commands.AnswerRequest(event.transaction, 200, body=media.offer_again(peer)))
            return
        before = media.offer_answer.agreed
        media.offer_answer.receive_offer(offer, relays=peer is not None and peer.relays)
        _keep_relaying(media, peer)
        answer, agreed = media.offer_answer.answer(peer.voices if peer is not None else ())
    except SdpRefused as refused:
        outbox.emit(commands.AnswerRequest(event.transaction, refused.status, headers=warning_of(refused)))
        return
    _connect(leg, agreed)
    if before is not None and before.remote_hold != agreed.remote_hold:
        outbox.note(Kind.STATE, {"status": "held" if agreed.remote_hold else "resumed"}, media.stream)
    outbox.emit(commands.AnswerRequest(event.transaction, 200, body=answer))
    if leg.unanswered:
        leg.opening.renegotiated(event.request)


def _keep_relaying(media: LegMedia, peer: LegMedia | None) -> None:
    """A bridge of a codec that we cannot speak lasts only as long as both sides have it. Raises SdpRefused."""
    offered = media.offer_answer.offered_codecs()  # none when the audio is turned off
    if peer is not None and peer.relays and offered and not any(is_relayed(codec) for codec in offered):
        name = peer.voices[0].name
        raise SdpRefused(488, f"No {name} any more", 305, f"The other party speaks {name}, which cannot be transcoded here")


def _connect(leg: Leg, agreed: Agreed) -> None:
    """Put it into force, and tell when the way to the other side is another one now."""
    leg.media.connect(agreed)
    if leg.bridge is not None:
        leg.bridge.renegotiated(leg)


def _late_answer(leg: Leg, event: events.ReinviteAcked) -> None:
    """The answer to the offer that our 200 to an empty re-INVITE carried; without one the session stays as it was.

    What the ACK of another re-INVITE carries is neither offer nor answer (RFC 3264 4).
    """
    media = leg.media
    if not media.offer_open:
        return
    media.offer_open = False
    _take_answer(leg, event.body, event.content_type)


def _take_answer(leg: Leg, body: bytes, content_type: str) -> None:
    """Put the answer to our offer into force; the session stays as it was when there is none, or none that can be used."""
    media = leg.media
    try:
        answer = extract_sdp(body, content_type) if body else None
        if answer is not None:
            _connect(leg, media.offer_answer.receive_answer(answer))
            return
    except SdpRefused as refused:
        leg.outbox.note(Kind.MEDIA, {"event": "answer-refused", "reason": refused.reason}, media.stream)
    media.offer_answer.withdraw()


def _described(response: Response | None) -> tuple[bytes, str]:
    """What a response brings, if it accepts: (body, type)."""
    if response is None or response.status >= 300:
        return b"", ""
    return response.body, response.headers.get("Content-Type") or ""


def _info(leg: Leg, peer: LegMedia | None, event: events.RequestReceived) -> engine.Digit | None:
    """A key by INFO goes to the peer as telephone-event (2.11), and to the verb that runs. An empty INFO is a keep-alive."""
    outbox, request = leg.outbox, event.request
    kind = (request.headers.get("Content-Type") or "").split(";")[0].strip().lower()
    digit: str | None = None
    duration_ms = 100
    text = request.body.decode("utf-8", "replace")
    if kind == "application/dtmf-relay":
        match = _SIGNAL.search(text)
        digit = match.group(1).upper() if match else None
        length = _DURATION.search(text)
        duration_ms = min(max(int(length.group(1)), 40), 5000) if length else 100
    elif kind == "application/dtmf":
        digit = text.strip().upper()
    elif request.body:
        outbox.emit(commands.AnswerRequest(event.transaction, 415, headers=(("Accept", "application/dtmf-relay, application/dtmf"),)))
        return None
    digit = {"10": "*", "11": "#"}.get(digit or "", digit)
    if digit and (len(digit) != 1 or digit not in "0123456789*#ABCD"):
        digit = None
    if request.body and digit is None:
        outbox.emit(commands.AnswerRequest(event.transaction, 400))
        return None
    outbox.emit(commands.AnswerRequest(event.transaction, 200))
    if digit is None:
        return None
    outbox.note(Kind.MEDIA, {"event": "info-digit"}, event.session)
    if peer is not None and peer.state is MediaState.OPEN and peer.connected:
        outbox.emit(engine.SendDigits(stream=peer.stream, digits=digit, tone_ms=duration_ms))
    return engine.Digit(stream=leg.sid, digit=digit, duration_ms=duration_ms, source="info")
