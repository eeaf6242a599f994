"""Who may hand a call over, and what a REFER gets that changes nothing (behaviour.md 6). What follows is in tests/simulation."""

from __future__ import annotations

import pytest

from server.calls.policy import Application
from sip.core import commands
from sip.core.referring import NotifyRefer, ReferId, ReferReceived
from sip.message import Headers, Replaces, Request, refer_to_of
from tests.unit.server.calls.bench import ACTION, IN, ONE, TWO, VOICE, Bench, dial

REFER_URL = "http://app/refer"
NUMBER = Application("2222", VOICE, refer_url=REFER_URL, refer_method="GET")
TRANSACTION = commands.TransactionId("t1")


def refer(
    bench: Bench, session: commands.SessionId, *, replaced: commands.SessionId | None = None, replaces: Replaces | None = None
) -> None:
    target = "sip:dave@example.com" if replaces is None else f"sip:dave@example.com?Replaces={replaces}".replace(";", "%3B")
    fields = [("From", "<sip:bob@192.0.2.7>;tag=1"), ("To", "<sip:2222@192.0.2.1>;tag=2"), ("Contact", "<sip:%2B131313@192.0.2.7>")]
    headers = Headers([*fields, ("Refer-To", f"<{target.replace('to-tag=', 'to-tag%3D').replace('from-tag=', 'from-tag%3D')}>")])
    request = Request("REFER", "sip:server", headers)
    bench.give(ReferReceived(session, ReferId("r1"), TRANSACTION, request, refer_to_of(headers), replaced))


def talking(application: Application = NUMBER, document: str = "") -> Bench:
    bench = Bench(document or dial(ONE), application=application)
    bench.web.pages[REFER_URL] = dial(ONE, "")
    bench.answer(0)
    bench.run(1.0)
    bench.sent.clear()
    return bench


def answers(bench: Bench) -> list[int]:
    return [one.status for one in bench.of(commands.AnswerRequest)]


def test_a_transfer_asks_the_refer_document_by_its_method__behaviour_6() -> None:
    bench = talking()
    refer(bench, IN)
    bench.run(0.1)
    assert answers(bench) == [202]
    (request,) = [request for _, request in bench.web.requests if request.purpose == "refer"]
    assert (request.url, request.method) == (REFER_URL, "GET")
    named = {name: value for name, value in request.parameters if name in ("ReferTarget", "Transferor", "Transferee")}
    assert named == {"ReferTarget": "dave", "Transferor": "+131313", "Transferee": "2222"}
    assert bench.web.of("action") == [], "the Dial is abandoned"


def test_who_has_transferred_is_kept_for_two_seconds_at_most__behaviour_0_10() -> None:
    bench = talking()
    bench.web.delay_s = 60.0
    refer(bench, IN)
    bench.run(1.9)
    assert bench.of(commands.SendBye) == []
    bench.run(0.2)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [IN]
    assert bench.of(NotifyRefer)[-1] == NotifyRefer(ReferId("r1"), 100, final=True)


def test_a_number_without_a_refer_document_refuses__behaviour_6() -> None:
    bench = talking(Application("2222", VOICE))
    refer(bench, IN)
    assert bench.sent == [commands.AnswerRequest(TRANSACTION, 404, headers=(("Event", "refer"),))]


def test_a_call_in_no_talk_refuses__behaviour_6() -> None:
    bench = Bench("<Response><Say>Hello</Say><Pause length='9'/></Response>", application=NUMBER)
    refer(bench, IN)
    assert answers(bench) == [404]


def test_a_call_that_rings_refuses__behaviour_6() -> None:
    bench = Bench(dial(TWO), application=NUMBER)
    refer(bench, IN)
    assert answers(bench) == [404]


@pytest.mark.parametrize("replaced", [None, IN, commands.SessionId("unknown")])
def test_a_dialog_that_cannot_be_met_refuses__behaviour_6(replaced: commands.SessionId | None) -> None:
    bench = talking()
    refer(bench, IN, replaced=replaced, replaces=Replaces("x", "1", "2"))
    assert answers(bench) == [404]
    bench.bye_from(IN)
    bench.run(5.0)
    assert len(bench.web.of("action")) == 1 and bench.web.requests[-1][1].url == ACTION


def test_a_recording_ends_with_the_talk__behaviour_7() -> None:
    from media import engine

    bench = talking(document=dial(ONE, 'record="true"'))
    stops: list[engine.Command] = []
    send = bench.engine.send

    def watch(command: engine.Command, now: float) -> None:
        stops.append(command)
        send(command, now)

    bench.engine.send = watch  # type: ignore[method-assign]
    refer(bench, IN)
    assert [type(one).__name__ for one in stops if isinstance(one, engine.StopRecord | engine.Unbridge)] == ["StopRecord", "Unbridge"]


@pytest.mark.parametrize("number", [NUMBER, Application("2222", VOICE)], ids=["rules over the number's", "alone"])
def test_a_dials_own_refer_document_is_asked__rcml_dial(number: Application) -> None:
    bench = talking(number, dial(ONE, 'referUrl="http://app/own"'))
    refer(bench, IN)
    bench.run(0.1)
    assert answers(bench) == [202]
    (request,) = [request for _, request in bench.web.requests if request.purpose == "refer"]
    assert (request.url, request.method, dict(request.parameters)["ReferTarget"]) == ("http://app/own", "POST", "dave")
