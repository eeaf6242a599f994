"""One call: the caller's leg, the documents of its application, and the Dials that they ask for. The one owner of it all.

Sans-I/O. Every input returns the actions that it leads to, in the order in which they must be carried out. The call ends
logically once (`ended` is set, its record is out); it is `finished` when nothing of it lives any more: no session, stream,
request or branch. Then the registry forgets it.

```
  stream opens -> document is fetched -> interpreter's Step: run a verb | fetch | refuse | end -> ... -> ended -> finished
```
The caller may leave at any point (`_depart`); so may the engine, or the operator may end it. Then a running Dial reports
its result and its action is requested, whose answer is not run (behaviour.md 2.8); without one the call just ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from media import engine
from media.sdp.offer_answer import SdpRefused
from media.settings import SrtpPolicy
from rcml.document import Document
from rcml.interpreter import End, EndReason, Interpreter, Refuse, Run, Runnable, Step
from rcml.interpreter import Fetch as FetchStep
from rcml.notices import Notice
from rcml.parameters import DialFacts, action_parameters, voice_parameters
from rcml.verbs.dial import Dial as DialVerb
from rcml.verbs.pause import Pause
from rcml.verbs.play import Play
from rcml.verbs.say import Say
from server.calls.branch import Branch
from server.calls.caller import Caller
from server.calls.dial import Dial
from server.calls.documents import Documents, NoDocument
from server.calls.effects import Fetched, Json, Kind, Log, Prepared
from server.calls.legs import requests
from server.calls.legs.media import LegMedia
from server.calls.legs.party import InboundParty
from server.calls.mediafacts import facts_of
from server.calls.outbox import Action, Outbox, reason_of, sip_reason
from server.calls.outcome import CODE_OF_CANCELED, CODE_OF_UNREACHABLE, CODE_WITHOUT_DIAL, DialResult, inbound_status
from server.calls.policy import Application, Policy, Refusal
from server.calls.records import By, CallEnded, CallRecord, Cause
from server.calls.speaking import Heard, Speaking
from server.calls.targets import CallerIdentity, Targets
from sip.core import commands, events

WAITED_S = 1.0  # a Dial that took so long does not make a loop of documents a mistake


class Call:
    def __init__(
        self,
        policy: Policy,
        targets: Targets,
        invite: events.InviteReceived,
        number: Callable[[], int],
        sid: str,
        now: float,
        srtp: SrtpPolicy | None = None,
    ) -> None:
        """srtp: the rule for the caller's leg, None for that of the server."""
        self.sid = sid
        self.policy = policy
        self._outbox = Outbox(policy, sid, number, now)
        self._targets = targets
        self.party = InboundParty.of(invite.request, policy.use_to)
        self.caller = Caller(self._outbox, invite.session, invite.request, invite.flow, srtp)
        self.created_at = now
        self.ended: CallEnded | None = None
        self.dial: Dial | None = None
        self._documents: Documents | None = None
        self._legs: dict[str, tuple[Branch, Dial]] = {}  # by branch sid, until the branch is gone
        self._recorders: list[Dial] = []  # over, but their recordings are not
        self._interpreter: Interpreter | None = None
        self._speaking = Speaking(self._outbox, self.caller.media)
        self._held: Runnable | None = None  # waits for the ACK of a late offer
        self._passed_reason: str | None = None
        self._pause_until: float | None = None
        self._open_until: float | None = None
        self._last_result: DialResult | None = None
        self._departed = False
        self._departed_status: Cause = Cause.COMPLETED
        self._wrapped_up = False
        self._final_status_until: float | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    def admit(self, application: Application) -> list[Action]:
        """Take the call: 180 at once, then the stream, then the document (behaviour.md 1.1)."""
        if application.dialled:
            self.party = replace(self.party, to_user=application.dialled, dialled_by="Request-URI")
        self._documents = Documents(self._outbox, self.party, self.caller.invite, application)
        facts: dict[str, Json] = {"from": self.party.from_user, "to": self.party.to_user, "number": application.number}
        self._log("call_started", facts | {"dialled_by": self.party.dialled_by})
        delay = application.answer_delay
        self._interpreter = Interpreter(settings=self.policy.rcml, answer_delay=self.policy.answer_delay if delay is None else delay)
        self._outbox.emit(commands.SetSessionHeaders(self.caller.session, self._outbox.session_headers(self.sid)))
        try:
            self.caller.receive_offer()
        except SdpRefused as refused:
            warning = (("Warning", f'{refused.warning_code} dialplane "{refused.warning_text}"'),) if refused.warning_code else ()
            self._end_unanswered(refused.status, By.SERVER, refused.reason, headers=warning)
            return self._finish_input()
        self._outbox.note(Kind.STATE, {"status": "ringing", "from": self.party.from_user, "to": self.party.to_user})
        self.caller.ring()
        self.caller.media.open()
        self._open_until = self._outbox.now + self.policy.media_open_s
        self._documents.tell("ringing")
        return self._finish_input()

    def refuse(self, refusal: Refusal) -> list[Action]:
        """No application will hear of this call; it keeps a timeline all the same."""
        self._outbox.emit(commands.SetSessionHeaders(self.caller.session, self._outbox.session_headers(self.sid)))
        if refusal.notification:
            self._outbox.notify(refusal.notification, "error", refusal.explain)
        self._outbox.note(Kind.STATE, {"status": "refused", "reason": refusal.explain})
        headers = (("Retry-After", "10"),) if refusal.status == 503 else ()
        self._end_unanswered(refusal.status, By.SERVER, refusal.explain, phrase=refusal.reason, headers=headers)
        return self._finish_input()

    @property
    def finished(self) -> bool:
        return (
            self.ended is not None
            and self.caller.gone
            and self.dial is None
            and self._wrapped_up
            and not self._outbox.asks
            and not self._legs
            and not self._recorders
        )

    def next_deadline(self) -> float | None:
        dial = self.dial.deadline if self.dial is not None else None
        times = (dial, self._pause_until, self._open_until, self._final_status_until)
        return min((at for at in times if at is not None), default=None)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def sip_event(self, event: events.Event, now: float) -> list[Action]:
        self._outbox.now = now
        if event.session == self.caller.session:
            self._caller_event(event)
        else:
            found = self._legs.get(event.session.split("/", 1)[0])
            if found is not None:
                self._branch_event(*found, event)
        return self._finish_input()

    def media_event(self, event: engine.Event, now: float) -> list[Action]:
        self._outbox.now = now
        self._media_event(event)
        return self._finish_input()

    def engine_lost(self, reason: str, now: float) -> list[Action]:
        """The worker is gone, and with it every stream of this call (behaviour.md 3.1, media failure)."""
        self._outbox.now = now
        self._outbox.note(Kind.MEDIA, {"event": "worker-lost", "reason": reason})
        self.caller.media.lost()
        for branch, _ in self._legs.values():
            branch.media.lost()
        for dial in self._dials():
            dial.engine_lost()
        self._media_failed("Media failure")
        return self._finish_input()

    def fetched(self, event: Fetched, now: float) -> list[Action]:
        self._outbox.now = now
        self._outbox.answered(event)
        if self._documents is not None:
            self._document_came(self._documents.came(event, read=not self._departed))
        return self._finish_input()

    def prepared(self, event: Prepared, now: float) -> list[Action]:
        self._outbox.now = now
        self._heard(self._speaking.prepared(event))
        if self.dial is not None:
            self.dial.prepared(event)
        return self._finish_input()

    def timeout(self, now: float) -> list[Action]:
        self._outbox.now = now
        if self.dial is not None:
            self.dial.timeout()
        if self._pause_until is not None and now >= self._pause_until:
            self._pause_until = None
            self._verb_done()
        if self._open_until is not None and now >= self._open_until:
            self._open_until = None
            self._media_failed("The media worker did not open a stream in time")
        if self._final_status_until is not None and now >= self._final_status_until:
            self._final_status_until = None
            self._outbox.give_up_asking()
        return self._finish_input()

    def operator_end(self, now: float, code: int = CODE_OF_CANCELED, text: str = "Ended by the operator") -> list[Action]:
        """REST `completed` or `canceled` on the caller, or the server goes down (`code` 503)."""
        self._outbox.now = now
        self._depart(By.OPERATOR, code, text, Cause.COMPLETED)
        return self._finish_input()

    def operator_cancel_branch(self, sid: str, now: float) -> list[Action]:
        """REST on a dialled leg."""
        self._outbox.now = now
        found = self._legs.get(sid)
        if found is not None:
            branch, dial = found
            dial.operator_cancel_branch(branch)
        return self._finish_input()

    # --- SIP ------------------------------------------------------------------------------------------------------

    def _caller_event(self, event: events.Event) -> None:
        match event:
            case events.CancelReceived():
                self.caller.canceled()
                passed = reason_of(event.request.headers)
                self._depart(By.CALLER, CODE_OF_CANCELED, "Canceled by the caller", Cause.CANCELED, passed=passed)
            case events.AnswerAcked():
                wrong = self.caller.acked(event)
                if wrong is not None:
                    self._depart(By.SERVER, 488, wrong, Cause.FAILED, reason=sip_reason(488, wrong))
                elif self.caller.late_offer:
                    self._late_answer_came()
            case events.SessionEnded():
                self.caller.session_ended()
                if not self.caller.over:
                    self._caller_left(event)
            case events.ReinviteReceived() | events.ReinviteAcked() | events.RequestReceived():
                requests.handle(self._outbox, self.caller.media, self._peer_of_caller(), event)
            case _:
                pass  # answers to requests that this leg never sends

    def _caller_left(self, event: events.SessionEnded) -> None:
        passed = reason_of(event.request.headers) if event.request is not None else None
        match event.cause:
            case events.EndCause.BYE_RECEIVED:
                by, text = By.CALLER, ""
            case events.EndCause.ACK_TIMEOUT:
                by, text = By.SERVER, "The caller never acknowledged our 200"
            case _:
                by, text = By.SERVER, "The caller's dialog is gone"
        self.caller.left()
        self._depart(by, 200, text, Cause.COMPLETED, passed=passed)

    def _late_answer_came(self) -> None:
        if self.dial is not None:
            self.dial.caller_connected()
        held, self._held = self._held, None
        if held is not None:
            self._begin(held)

    def _branch_event(self, branch: Branch, dial: Dial, event: events.Event) -> None:
        match event:
            case events.InviteProgressed():
                dial.branch_progressed(branch, event)
            case events.InviteAnswered():
                dial.branch_answered(branch, event)
            case events.InviteFailed():
                dial.branch_failed(branch, event)
            case events.SessionEnded():
                dial.branch_ended(branch, event)
            case events.ReinviteReceived() | events.ReinviteAcked() | events.RequestReceived():
                peer = self.caller.media if branch is dial.partner else None
                requests.handle(self._outbox, branch.media, peer, event)
            case _:
                pass

    def _peer_of_caller(self) -> LegMedia | None:
        return self.dial.partner.media if self.dial is not None and self.dial.partner is not None else None

    # --- media ----------------------------------------------------------------------------------------------------

    def _media_event(self, event: engine.Event) -> None:
        noted = facts_of(event)
        if noted is not None:
            self._outbox.note(Kind.MEDIA, *noted)
        match event:
            case engine.Opened():
                self._opened(event)
            case engine.Closed():
                leg = self._leg_media(event.stream)
                if leg is not None:
                    leg.closed()
            case engine.PlayEnded():
                self._play_ended(event)
            case engine.RecordingStarted():
                for dial in self._dials():
                    dial.recording_started(event)
            case engine.RecordingEnded():
                for dial in self._dials():
                    dial.recording_ended(event)
            case engine.MediaTimeout():
                self._silence(event)
            case engine.StreamStats():
                self._counted(event)
            case engine.Failed():
                self._command_failed(event)
            case (
                engine.Latched()
                | engine.Stranger()
                | engine.Digit()
                | engine.Welcome()
                | engine.Listing()
                | engine.Joined()
                | engine.Left()
            ):
                pass

    def _dials(self) -> list[Dial]:
        """Those that the engine may still have something to say about as a whole."""
        return [*self._recorders, *([self.dial] if self.dial is not None else [])]

    def _leg_media(self, stream: str) -> LegMedia | None:
        if stream == self.sid:
            return self.caller.media
        found = self._legs.get(stream)
        return found[0].media if found is not None else None

    def _opened(self, event: engine.Opened) -> None:
        found = self._legs.get(event.stream)
        if found is not None:
            branch, dial = found
            dial.media_opened(branch, event)
        elif event.stream == self.sid and self.caller.media.opened(event):
            self._open_until = None
            assert self._documents is not None
            self._documents.ask_first(self._call_status())

    def _command_failed(self, event: engine.Failed) -> None:
        sid = event.subject.split("-", 1)[0]
        leg = self._leg_media(sid)
        match event.op:
            case "open" | "connect":
                if leg is not None and event.op == "open":
                    leg.closed()
                if sid == self.sid:
                    self._media_failed(f"No media: {event.reason}")
                elif sid in self._legs:
                    branch, dial = self._legs[sid]
                    dial.media_failed(branch, event.reason)
            case "close":
                if leg is not None:
                    leg.closed()
            case "play":
                self._play_ended(engine.PlayEnded(stream=sid, play=event.subject, reason="failed", detail=event.reason))
            case "record":
                why = event.reason
                ended = engine.RecordingEnded(recording=event.subject, path="", duration_ms=0, size_bytes=0, reason="disk", detail=why)
                for dial in self._dials():
                    dial.recording_ended(ended)
            case _:
                pass

    def _play_ended(self, event: engine.PlayEnded) -> None:
        leg = self._leg_media(event.stream)
        if leg is None or not leg.play_ended(event):
            return
        if self.dial is not None and event.reason == "failed":
            self.dial.play_failed(event.detail)
        self._heard(self._speaking.play_ended(event))

    def _silence(self, event: engine.MediaTimeout) -> None:
        """One side is silent. The call is ended when both are; the counters tell whether the other still is."""
        leg = self._leg_media(event.stream)
        if leg is None or not self.policy.media_timeout_ends_call:
            return
        leg.fell_silent()
        for other in self._bridged():
            if other is not leg:
                other.count()

    def _counted(self, event: engine.StreamStats) -> None:
        leg = self._leg_media(event.stream)
        if leg is None:
            return
        leg.counted(event.counters.packets_in)
        both = self._bridged()
        if both and all(side.dead for side in both):
            text = "No media from either side"
            self._depart(By.SERVER, 200, text, Cause.COMPLETED, reason=sip_reason(200, text), passed=sip_reason(200, text))

    def _bridged(self) -> tuple[LegMedia, ...]:
        """The two sides of the bridge, or ()."""
        peer = self._peer_of_caller()
        return (self.caller.media, peer) if peer is not None and self.dial is not None and self.dial.bridged else ()

    # --- documents ------------------------------------------------------------------------------------------------

    def _call_status(self) -> str:
        if self._departed:
            return self._departed_status.value
        return "ringing" if self.caller.unanswered else "in-progress"

    def _document_came(self, answer: Document | NoDocument | None) -> None:
        match answer:
            case Document():
                assert self._interpreter is not None
                self._tell(answer.notices)
                self._run(self._interpreter.start(answer))
            case NoDocument(code, text):
                self._script_failed(text, code)
            case None:
                pass

    def _script_failed(self, text: str, code: int = 500) -> None:
        if self._interpreter is not None:
            self._interpreter.document_failed()
            self._tell(self._interpreter.take_notices())
        self._end_here(code, By.APPLICATION, text, reason=sip_reason(code, text))

    def _tell(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self._outbox.notify(notice.code, notice.level, notice.message, url=notice.url, line=notice.line)

    # --- steps ----------------------------------------------------------------------------------------------------

    def _run(self, step: Step, result: DialResult | None = None) -> None:
        assert self._interpreter is not None
        self._tell(self._interpreter.take_notices())
        match step:
            case Run(verb, needs_answer):
                if needs_answer and self.caller.unanswered:
                    self.caller.answer()
                    self._interpreter.answered()
                if self.caller.awaits_answer:
                    self._held = verb
                else:
                    self._begin(verb)
            case FetchStep(url, method, purpose):
                assert self._documents is not None
                facts = self._documents.facts(self._call_status())
                parameters = action_parameters(facts, _dial_facts(result)) if result and purpose == "action" else voice_parameters(facts)
                self._documents.ask(url, method, purpose, parameters)
            case Refuse(status, reason):
                self._outbox.note(Kind.VERB, {"verb": "Reject", "status": status})
                self._end_here(status, By.APPLICATION, "Rejected by the application", phrase=reason)
            case End(why=EndReason.FAILED):
                self._end_here(500, By.APPLICATION, "The document cannot be run on")
            case End(why):
                last = self._last_result
                code, phrase = (last.caller_code, last.caller_text) if last is not None else (CODE_WITHOUT_DIAL, "")
                self._end_here(code, By.APPLICATION, why.value, phrase=phrase, reason=self._passed_reason)

    def _begin(self, verb: Runnable) -> None:
        self._passed_reason = None
        match verb:
            case Pause():
                self._outbox.note(Kind.VERB, {"verb": "Pause", "line": verb.line, "length_s": verb.length_s})
                self._pause_until = self._outbox.now + verb.length_s
            case Say() | Play():
                self._speaking.start(verb)
            case DialVerb():
                facts: dict[str, Json] = {"verb": "Dial", "line": verb.line, "timeout_s": verb.timeout_s, "record": verb.record}
                self._outbox.note(Kind.VERB, facts | {"nouns": len(verb.nouns), "action": verb.action or ""})
                identity = CallerIdentity(self.party.from_user, self.party.caller_name)
                self.dial = Dial(self._outbox, verb, self.caller, self._targets, identity)
                self.dial.start()
                self._legs |= {branch.sid: (branch, self.dial) for branch in self.dial.branches}

    def _heard(self, heard: Heard | None) -> None:
        match heard:
            case Heard.DONE:
                self._verb_done()
            case Heard.FAILED:
                self._script_failed("The file of a Play cannot be played")
            case None:
                pass

    def _verb_done(self) -> None:
        if self._interpreter is not None and not self._departed:
            self._run(self._interpreter.done())

    def _dial_over(self, dial: Dial, result: DialResult) -> None:
        assert self._interpreter is not None
        self.dial = None
        self._last_result = result
        self._passed_reason = dial.end_reason
        if dial.party_answered and result.answered:
            self._interpreter.party_answered()
        waited = self._outbox.now - dial.began_at >= WAITED_S
        self._run(self._interpreter.dial_done(result.answered, waited), result)
        dial.release()
        if dial.recording_pending:
            self._recorders.append(dial)

    # --- the end --------------------------------------------------------------------------------------------------

    def _end_here(self, code: int, by: By, text: str, *, phrase: str = "", reason: str | None = None) -> None:
        """The script is at its end: BYE, or the final that an unanswered caller gets. reason: value of a Reason header."""
        if self.caller.unanswered:
            self._end_unanswered(code, by, text, phrase=phrase, headers=_reason_header(reason))
        elif self.ended is None:
            self.caller.bye(reason)
            self._end(CallEnded(Cause.COMPLETED, by, 200, text))

    def _end_unanswered(self, code: int, by: By, text: str, *, phrase: str = "", headers: commands.HeaderList = ()) -> None:
        if self.ended is None:
            self.caller.reject(code, phrase, headers)
            self._end(CallEnded(inbound_status(code), by, code, text))

    def _media_failed(self, text: str) -> None:
        """The caller's media cannot be had, or is lost (behaviour.md 1.1, 3.1)."""
        if self.dial is not None:
            self.dial.media_lost(text)
        self._depart(By.SERVER, CODE_OF_UNREACHABLE, text, Cause.FAILED, reason=sip_reason(CODE_OF_UNREACHABLE, text))

    def _depart(self, by: By, code: int, text: str, cause: Cause, *, reason: str | None = None, passed: str | None = None) -> None:
        """The call is over for its caller, by whatever way; what still runs is given up, a Dial's action still goes out.

        reason: of our BYE or refusal to the caller; passed: of what the other side gets. None: no Reason header.
        """
        if self._departed or self.ended is not None:
            return
        self._departed = True
        if self.dial is not None:
            self.dial.give_up(by, reason=passed, text=text)
        if self._interpreter is not None:
            self._interpreter.caller_gone()
        if self._documents is not None:
            self._documents.forget(keep_action=True)
        if self.caller.unanswered:
            self.caller.reject(code, "", _reason_header(reason))
            cause = inbound_status(code)
        else:
            self.caller.bye(reason)
            if cause is not Cause.FAILED:
                cause, code = Cause.COMPLETED, 200  # what the INVITE got, however the call was ended later
        self._departed_status = cause
        self._end(CallEnded(cause, by, code, text))

    def _end(self, ended: CallEnded) -> None:
        self.ended = ended
        self._pause_until = self._held = self._open_until = None
        self._speaking.stop()
        if not self._departed:
            self._departed = True
            self._departed_status = ended.cause
        duration = int(self._outbox.now - self.created_at + 1e-6)
        if self._documents is not None:  # a refused call has its own line
            facts: dict[str, Json] = {"cause": ended.cause.value, "by": ended.by.value, "sip_status": ended.sip_status}
            self._log("call_ended", facts | {"duration_s": duration, "text": ended.text})
        answered_at = self.caller.answered_at
        ring = int((answered_at if answered_at is not None else self._outbox.now) - self.created_at + 1e-6)
        self._outbox.ended(
            CallRecord(
                sid=self.sid,
                parent_sid="",
                account_sid=self.policy.account_sid,
                direction="inbound",
                from_user=self.party.from_user,
                to_user=self.party.to_user,
                created_at=self.created_at,
                answered_at=answered_at,
                ended_at=self._outbox.now,
                duration_s=duration,
                ring_duration_s=ring,
                ended=ended,
                sip_call_id=self.caller.invite.headers.get("Call-ID") or "",
            )
        )

    def _log(self, event: str, facts: dict[str, Json]) -> None:
        self._outbox.emit(Log("info", event, {"call_sid": self.sid} | facts))

    # --- after every input ----------------------------------------------------------------------------------------

    def _finish_input(self) -> list[Action]:
        """Draw the conclusions of the input, then hand out what it led to."""
        while self.dial is not None and self.dial.result is not None:
            self._dial_over(self.dial, self.dial.result)
        if self.caller.answered_at is not None and self._documents is not None:
            if self._interpreter is not None:
                self._interpreter.answered()
            self._documents.tell("in-progress")
        self._recorders = [dial for dial in self._recorders if dial.recording_pending]
        for sid in [sid for sid, (branch, _) in self._legs.items() if branch.gone]:
            del self._legs[sid]
        if self.ended is not None and self.dial is None and not self._wrapped_up:
            self._wrap_up(self.ended)
        return self._outbox.drain()

    def _wrap_up(self, ended: CallEnded) -> None:
        """The last status callback, when no document is waited for any more; what is asked then is awaited for a while."""
        if self._documents is not None:
            if self._documents.waits:
                return
            self._documents.tell(ended.cause.value)
        self._wrapped_up = True
        if self._outbox.asks:
            self._final_status_until = self._outbox.now + self.policy.final_status_wait_s


def _reason_header(reason: str | None) -> commands.HeaderList:
    return (("Reason", reason),) if reason is not None else ()


def _dial_facts(result: DialResult) -> DialFacts:
    return DialFacts(
        status=result.status.value,
        call_sid=result.call_sid,
        duration_s=result.duration_s,
        ring_duration_s=result.ring_duration_s,
        recording_url=result.recording_url,
        failure_reason=result.failure_reason,
        sip_call_id=result.sip_call_id,
        sip_response_code=result.sip_response_code,
        sip_headers=result.sip_headers,
    )
