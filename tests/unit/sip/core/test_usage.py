"""The seam: what an extension can be without a change of the core. Two small ones, each whole in one class and its usage or part.

`Watching` is a subscription (RFC 6665) on both sides, in a dialog of its own and in that of a call. `Limited` is a session timer
(RFC 4028) whose refresher is the peer.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sip.core.capabilities import NOTHING, Capabilities
from sip.core.commands import ExtensionCommand, HeaderList, SendAnswer, SendBye, SendReinvite, SessionId
from sip.core.delivery import Failure
from sip.core.dialog import Dialog, answered_dialog, contact_of, record_route
from sip.core.dialog_usage import DialogUsage
from sip.core.events import EndCause, ExtensionEvent, InviteReceived, RequestReceived, SessionEnded
from sip.core.exchange import Exchange
from sip.core.parts import SessionPart
from sip.core.transactions import ServerTransaction
from sip.core.usage import Core as UserAgentCore
from sip.core.usage import Extension, Refusal, SessionHost
from sip.message import Request, Response, UsageError
from tests.support.core import (
    ANSWER,
    CALL,
    OFFER,
    Core,
    ack,
    be_called,
    be_called_and_answer,
    dial,
    dial_and_answer,
    invite,
    reply,
    request,
    to_tag,
)

WATCHING = SessionId("watching-1")


# --- an extension that is a usage of dialogs ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watch(ExtensionCommand):
    """Subscribe, inside the dialog of a session."""

    name: SessionId
    session: SessionId


@dataclass(frozen=True, slots=True)
class Notified(ExtensionEvent):
    body: bytes


class Watching(Extension):
    capabilities = Capabilities(inside=("SUBSCRIBE", "NOTIFY"), outside=("SUBSCRIBE",))
    commands = (Watch,)

    def command(self, command: ExtensionCommand, now: float) -> None:
        assert isinstance(command, Watch)
        session = self.core.sessions.get(command.session)
        if session is None or session.dialog is None:
            raise UsageError(f"no dialog: {command.session}")
        subscription = Subscription(self.core, command.name)
        self.core.join(session.dialog, subscription)
        subscribe = subscription.build(session.dialog, "SUBSCRIBE", (("Event", "weather"), ("Expires", "600")))
        subscription.exchange(subscription, session.dialog, subscribe, now)

    def request_received(self, transaction: ServerTransaction, now: float) -> None:
        incoming = transaction.incoming
        headers = incoming.request.headers
        dialog = answered_dialog(incoming, transaction.to_tag, contact_of(headers) or "", record_route(headers))
        subscription = Subscription(self.core, WATCHING)
        self.core.join(dialog, subscription)
        subscription.request_received(transaction, dialog, now)


class Subscription(DialogUsage):
    def takes(self, request: Request) -> bool:
        return request.headers.get("Event") == "weather"

    def request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        headers = transaction.request.headers
        self.dialog = dialog
        self.respond(transaction, 200, now)
        if transaction.request.method == "NOTIFY":
            self.context.emit(Notified(self.id, transaction.request.body))
            over = (headers.get("Subscription-State") or "").startswith("terminated")
        else:
            over = headers.get("Expires") == "0"
            state = "terminated" if over else "active;expires=600"
            notify = self.build(dialog, "NOTIFY", (("Event", "weather"), ("Subscription-State", state)), b"rain", "text/plain")
            self.exchange(self, dialog, notify, now)
        if over:
            self.core.leave(dialog, self)

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        pass


def notify(tag: str, cseq: int, state: str = "active", event: str = "weather", **given: object) -> Request:
    headers = [("Event", event), ("Subscription-State", state)]
    return request("NOTIFY", branch=f"z9hG4bKn{cseq}", cseq=cseq, to_tag=tag, headers=headers, body=b"sun", **given)  # type: ignore[arg-type]


def watched() -> tuple[Core, str]:
    core = Core(extensions=[Watching()])
    tag = to_tag(be_called_and_answer(core))
    core.do(Watch(WATCHING, core.session))
    subscribe = core.sent_request("SUBSCRIBE")
    assert subscribe.headers.get("Contact")
    core.give(reply(subscribe, 200))
    assert core.events() == []
    return core, tag


def test_a_usage_shares_the_dialog_of_a_call_and_takes_its_own_requests__rfc5057_3() -> None:
    core, tag = watched()
    core.give(notify(tag, 2))
    assert core.statuses() == [200]
    assert core.event() == Notified(WATCHING, b"sun")
    core.give(notify(tag, 3, event="message-summary"))  # nobody else's: the session's, as without the extension
    assert isinstance(core.event(), RequestReceived)


def test_a_dialog_lives_until_its_last_usage_has_left__rfc5057_4_1() -> None:
    core, tag = watched()
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    assert isinstance(core.event(), SessionEnded)
    assert (core.endpoint.counts()["sessions"], core.endpoint.counts()["dialogs"]) == (0, 1)
    core.give(notify(tag, 3))
    assert core.event() == Notified(WATCHING, b"sun")
    core.sent()
    core.give(request("BYE", branch="z9hG4bKagain", cseq=4, to_tag=tag))
    assert core.statuses() == [481], "there is no session to end any more"
    core.give(notify(tag, 5, state="terminated;reason=timeout"))
    assert core.statuses() == [200]
    core.settle()


def test_a_usage_can_end_before_the_session__rfc5057_4_1() -> None:
    core, tag = watched()
    core.give(notify(tag, 2, state="terminated"))
    core.events()
    core.sent()
    core.give(notify(tag, 3))
    assert isinstance(core.event(), RequestReceived)
    core.give(request("BYE", branch="z9hG4bKbye", cseq=4, to_tag=tag))
    core.settle()


def test_numbers_of_a_dialog_are_counted_over_all_usages__rfc3261_12_2_2() -> None:
    core, tag = watched()
    core.give(notify(tag, 7))
    core.give(request("INFO", branch="z9hG4bKi", cseq=6, to_tag=tag))
    assert core.statuses() == [200, 500]


def test_a_usage_opens_a_dialog_of_its_own__rfc6665_4_2() -> None:
    core = Core(extensions=[Watching()])
    contact = ("Contact", "<sip:alice@192.0.2.77>")
    core.give(request("SUBSCRIBE", headers=[("Event", "weather"), contact]))
    answer, first = (one.message for one in core.sent())
    assert isinstance(answer, Response)
    assert isinstance(first, Request)
    assert (answer.status, bool(answer.headers.get("Contact"))) == (200, True)
    assert (first.method, first.uri, first.body) == ("NOTIFY", "sip:alice@192.0.2.77", b"rain")
    core.give(reply(first, 200))
    core.give(
        request("SUBSCRIBE", branch="z9hG4bKs2", cseq=2, to_tag=to_tag(answer), headers=[("Event", "weather"), ("Expires", "0"), contact])
    )
    _, last = (one.message for one in core.sent())
    assert last.headers.get("Subscription-State") == "terminated"
    core.give(reply(last, 200))  # type: ignore[arg-type]
    core.settle()


def test_what_extensions_serve_stands_in_allow__rfc3261_20_5() -> None:
    core = Core(extensions=[Watching()])
    core.give(request("OPTIONS"))
    assert core.sent_response().headers.get("Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, UPDATE, SUBSCRIBE"


def test_a_command_without_its_extension_is_a_bug_of_the_caller() -> None:
    with pytest.raises(UsageError, match="no extension for Watch"):
        Core().do(Watch(WATCHING, CALL))


# --- an extension that is a part of sessions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "announced", [{"commands": (Watch,)}, {"capabilities": Capabilities(outside=("SUBSCRIBE",))}], ids=["commands", "outside of dialogs"]
)
def test_an_extension_that_announces_what_it_does_not_carry_out_is_refused_before_it_meets_the_wire(announced: dict[str, object]) -> None:
    hollow = type("Hollow", (Extension,), announced)
    with pytest.raises(UsageError, match=r"Hollow .*no method"):
        Core(extensions=[hollow()])


class Limited(Extension):
    capabilities = Capabilities(inside=(), option_tags=("timer",))

    def refuse_invite(self, request: Request) -> Refusal | None:
        asked = request.headers.get("Session-Expires")
        return Refusal(422, headers=(("Min-SE", "90"),)) if asked is not None and int(asked) < 90 else None

    def session_part(self, session: SessionHost) -> SessionPart:
        return Limit(session)


class Limit(SessionPart):
    def __init__(self, session: SessionHost) -> None:
        super().__init__()
        self._session = session
        self._seconds = 0
        self._end_at: float | None = None

    def request_received(self, transaction: ServerTransaction, now: float) -> bool:
        if transaction.request.method in ("INVITE", "UPDATE"):
            self._start(transaction.request, now)
        return False

    def response_received(self, method: str, response: Response, now: float) -> None:
        if method == "INVITE" and 200 <= response.status < 300:
            self._start(response, now)

    def request_headers(self, method: str) -> HeaderList:
        return (("Session-Expires", "90"),) if method == "INVITE" else ()

    def response_headers(self, transaction: ServerTransaction, status: int) -> HeaderList:
        return (("Session-Expires", f"{self._seconds};refresher=uac"),) if 200 <= status < 300 and self._seconds else ()

    def deadline(self) -> float | None:
        return self._end_at

    def expire(self, now: float) -> None:
        self._end_at = None
        self._session.send_bye(SendBye(self._session.id, 'SIP;cause=408;text="Not refreshed"'), now)

    def close(self, now: float) -> None:
        self._end_at = None

    def _start(self, message: Request | Response, now: float) -> None:
        asked = message.headers.get("Session-Expires")
        if asked is not None:
            self._seconds = int(asked)
            self._end_at = now + self._seconds - min(32, self._seconds / 3)
            self._session.core.context.agenda.arm(self)


def test_an_extension_refuses_an_invite_before_there_is_a_session__rfc4028_9() -> None:
    core = Core(extensions=[Limited()])
    core.give(invite(headers=[("Session-Expires", "30")]))
    refusal = core.sent_response()
    assert (refusal.status, refusal.headers.get("Min-SE")) == (422, "90")
    core.settle()


def test_a_part_of_a_session_ends_it_by_a_timer_of_its_own__rfc4028_10() -> None:
    core = Core(extensions=[Limited()])
    be_called(core, headers=[("Session-Expires", "90"), ("Require", "timer")])
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    assert (answer.headers.get("Session-Expires"), answer.headers.get("Supported")) == ("90;refresher=uac", "timer")
    core.give(ack(answer))
    core.events()
    core.pass_time(40)
    core.give(request("UPDATE", branch="z9hG4bKu", cseq=2, to_tag=to_tag(answer), headers=[("Session-Expires", "90")]))
    assert isinstance(core.event(), RequestReceived), "the user still decides about the offer"
    core.pass_time(59.9)
    assert core.statuses() == []
    core.pass_time(0.2)
    assert "Not refreshed" in (core.sent_request("BYE").headers.get("Reason") or "")


def test_a_part_adds_to_our_invites_and_sees_their_answers__rfc4028_7() -> None:
    core = Core(extensions=[Limited()])
    sent = dial(core)
    assert sent.headers.get("Session-Expires") == "90"
    core.give(reply(sent, 200, body=ANSWER, headers=[("Session-Expires", "90")]))
    core.sent_request("ACK")
    core.events()
    core.pass_time(50)
    core.do(SendReinvite(CALL, OFFER))
    again = core.sent_request("INVITE")
    assert again.headers.get("Session-Expires") == "90"
    core.give(reply(again, 200, body=ANSWER, headers=[("Session-Expires", "90")]))
    core.sent_request("ACK")
    core.pass_time(59.9)
    assert core.statuses() == []
    core.pass_time(0.2)
    bye = core.sent_request("BYE")
    core.give(reply(bye, 200))
    assert core.events()[-1] == SessionEnded(CALL, EndCause.BYE_ANSWERED, response=core.last(SessionEnded).response)
    core.settle()


def test_a_part_has_no_deadline_after_the_end_of_its_session() -> None:
    core = Core(extensions=[Limited()])
    tag = to_tag(be_called_and_answer(core, headers=[("Session-Expires", "90")]))
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    core.settle()
    assert [one.cause for one in core.all(SessionEnded)] == [EndCause.BYE_RECEIVED]


def test_without_extensions_nothing_of_them_is_there() -> None:
    core = Core(capabilities=NOTHING)
    dial_and_answer(core)
    core.give(invite(call_id="other", headers=[("Require", "timer")]))
    assert core.statuses() == [420]
    assert not core.all(InviteReceived)


def test_the_core_knows_who_serves_a_method_outside_of_dialogs() -> None:
    watching = Watching()
    core = Core(capabilities=Capabilities(outside=("MESSAGE",)), extensions=[watching])
    table = watching.core
    assert isinstance(table, UserAgentCore)
    assert table.outside["SUBSCRIBE"] is watching
    assert table.outside["MESSAGE"] is not watching
    core.settle()


def test_a_method_outside_of_dialogs_is_served_by_one() -> None:
    with pytest.raises(UsageError, match="by two: SUBSCRIBE"):
        Core(capabilities=Capabilities(outside=("SUBSCRIBE",)), extensions=[Watching()])
    with pytest.raises(UsageError, match="by two: SUBSCRIBE"):
        Core(extensions=[Watching(), Watching()])
