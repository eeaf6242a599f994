"""Decides what a call does next.

One interpreter belongs to one call. It holds a document and the place in it, and it never waits: each input that ends
something (`start`, `done`, `document_failed`) returns the one `Step` that follows, and call control carries it out. Inputs that
only change what is true (`answered`, `caller_gone`) return nothing.

    start(document) ─▶ Run(verb) ─▶ done() ─▶ Run(verb) ─▶ … ─▶ End(DOCUMENT_DONE)
                          │            └────▶ Fetch(action) ─▶ start(document)
                          └─ the verb ends the script, or sends it to another document ─▶ start(document)
                                                        └─▶ document_failed() ─▶ End(FAILED)

It knows no verb by name: what it asks is data on the parsed verb (`rcml.verbs.verb`). The rules (behaviour 1.8, 2.8, 4.4 and the
decisions 3, 6, 11):
- An unanswered call is answered for a verb that says so: Say and Play do, a Dial by its answerOnBridge, else by the setting; for a
  conference always; never for Pause, Redirect, Reject, Hangup.
- A verb with an action ends the document: the action's answer is the next one. Without, the next verb runs; after an
  answered Dial by the setting `after_answer`.
- Once the caller has gone, no verb runs that needs a call; the action of the Dial that was running is still asked.
- Work without waiting is bounded: see `_allowed`.

`start` may come at any time and abandons what runs, for a call can be sent to another document from outside.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rcml import notices
from rcml.document import Document
from rcml.errors import UsageError
from rcml.notices import Notice
from rcml.settings import RcmlSettings
from rcml.verbs import Verb


class EndReason(enum.Enum):
    """Why nothing follows."""

    DOCUMENT_DONE = "document-done"
    CALLER_GONE = "caller-gone"
    FAILED = "failed"  # a document that could not be had or run, or a loop
    ACTION_INVALID = "action-invalid"  # the Dial's action was no URL (behaviour 0.11)


@dataclass(frozen=True, slots=True)
class Run:
    """Carry out a verb; then `done`, unless it ended the script itself. needs_answer: answer the call first."""

    verb: Verb
    needs_answer: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the application for the action of a verb; then `start` or `document_failed`. line: of the verb."""

    url: str
    method: str
    line: int


@dataclass(frozen=True, slots=True)
class End:
    """End the call as its state demands."""

    why: EndReason


Step = Run | Fetch | End


class Interpreter:
    """The place of one call in its documents."""

    def __init__(self, *, settings: RcmlSettings, answered: bool = False, answer_delay: bool = True) -> None:
        self._settings = settings
        self._answered = answered
        self._answer_delay = answer_delay
        self._caller_gone = False
        self._document = Document("", ())
        self._next = 0  # index of the verb after the current one
        self._current: Verb | None = None
        self._party_answered = False  # in this document
        self._told_of_skipped_dial = False
        self._documents = 0
        self._idle_documents = 0  # in a row, without anything heard, waited for or answered
        self._verbs = 0
        self._notices: list[Notice] = []

    # --- what is true ---------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """The call was answered."""
        self._answered = True

    def caller_gone(self) -> None:
        """The caller hung up or gave up: nothing more can be heard or said."""
        self._caller_gone = True

    def abandon(self) -> None:
        """Something from outside takes the place of what runs: what follows is no loop of documents."""
        self._current = None
        self._idle_documents = 0

    def take_notices(self) -> list[Notice]:
        """What was noticed on the way since the last time; the documents' own notices are in the documents."""
        notices, self._notices = self._notices, []
        return notices

    # --- what is over ---------------------------------------------------------------------------------------------

    def start(self, document: Document) -> Step:
        """Run a document: the first one, a redirect's, an action's, or one from outside."""
        self._document, self._next, self._current = document, 0, None
        self._party_answered = self._told_of_skipped_dial = False
        self._documents += 1
        self._idle_documents += 1
        return self._proceed()

    def done(self, *, answered: bool = False, waited: bool = True, asks: bool = True) -> Step:
        """The current verb is over.

        answered: it connected the caller with somebody. waited: something was heard, or it took a while, as ringing does. asks: False
        when there is nothing that its action should hear of, as when no key was pressed; then the next verb follows.
        """
        verb = self._current
        if verb is None:
            raise UsageError("done() without a running verb")
        self._current = None
        self._party_answered = self._party_answered or answered
        if answered or waited:
            self._idle_documents = 0
        if asks and verb.action is not None:
            return Fetch(verb.action, verb.method, verb.line)
        if self._caller_gone:
            return self._proceed()
        if asks and verb.action_invalid:
            return End(EndReason.ACTION_INVALID)
        if verb.connects and self._party_answered and self._settings.after_answer == "hangup":
            return End(EndReason.DOCUMENT_DONE)
        return self._proceed()

    def document_failed(self) -> Step:
        """The document that was asked for, or its fallback, could not be had or read."""
        self._current = None
        return End(EndReason.CALLER_GONE if self._caller_gone else EndReason.FAILED)

    # --- what follows ---------------------------------------------------------------------------------------------

    def _proceed(self) -> Step:
        while self._next < len(self._document.verbs):
            verb = self._document.verbs[self._next]
            self._next += 1
            if self._caller_gone and verb.needs_call:
                continue
            if self._is_skipped(verb):
                continue
            if not self._allowed(verb):
                return End(EndReason.FAILED)
            self._current = verb
            return Run(verb, not self._answered and verb.answers(self._answer_delay))
        return End(EndReason.CALLER_GONE if self._caller_gone else EndReason.DOCUMENT_DONE)

    def _is_skipped(self, verb: Verb) -> bool:
        if verb.does_nothing is not None:
            if verb.does_nothing:
                self._notice("warning", notices.NOT_CARRIED_OUT, verb.line, verb.does_nothing)
            return True
        if not self._dials_are_over():
            return False
        if verb.only_waits:
            return self._leads_to_dial()
        if verb.connects and not self._told_of_skipped_dial:
            self._told_of_skipped_dial = True
            why = "<Dial> is skipped, and so are all that follow it: a Dial before it in this document was answered"
            self._notice("warning", notices.NOT_CARRIED_OUT, verb.line, why)
        return verb.connects

    def _dials_are_over(self) -> bool:
        return self._party_answered and self._settings.after_answer == "skip-dials"

    def _leads_to_dial(self) -> bool:
        """What only waits from here on is there for a Dial that is skipped (behaviour 0.3)."""
        rest = self._document.verbs[self._next :]
        following = next((verb for verb in rest if not verb.only_waits and verb.does_nothing != ""), None)
        return following is not None and following.connects

    def _allowed(self, verb: Verb) -> bool:
        """Bound what a call may do: in all, and in documents that follow each other without anything between them."""
        self._verbs += 1
        limits = self._settings
        for count, most, what in (
            (self._verbs, limits.max_verbs_per_call, "verbs were run in this call"),
            (self._documents, limits.max_documents_per_call, "documents were run in this call"),
            (self._idle_documents, limits.max_idle_documents, "documents followed each other in which nothing was heard or answered"),
        ):
            if count > most:
                self._notice("error", notices.LOOP, verb.line, f"more than {most} {what}: it is ended")
                return False
        return True

    def _notice(self, level: notices.Level, code: int, line: int, message: str) -> None:
        self._notices.append(Notice(code, level, message, line, self._document.url))
