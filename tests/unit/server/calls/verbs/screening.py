"""Calls whose called party is asked by a document before it is connected (behaviour 2.5)."""

from __future__ import annotations

from sip.core import commands, events
from tests.support.virtual import Page
from tests.unit.server.calls.bench import ACTION, Bench, dial

SCREEN = "http://app/screen"
ALICE = '<Sip url="/screen">sip:alice@192.0.2.8</Sip>'
CAROL = '<Sip url="/screen">sip:carol@192.0.2.10</Sip>'
ACCEPTS = "<Response><Say>A call for you.</Say></Response>"
DECLINES = "<Response><Say>Nobody wants this.</Say><Hangup/></Response>"


def screened(nouns: str = ALICE, page: str | Page = ACCEPTS, attributes: str = f'action="{ACTION}"', after: str = "") -> Bench:
    def before(bench: Bench) -> None:
        bench.web.pages[SCREEN] = page

    return Bench(dial(nouns, attributes, after), before=before)


def told(bench: Bench) -> tuple[str, str, str | None]:
    """What the action hears of the Dial."""
    (action,) = [dict(request.parameters) for _, request in bench.web.requests if request.url == ACTION]
    return action["DialCallStatus"], action["DialCallDuration"], action.get("FailureReason")


def rests(bench: Bench) -> None:
    """The call is over, and nothing of it lives once all peers have answered."""
    bench.run(4.0)
    ended = {sent.session: sent for sent in bench.sent if isinstance(sent, commands.SendCancel | commands.SendBye | commands.SendReject)}
    for session, sent in ended.items():
        match sent:
            case commands.SendCancel():
                bench.give(events.InviteFailed(session, events.FailureCause.CANCELED, None))
            case commands.SendBye():
                bench.give(events.SessionEnded(session, events.EndCause.BYE_ANSWERED))
            case commands.SendReject():
                bench.give(events.SessionEnded(session, events.EndCause.REJECTED))
    bench.run(90.0)
    assert not any(bench.registry.counts().values())
    assert bench.engine.empty and bench.engine.complaints == []
    assert len({record.sid for record in bench.records}) == len(bench.records)
