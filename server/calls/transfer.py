"""Transfers between the calls of the registry: who may, which legs become calls of their own, who is told, who meets whom.

    blind      REFER of R in its talk with T: T's call runs the refer document, R waits (`verbs.transferor`)
    attended   REFER of R that names another dialog of ours, R2, which talks with X: T and X meet at once, R and R2 are hung up
    takeover   INVITE with Replaces for R, which talks with T: whoever sends it meets T, R is hung up (RFC 3891)

A refusal changes nothing: the call goes on (behaviour.md 6). Sans-I/O; the registry carries signals here and actions on.
"""

from __future__ import annotations

from typing import Protocol

from server.calls.call import Call
from server.calls.handover import Handover
from server.calls.legs.leg import Leg
from server.calls.legs.party import Referral, user_and_name
from server.calls.legs.requests import NO_TRANSFER
from server.calls.outbox import Action
from server.calls.owners import Owners
from server.calls.policy import Application
from server.calls.signals import ReferAsked, Signal, TakeOver, TransferSettled, Unlinked
from server.calls.verbs.linked import RunningLinked
from server.calls.verbs.transferor import RunningTransferor
from sip.core import commands
from sip.core.referring import NotifyRefer, ReferId, ReferReceived
from sip.message import subscriber


class Calls(Protocol):
    """The registry, as transfers need it."""

    calls: dict[str, Call]
    owners: Owners

    def own_call(self, leg: Leg, now: float) -> Call:
        """A call of its own for a leg that was given away."""

    def absorb(self, call: Call, actions: list[Action]) -> list[Action]:
        """Learn what the actions of a call mean, and carry its signals."""


class Transfers:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._under_way: dict[ReferId, tuple[Call, Call, Handover]] = {}  # transferor's, transferee's

    def signalled(self, signal: Signal, now: float) -> list[Action]:
        match signal:
            case ReferAsked(event):
                return self._asked(event, now)
            case TransferSettled(refer, back):
                return self._settled(refer, back, now)
            case Unlinked(sid):
                call = self._calls.calls.get(sid)
                return self._calls.absorb(call, call.signalled(signal, now)) if call is not None else []
            case TakeOver(sid, replaces):
                return self._take_over(self._calls.calls[sid], replaces, now)

    @property
    def count(self) -> int:
        """Under way."""
        return len(self._under_way)

    # --- REFER ----------------------------------------------------------------------------------------------------

    def _asked(self, event: ReferReceived, now: float) -> list[Action]:
        call = self._calls.owners.of_session(event.session)
        leg = None if call is None else call.leg_of(event.session)
        if call is None or leg is None:
            return [_refuse(event, 404)]
        peer = _partner(leg)
        if peer is None:
            return [_refuse(event, 491 if call.transferring else 404)]
        if event.refer_to.replaces is not None:
            return self._attended(event, call, leg, peer, now)
        application = self._owner(peer).referral or call.referral
        if application is None:
            return [_refuse(event, 404)]
        return self._blind(event, call, leg, application, now)

    def _blind(self, event: ReferReceived, call: Call, leg: Leg, application: Application, now: float) -> list[Action]:
        actions: list[Action] = [commands.AnswerRequest(event.transaction, 202)]
        transferor, transferee, more = self._part(call, leg, now)
        handover = Handover(event.refer)
        self._under_way[event.refer] = (transferor, transferee, handover)
        actions += more
        actions += self._do(transferor, transferor.run(lambda stage: RunningTransferor(stage, handover), now))
        actions += self._do(transferee, transferee.refer(application, _referral(event), handover, now))
        return actions

    def _settled(self, refer: ReferId, back: bool, now: float) -> list[Action]:
        transferor, transferee, handover = self._under_way.pop(refer)
        if back and handover.present and transferor.ended is None and transferee.ended is None:
            return self.link(transferee, transferor, now)
        return self._do(transferor, transferor.signalled(TransferSettled(refer, back), now))

    # --- with Replaces --------------------------------------------------------------------------------------------

    def _attended(self, event: ReferReceived, call: Call, leg: Leg, peer: Leg, now: float) -> list[Action]:
        other_call = None if event.replaced is None else self._calls.owners.of_session(event.replaced)
        other = None if other_call is None or event.replaced is None else other_call.leg_of(event.replaced)
        target = None if other is None else _partner(other)
        if other_call is None or other is None or target is None or len({leg, peer, other, target}) < 4:
            return [_refuse(event, 404)]  # it would be 481 for an INVITE, but a REFER's sender would take its call for gone
        if not understand_each_other(peer, target):
            return [_refuse(event, 488)]
        actions: list[Action] = [commands.AnswerRequest(event.transaction, 202)]
        transferor, transferee, more = self._part(call, leg, now)
        second, met, still_more = self._part(other_call, other, now)
        actions += more + still_more
        transferee.be_referred(_referral(event))
        actions += self.link(transferee, met, now)
        actions.append(NotifyRefer(event.refer, 200, final=True))
        for gone in (transferor, second):
            actions += self._do(gone, gone.leave("The call was transferred", now))
        return actions

    def refusal_of(self, replaces: commands.SessionId) -> int:
        """What an INVITE gets that cannot take this session over; 0: it can."""
        call = self._calls.owners.of_session(replaces)
        leg = None if call is None else call.leg_of(replaces)
        if leg is None:
            return 481
        return 0 if _partner(leg) is not None else 603  # it rings, or listens to a document: nobody is there to be met

    def _take_over(self, call: Call, replaces: commands.SessionId, now: float) -> list[Action]:
        """The old leg's peer meets the new one; then the old one is hung up (RFC 3891 3)."""
        status = self.refusal_of(replaces)
        old_call = self._calls.owners.of_session(replaces)
        old = None if old_call is None else old_call.leg_of(replaces)
        peer = None if old is None else _partner(old)
        if old_call is None or old is None or peer is None:
            return self._do(call, call.leave("The dialog to be replaced is gone", now, code=status))
        if not understand_each_other(call.leg, peer):
            return self._do(call, call.leave("No codec in common", now, code=488))
        voices = peer.media.voices
        gone, met, actions = self._part(old_call, old, now)
        call.inherit(met)
        call.leg.prepare_answer(voices)
        actions += self.link(met, call, now)
        call.leg.answer(voices)
        actions += self._do(call, call.look(now))
        return actions + self._do(gone, gone.leave("Another phone has taken the call over", now))

    def link(self, first: Call, second: Call, now: float) -> list[Action]:
        """Let the legs of two calls talk, both of which do nothing else from now on. Both are answered, or about to be."""
        bridge = first.new_bridge()
        actions = self._do(first, first.run(lambda stage: RunningLinked(stage, second.sid, bridge), now))
        return actions + self._do(second, second.run(lambda stage: RunningLinked(stage, first.sid, bridge), now))

    # --- inside ---------------------------------------------------------------------------------------------------

    def _part(self, call: Call, leg: Leg, now: float) -> tuple[Call, Call, list[Action]]:
        """Two who talk do so no more, and each has a call of its own, whose verb is over: (that of `leg`, that of the other, ...)."""
        peer = _partner(leg)
        assert peer is not None
        other = self._owner(peer)
        if other is not call:  # linked before
            actions = self._do(call, call.unlink(now))
            return call, other, actions + self._do(other, other.unlink(now))
        gone = peer if leg is call.leg else leg
        actions = self._do(call, call.detach(gone, now))
        own = self._calls.own_call(gone, now)
        own.inherit(call)
        return (call, own, actions) if leg is call.leg else (own, call, actions)

    def _owner(self, leg: Leg) -> Call:
        call = self._calls.owners.of_session(leg.session)
        assert call is not None
        return call

    def _do(self, call: Call, actions: list[Action]) -> list[Action]:
        return self._calls.absorb(call, actions)


def understand_each_other(first: Leg, second: Leg) -> bool:
    """What can only pass must be a codec of both."""
    return all(not leg.media.relays or other.can_take(leg.media.voices[0]) for leg, other in ((first, second), (second, first)))


def _partner(leg: Leg) -> Leg | None:
    """Whom it talks with."""
    return leg.peer if leg.bridge is not None and leg.bridge.talking else None


def _refuse(event: ReferReceived, status: int) -> Action:
    return commands.AnswerRequest(event.transaction, status, headers=NO_TRANSFER)


def _referral(event: ReferReceived) -> Referral:
    headers = event.request.headers
    transferor, _ = user_and_name(headers.get("Contact") or headers.get("From"))
    transferee, _ = user_and_name(headers.get("To"))
    return Referral(subscriber(event.refer_to.uri), transferor, transferee)
