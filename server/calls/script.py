"""The script of one call: documents that are asked for, the interpreter that reads them, and what follows when something is over.

Every input returns the one thing that comes next: a verb begins, an answer is waited for, or the script is over. The call carries it out.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from rcml.dialect import Dialect, joined
from rcml.document import Document
from rcml.interpreter import End, EndReason, Fetch, Interpreter, Run, Step
from rcml.notices import Notice
from rcml.parameters import DialFacts, VoiceFacts, action_parameters, voice_parameters
from rcml.verbs import Verb
from server.calls.documents import Documents, NoDocument
from server.calls.effects import Fetched
from server.calls.legs.leg import Leg
from server.calls.legs.party import Party, Referral
from server.calls.outbox import Outbox, sip_reason
from server.calls.outcome import CODE_WITHOUT_DIAL, DialResult
from server.calls.policy import Application
from server.calls.results import Broken, Elsewhere, Finished, HungUp, Refused, Result


@dataclass(frozen=True, slots=True)
class Begin:
    """A verb is run. needs_answer: the leg is answered first."""

    verb: Verb
    needs_answer: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """A document is on its way."""


class How(enum.Enum):
    """How a script ended."""

    DONE = "done"  # its document ran out
    HUNG_UP = "hung up"  # it said so
    FAILED = "failed"  # a document that could not be had or run


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing follows. code, phrase: our final to a leg that is still unanswered ("" = the RFC's phrase).

    text: for the record. reason: value of a Reason header, None for none. how: for who asks whether the script came to its end.
    """

    code: int
    text: str
    phrase: str = ""
    reason: str | None = None
    how: How = How.FAILED


Next = Begin | Wait | Over
NOTHING = Finished()  # what a document's beginning follows from


class Script:
    """leg: the primary one of the call; party: as the application is told."""

    def __init__(self, outbox: Outbox, leg: Leg, party: Party, application: Application) -> None:
        self._outbox = outbox
        self._application = application
        self._documents = Documents(outbox, leg, party, application)
        delay = application.answer_delay
        dialect, settings = application.dialect, outbox.policy.rcml
        if delay is None:
            delay = outbox.policy.answer_delay if dialect.answer_delay is None else dialect.answer_delay
        if dialect.after_answer is not None:
            settings = settings.model_copy(update={"after_answer": dialect.after_answer})
        self._interpreter = Interpreter(settings=settings, answered=leg.answered, answer_delay=delay)
        self._last_dial: DialResult | None = None
        self._passed_reason: str | None = None

    @property
    def waits(self) -> bool:
        """A document is outstanding."""
        return self._documents.waits

    def facts(self) -> VoiceFacts:
        """What every request about the call says, as it is now."""
        return self._documents.facts()

    # --- what is true ---------------------------------------------------------------------------------------------

    def tell(self, status: str) -> None:
        """The number's status callback: each status once (behaviour.md 1.10)."""
        self._documents.tell(status)

    def answered(self) -> None:
        self._interpreter.answered()
        self._documents.tell("in-progress")

    def leg_over(self) -> None:
        """The leg has gone; the action of what still ends is asked all the same (behaviour.md 2.8)."""
        self._interpreter.caller_gone()
        self._documents.forget(keep_action=True)

    def abandon(self) -> None:
        """Nothing that was asked is waited for any more, and nothing that runs is followed."""
        self._interpreter.abandon()
        self._documents.forget(keep_action=False)

    # --- what follows ---------------------------------------------------------------------------------------------

    def begin(self, purpose: str = "voice") -> Next:
        """With the first document of the application."""
        return self._first(purpose)

    def begin_anew(self, application: Application) -> Next:
        """With the first document of another application, whose call this is from now on; the dialect stays that of the call."""
        self._application = replace(application, dialect=self._application.dialect)
        self._documents.serve(self._application)
        return self._first("redirect")

    def _first(self, purpose: str) -> Next:
        application = self._application
        if application.document:
            return self._read(self._documents.given(application.document))
        return self.go_to(application.voice_url, application.voice_method, purpose)

    def go_to(self, url: str, method: str, purpose: str = "redirect") -> Wait:
        self._documents.ask(url, method, purpose, voice_parameters(self._documents.facts()))
        return Wait()

    def referred(self, referral: Referral) -> None:
        """The leg has been handed over: the application is told so in all requests from now on."""
        self._documents.referred(referral)

    def fetched(self, event: Fetched, *, read: bool) -> Next | None:
        """read: False when the leg is over and no answer is run any more. None: nothing for us, or its fallback is being asked."""
        found = self._documents.came(event, read=read)
        return None if found is None else self._read(found)

    def _read(self, found: Document | NoDocument) -> Next:
        match found:
            case Document() as document:
                self._notify(document.notices)
                return self._follow(self._interpreter.start(document))
            case NoDocument(code, text):
                self._interpreter.document_failed()
                self._notify(self._interpreter.take_notices())
                return Over(code, text, reason=sip_reason(code, text))
            case _:
                assert_never(found)

    def after(self, result: Result) -> Next:
        """A verb is over."""
        match result:
            case Finished():
                self._passed_reason = result.reason
                self._last_dial = result.dial or self._last_dial
                return self._follow(self._interpreter.done(answered=result.answered, waited=result.waited, asks=result.asks), result)
            case Elsewhere(url, method):
                return self.go_to(url, method)
            case Refused(status, phrase):
                return Over(status, "Rejected by the application", phrase, how=How.HUNG_UP)
            case HungUp(why, reason):
                self._passed_reason = reason or self._passed_reason
                return self._end(why, How.HUNG_UP)
            case Broken(why, reason):
                return Over(500, why, reason=reason)
            case _:
                assert_never(result)

    def _follow(self, step: Step, result: Finished = NOTHING) -> Next:
        self._notify(self._interpreter.take_notices())
        match step:
            case Run(verb, needs_answer):
                return Begin(verb, needs_answer)
            case Fetch(url, method):
                facts = self._documents.facts()
                told = (
                    voice_parameters(facts)
                    if result.dial is None
                    else action_parameters(facts, _dial_facts(result.dial, self._application.dialect))
                )
                self._documents.ask(url, method, "action", told + result.parameters)
                return Wait()
            case End(why=EndReason.FAILED):
                return Over(500, "The document cannot be run on")
            case End(why):
                return self._end(why.value, How.DONE)
            case _:
                assert_never(step)

    def _end(self, why: str, how: How) -> Over:
        """An unanswered caller gets what the last Dial led to."""
        last = self._last_dial
        code, phrase = (last.caller_code, last.caller_text) if last is not None else (CODE_WITHOUT_DIAL, "")
        return Over(code, why, phrase, self._passed_reason, how)

    def _notify(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self._outbox.notify(notice.code, notice.level, notice.message, url=notice.url, line=notice.line)


def _dial_facts(result: DialResult, dialect: Dialect) -> DialFacts:
    return DialFacts(
        status=result.status.value,
        call_sid=result.call_sid,
        duration_s=result.duration_s,
        ring_duration_s=result.ring_duration_s,
        recording_url=result.recording_url,
        failure_reason=result.failure_reason,
        sip_call_id=result.sip_call_id,
        sip_response_code=result.sip_response_code,
        sip_headers=joined(result.sip_headers) if dialect.joins_headers else result.sip_headers,
        bridged=result.answered if dialect.tells_bridged else None,
    )
