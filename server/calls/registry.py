"""All calls of the server: who owns which session, stream and request; admission; one deadline. Sans-I/O.

The registry hands every event to the call that it belongs to, and learns the owners from the actions that calls ask for.
It holds no policy beyond admission (behaviour.md 1.1-1.5).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from media import engine
from media.settings import SrtpPolicy
from server.calls.bridge import Bridge
from server.calls.call import Call
from server.calls.conferences.conferences import Conferences
from server.calls.conferences.room import Hold
from server.calls.deadlines import Deadlines
from server.calls.destination import Placed
from server.calls.effects import Fetched, Forgotten, Json, Kind, Log, Note, Prepared
from server.calls.implicit import implicit_document
from server.calls.legs import requests
from server.calls.legs.callbacks import LegCallbacks
from server.calls.legs.inbound import Inbound
from server.calls.legs.leg import Direction, Leg
from server.calls.legs.media import CodecPreference
from server.calls.legs.outbound import Outbound
from server.calls.legs.party import Party
from server.calls.logbudget import LogBudget
from server.calls.names import CALL, leg_of_session, new_sid
from server.calls.outbox import Action, Outbox
from server.calls.owners import Owners
from server.calls.phones import name_of
from server.calls.policy import Application, Policy, Refusal, Router
from server.calls.targets import Targets
from server.calls.trail import circles, mark_of, trail_of
from server.calls.transfer import Transfers, understand_each_other
from server.calls.verbs.talk import RunningTalk
from sip.core import commands, events
from sip.core.bindings import Change

# A call whose deadline does not move on gets so many turns at one moment, and the next ones so much later.
MOST_TURNS = 100
STANDS_STILL_S = 1.0


class Registry:
    def __init__(self, policy: Policy, targets: Targets, router: Router) -> None:
        self.policy = policy
        self.targets = targets
        self.router = router
        self.calls: dict[str, Call] = {}
        self.owners = Owners()
        self._transfers = Transfers(self)
        self._deadlines = Deadlines()
        self._counter = 0
        self._budget = LogBudget()
        self.conferences = Conferences()
        self.closing = False
        self.totals: dict[str, int] = {"begun": 0, "refused": 0}

    # --- inputs ---------------------------------------------------------------------------------------------------

    def sip_event(self, event: events.Event | events.Traced | events.Dropped, now: float) -> list[Action]:
        facts: dict[str, Json]
        match event:
            case events.Traced():
                return self._traced(event, now)
            case events.Dropped(reason="stranger"):
                self.totals["refused"] += 1
                facts = {"status": event.status, "peer": str(event.flow.remote), "why": event.detail}
                return [*self._budget.spend("warning", "call_refused", facts, now)]
            case events.Dropped(reason="stranger_banned"):
                facts = {"peer": str(event.flow.remote), "why": event.detail}
                return [*self._budget.spend("warning", "stranger_banned", facts, now)]
            case events.Dropped(reason="denied" | "register_refused" | "guesser_banned"):
                facts = {"status": event.status, "peer": str(event.flow.remote), "why": event.detail}
                return [*self._budget.spend("warning", f"client_{event.reason.removeprefix('register_')}", facts, now)]
            case events.Dropped():
                facts = {
                    "reason": event.reason,
                    "peer": str(event.flow.remote),
                    "detail": event.detail,
                    "status": event.status,
                }
                return [*self._budget.spend("debug" if event.status == 0 else "warning", "sip_dropped", facts, now)]
            case events.InviteReceived():
                return self._invited(event, now)
            case events.OutOfDialogReceived(transaction=transaction):
                # a REFER to nobody (behaviour.md 6): no other method is served outside of a dialog
                return [commands.AnswerRequest(transaction, 404, headers=requests.NO_TRANSFER)]
            case events.OutOfDialogAnswered():
                return []  # nothing here sends such requests yet
            case events.RegistrationChanged():
                return self._registered(event, now)
            case _:
                call = self.owners.of_session(event.session)
                return self._collect(call, call.sip_event(event, now)) if call is not None else []

    def media_event(self, event: engine.Event | engine.EngineLost, now: float) -> list[Action]:
        if isinstance(event, engine.EngineLost):
            actions: list[Action] = [Log("error", "media_worker_lost", {"reason": event.reason, "calls": len(self.calls)})]
            self.conferences.lost()
            for call in list(self.calls.values()):
                actions += self._collect(call, call.engine_lost(event.reason, now))
            return actions
        owner = self.owners.of_event(event)
        return self._collect(owner, owner.media_event(event, now)) if owner is not None else []

    def fetched(self, event: Fetched, now: float) -> list[Action]:
        call = self.owners.answered(event.request)
        return self._collect(call, call.fetched(event, now)) if call is not None else []

    def prepared(self, event: Prepared, now: float) -> list[Action]:
        call = self.owners.answered(event.prompt)
        return self._collect(call, call.prepared(event, now)) if call is not None else []

    def timeout(self, now: float) -> list[Action]:
        actions: list[Action] = []
        turns: Counter[str] = Counter()
        while (sid := self._deadlines.due(now)) is not None:
            call = self.calls[sid]
            turns[sid] += 1
            if turns[sid] > MOST_TURNS:  # a bug of ours, and no reason to keep all other calls waiting for ever
                actions.append(Log("error", "timer_stands_still", {"call_sid": sid}))
                self._deadlines.arm(sid, now + STANDS_STILL_S)
                continue
            actions += self._collect(call, call.timeout(now))
        self.conferences.timeout(now)
        return actions + self._room_signals(now)

    def next_deadline(self) -> float | None:
        calls = self._deadlines.next_deadline()
        rooms = self.conferences.next_deadline()
        return min((at for at in (calls, rooms) if at is not None), default=None)

    def operator_end(self, sid: str, now: float) -> list[Action]:
        """End one call, or cancel one dialled leg; an unknown sid is ignored."""
        call = self.calls.get(sid)
        if call is not None:
            return self._collect(call, call.operator_end(now))
        owner = self.owners.of_stream(sid)
        return self._collect(owner, owner.operator_cancel_leg(sid, now)) if owner is not None else []

    def full(self) -> Refusal | None:
        """Why no further call is taken or made now, None when it is."""
        if self.closing:
            return Refusal(503, "Service Unavailable", "The server is shutting down")
        if len(self.calls) >= self.policy.max_calls and self._live_calls() >= self.policy.max_calls:
            return Refusal(503, "Service Unavailable", f"[server] max_calls = {self.policy.max_calls} is reached")
        return None

    def originate(
        self,
        placed: Placed,
        party: Party,
        application: Application,
        timeout_s: float,
        now: float,
        *,
        sid: str = "",
        limit_s: float = 0.0,
        callbacks: LegCallbacks | None = None,
    ) -> list[Action]:
        """Make a call without a caller: the leg is called, and runs the application's document when it has answered.

        Nothing is done when the registry is `full`. sid: of the new call, by default one that is made here; limit_s: of its talk.
        """
        if self.full() is not None:
            return []
        sid = sid or new_sid(self.policy, CALL)
        outbox = Outbox(self.policy, sid, self._number, now)
        outbound = Outbound(outbox, placed, CodecPreference, direction=Direction.ORIGINATED, sid=sid, callbacks=callbacks)
        call = self._add(Call(outbox, outbound.leg, party, self.targets, self.conferences))
        self.totals["begun"] += 1
        return self._collect(call, call.originate(application, timeout_s, limit_s))

    def leg_of(self, sid: str) -> Leg | None:
        """A live leg: of a call, or one beside it."""
        owner = self.owners.of_stream(sid)
        return next((leg for leg in owner.all_legs if leg.sid == sid), None) if owner is not None else None

    def redirect(self, sid: str, application: Application, now: float) -> list[Action]:
        """Run a document on a leg, instead of what it does: a dialled one leaves its call and becomes one of its own."""
        call = self.calls.get(sid)
        if call is not None:
            return self._collect(call, call.redirect(application, now))
        found = self._give_away(sid, now)
        if found is None:
            return []
        leg, actions = found
        call = self.own_call(leg, now)
        return actions + self._collect(call, call.adopt(application))

    def join(self, first: str, second: str, now: float) -> list[Action]:
        """Let two answered legs talk with each other, whatever they do now, until either ends: an attended transfer.

        first: any leg; second: a dialled one of another call. Unless `first` is the leg of a call, it becomes one. Nothing is done when
        one of them speaks what can only pass here, and the other does not.
        """
        if self.owners.of_stream(first) is self.owners.of_stream(second) or not self._can_take(first):
            return []
        owner, one, other = self.owners.of_stream(second), self.leg_of(first), self.leg_of(second)
        if owner is None or not owner.can_give(second) or one is None or other is None or not understand_each_other(one, other):
            return []
        actions: list[Action] = []
        call = self.calls.get(first)
        if call is None:
            given = self._give_away(first, now)
            assert given is not None
            leg, actions = given
            call = self.own_call(leg, now)
        bridge = call.new_bridge()
        moved = self._give_away(second, now, bridge)
        assert moved is not None
        _, more = moved
        call.take(other)
        self.owners.rehome(other, call)
        done = call.run(lambda stage: RunningTalk(stage, other, bridge), now)
        return actions + more + self._collect(call, done)

    def _can_take(self, sid: str) -> bool:
        """A live leg of a call that has been answered, or one that can become such."""
        owner = self.owners.of_stream(sid)
        return owner is not None and (owner.leg.answered if owner.sid == sid else owner.can_give(sid))

    def _give_away(self, sid: str, now: float, into: Bridge | None = None) -> tuple[Leg, list[Action]] | None:
        """Take a dialled, answered leg out of its call."""
        owner = self.owners.of_stream(sid)
        found = owner.give(sid, now, into) if owner is not None else None
        if owner is None or found is None:
            return None
        leg, actions = found
        return leg, self._collect(owner, actions)

    def own_call(self, leg: Leg, now: float) -> Call:
        """A call of its own for a leg that was given away."""
        outbox = Outbox(self.policy, leg.sid, self._number, now)
        call = self._add(Call(outbox, leg, Party(leg.from_user, leg.to_user, privacy=leg.privacy), self.targets, self.conferences))
        call.take(leg)
        self.owners.rehome(leg, call)
        return call

    def _add(self, call: Call) -> Call:
        self.calls[call.sid] = call
        return call

    # --- conferences: REST will use these -------------------------------------------------------------------------

    def end_room(self, room: str, now: float) -> list[Action]:
        """Everybody is sent out, and their documents go on. Unknown rooms and participants are ignored, here and below."""
        self.conferences.end_room(room)
        return self._room_signals(now)

    def kick(self, room: str, call: str, now: float) -> list[Action]:
        """Send a participant out of a room; their document goes on."""
        self.conferences.kick(room, call)
        return self._room_signals(now)

    def mute(self, room: str, call: str, muted: bool, now: float) -> list[Action]:
        self.conferences.mute(room, call, muted)
        return self._room_signals(now)

    def hold(self, room: str, call: str, hold: Hold | None, now: float) -> list[Action]:
        """None: no longer."""
        self.conferences.hold(room, call, hold)
        return self._room_signals(now)

    def ends_on_exit(self, room: str, call: str, ends: bool, now: float) -> list[Action]:
        """Whether the conference ends when this participant leaves."""
        self.conferences.ends_on_exit(room, call, ends)
        return self._room_signals(now)

    def announce(self, room: str, url: str, method: str, now: float, call: str = "") -> list[Action]:
        """Play a document to a participant, or to all who talk."""
        self.conferences.announce(room, url, method, call)
        return self._room_signals(now)

    def _room_signals(self, now: float) -> list[Action]:
        """Bring what rooms want to the calls that it is for; these may stir rooms again."""
        actions: list[Action] = []
        for member, signal in self.conferences.take_signals():
            call = self.calls.get(member.call)
            if call is not None:
                actions += self._collect(call, call.room_signal(member, signal, now))
        return actions

    # --- configuration, and the end -------------------------------------------------------------------------------

    def reconfigure(self, policy: Policy, targets: Targets, router: Router) -> None:
        """For calls from now on; those that live keep what they began with."""
        self.policy, self.targets, self.router = policy, targets, router

    def shutdown(self, now: float) -> list[Action]:
        """Refuse new calls, end those that live; `counts` tells when they are over."""
        self.closing = True
        actions: list[Action] = []
        for call in list(self.calls.values()):
            actions += self._collect(call, call.operator_end(now, 503, "The server is shutting down"))
        return actions

    def counts(self) -> dict[str, int]:
        """All 0 when nothing lives. calls: not ended yet; lingering: ended, waiting for a BYE's answer, a stream's end ..."""
        live = self._live_calls()
        legs = [leg for call in self.calls.values() for leg in call.all_legs]
        return {
            "calls": live,
            "lingering": len(self.calls) - live,
            "sessions": sum(leg.session_open for leg in legs),
            "streams": sum(leg.media.live for leg in legs),
            "recordings": sum(call.recordings for call in self.calls.values()),
            "requests": self.owners.requests,
            "deadlines": len(self._deadlines),
            "rooms": len(self.conferences.rooms),
            "transfers": self._transfers.count,
        }

    def _live_calls(self) -> int:
        return sum(call.ended is None for call in self.calls.values())

    # --- admission ------------------------------------------------------------------------------------------------

    def _invited(self, event: events.InviteReceived, now: float) -> list[Action]:
        source = event.flow.remote.host
        party = Party.of_invite(event.request, self.policy.use_to)
        decision = self.router.admit(source, party.to_user, party.otherwise, event.client)
        if not isinstance(decision, Refusal):
            if decision.dials:
                decision = replace(decision, document=implicit_document(decision.dials, party.sip_headers))
            decision = self.full() or decision
        if event.replaces is not None and not (isinstance(decision, Refusal) and (decision.stranger or decision.status == 503)):
            return self._replacing(event, event.replaces, party, None if isinstance(decision, Refusal) else decision.srtp, now)
        trail = trail_of(event.request.headers)
        if not isinstance(decision, Refusal):
            dialled = decision.dialled or party.to_user
            mark = mark_of(self.policy.instance_id, dialled, party.from_user)
            decision = circles(trail, mark, dialled, self.policy.max_passages) or decision
            trail = (*trail, mark)
        actions: list[Action] = []
        if isinstance(decision, Refusal):
            self.totals["refused"] += 1
            facts: dict[str, Json] = {"status": decision.status, "peer": str(event.flow.remote), "why": decision.explain}
            actions += self._budget.spend("warning", "call_refused", facts, now)
            if decision.stranger:
                return [*actions, commands.SendReject(event.session, decision.status, decision.reason)]
        else:
            self.totals["begun"] += 1
        srtp = None if isinstance(decision, Refusal) else decision.srtp
        outbox = Outbox(self.policy, new_sid(self.policy, CALL), self._number, now)
        leg = Inbound(outbox, event, party, srtp).leg
        leg.trail = trail
        call = self._add(Call(outbox, leg, party, self.targets, self.conferences))
        self.owners.own_session(call, event.session)
        for trace in event.traces:
            actions.append(_note(call, trace, now))
        actions += self._collect(call, call.refuse(decision) if isinstance(decision, Refusal) else call.admit(decision))
        return actions

    def _replacing(
        self, event: events.InviteReceived, replaces: commands.SessionId, party: Party, srtp: SrtpPolicy | None, now: float
    ) -> list[Action]:
        """Whoever may call may take over a leg that it can name, whatever number it has dialled (RFC 3891 7)."""
        refused = self._transfers.refusal_of(replaces)
        if refused:
            self.totals["refused"] += 1
            return [commands.SendReject(event.session, refused)]
        self.totals["begun"] += 1
        outbox = Outbox(self.policy, new_sid(self.policy, CALL), self._number, now)
        leg = Inbound(outbox, event, party, srtp).leg
        call = self._add(Call(outbox, leg, party, self.targets, self.conferences))
        self.owners.own_session(call, event.session)
        traces: list[Action] = [_note(call, trace, now) for trace in event.traces]
        return traces + self._collect(call, call.take_over(replaces))

    def _number(self) -> int:
        self._counter += 1
        return self._counter

    # --- what transfers ask ---------------------------------------------------------------------------------------

    def absorb(self, call: Call, actions: list[Action]) -> list[Action]:
        return self._collect(call, actions)

    def _collect(self, call: Call, actions: list[Action]) -> list[Action]:
        """Deal with what a call has done; then with the call that it is linked with, before the input or since.

        What comes to one side of their bridge is news to the other (a hold is, or a leg that can be heard), which had no input of its own.
        """
        partner = call.partner
        actions = self._learn(call, actions)
        other = self.calls.get(partner or call.partner)
        return actions if other is None or other is call else [*actions, *self._learn(other, other.look(call.now))]

    def _learn(self, call: Call, actions: list[Action]) -> list[Action]:
        """Learn what the call owns now, carry its signals, arm its deadline, forget it when it is finished."""
        self.owners.learn(call, actions)
        for signal in call.take_signals():
            actions += self._transfers.signalled(signal, call.now)
        if self.calls.get(call.sid) is not call:
            pass  # a signal came back to it, and that was its end
        elif call.finished:
            self._forget(call)
            actions.append(Forgotten(call.sid))
        else:
            self._deadlines.arm(call.sid, call.next_deadline())
        signalled = self._room_signals(call.now)
        return actions + signalled if signalled else actions

    def _forget(self, call: Call) -> None:
        del self.calls[call.sid]
        call.leg.forget()
        self._deadlines.arm(call.sid, None)
        self.owners.forget(call)

    # --- clients --------------------------------------------------------------------------------------------------

    def _registered(self, event: events.RegistrationChanged, now: float) -> list[Action]:
        binding = event.binding
        facts: dict[str, Json] = {"client": binding.client, "contact": binding.contact, "peer": str(binding.flow.remote)}
        facts |= {"transport": binding.flow.transport, "agent": binding.user_agent}
        match event.change:
            case Change.REFRESHED:
                return [Log("debug", "client_refreshed", facts)]
            case Change.ADDED:
                return [*self._budget.spend("info", "client_registered", facts, now)]
            case change:
                actions: list[Action] = [*self._budget.spend("info", "client_gone", facts | {"why": change.value}, now)]
        if change is Change.UNREACHABLE:
            phone = name_of(binding.client, binding.flow)
            for call in [call for call in self.calls.values() if any(leg.opening.phone == phone for leg in call.all_legs)]:
                actions += self._collect(call, call.phone_gone(phone, now))
        return actions

    # --- timeline -------------------------------------------------------------------------------------------------

    def _traced(self, trace: events.Traced, now: float) -> list[Action]:
        call = self.owners.of_session(trace.session) if trace.session is not None else None
        return [_note(call, trace, now)] if call is not None else []  # what opens a call comes with its InviteReceived


def _note(call: Call, trace: events.Traced, now: float) -> Note:
    leg = leg_of_session(trace.session) if trace.session is not None and trace.session != call.leg.session else call.sid
    data: dict[str, Json] = {
        "direction": trace.direction.value,
        "peer": str(trace.flow.remote),
        "transport": trace.flow.transport,
        "summary": trace.summary,
        "raw": trace.data.decode("utf-8", "replace"),
        "repeated": trace.repeated,
    }
    return Note(call.sid, now, Kind.SIP, data, leg)
