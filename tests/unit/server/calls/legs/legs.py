"""Legs alone, without a call around them, in virtual time."""

from __future__ import annotations

import itertools
import random

from media import engine
from server.calls.destination import Destination, Placed
from server.calls.legs.inbound import Inbound
from server.calls.legs.leg import Leg
from server.calls.legs.media import CodecPreference
from server.calls.legs.outbound import Outbound
from server.calls.legs.party import Party
from server.calls.names import CALL, new_sid
from server.calls.outbox import Action, Outbox
from sip.core import commands, events, flows
from sip.message import Headers, Request, Response
from tests.support.descriptions import sdp
from tests.support.shell import policy


class Legs:
    """Makes them and hands them events; `said` is what came out since it was last asked for."""

    def __init__(self, **changes: object) -> None:
        self._rng = random.Random(1)
        self._numbers = itertools.count(1)
        self._ports = itertools.count(20_000, 2)
        self.policy = policy(self._rng, "192.0.2.1", **changes)

    def outbox(self) -> Outbox:
        return Outbox(self.policy, new_sid(self.policy, CALL), lambda: next(self._numbers), 100.0)

    def inbound(self, outbox: Outbox, offer: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Inbound:
        body = sdp("192.0.2.7") if offer is None else offer
        lines = [("From", "<sip:bob@192.0.2.7>;tag=1"), ("Call-ID", "call-1"), ("Content-Type", "application/sdp"), *headers]
        request = Request("INVITE", "sip:2222@192.0.2.1", Headers(lines), body)
        flow = flows.Flow("udp", flows.Address("192.0.2.1", 5060), flows.Address("192.0.2.7", 5060))
        invite = events.InviteReceived(commands.SessionId("in-1"), request, flow)
        inbound = Inbound(outbox, invite, Party.of_invite(request, use_to=True))
        inbound.receive_offer()
        return inbound

    def outbound(self, outbox: Outbox, *hosts: str) -> Outbound:
        places = [Destination(f"sip:x@{host}", host, "sip:s@192.0.2.1") for host in hosts or ("192.0.2.8",)]
        return Outbound(outbox, Placed(places, "bob", "x"), CodecPreference)

    def open(self, leg: Leg) -> None:
        """Its stream."""
        leg.media.open()
        port = next(self._ports)
        assert leg.media.opened(engine.Opened(stream=leg.sid, address="192.0.2.1", port=port, rtcp_port=port + 1))

    def talking(self, outbox: Outbox) -> tuple[Leg, Leg]:
        """Two legs that have been answered, and their media connected."""
        inbound, outbound = self.inbound(outbox), self.outbound(outbox)
        self.open(inbound.leg)
        inbound.answer(())
        inbound.acked(events.AnswerAcked(inbound.leg.session, b"", ""))
        self.open(outbound.leg)
        outbound.stream_opened()
        outbound.answered(events.InviteAnswered(outbound.leg.session, response(200, sdp("192.0.2.8"))))
        return inbound.leg, outbound.leg


def response(status: int, body: bytes = b"") -> Response:
    return Response(status, "", Headers([("Call-ID", "leg"), ("Content-Type", "application/sdp")]), body)


def bridging(actions: list[Action]) -> list[str]:
    """What became of bridges, in words."""
    said = []
    for action in actions:
        match action:
            case engine.Bridge():
                said.append(f"{action.first} + {action.second}")
            case engine.Unbridge():
                said.append(f"part {action.bridge}")
            case _:
                pass
    return said
