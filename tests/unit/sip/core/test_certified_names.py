"""Which name a certificate must have for a request of ours (RFC 5922 4): the domain of the URI, however its address was found."""

from __future__ import annotations

from sip.core.commands import SendBye
from sip.core.flows import Address, Flow, Listener, Target
from sip.message import Request
from tests.support.core import ANSWER, CALL, LISTENERS, OURS, Core, call, reply

SECURE = Address(OURS.host, 5061)
THERE = Address("192.0.2.88", 5061)


def secured() -> Core:
    return Core(listeners=[*LISTENERS, Listener("tls", SECURE, SECURE)])


def flow_of(core: Core, uri: str, *found: Target) -> Flow:
    core.do(call(request_uri=uri))
    if found:
        core.resolve(*found)
    (sent,) = core.sent()
    return sent.flow


def test_the_name_is_that_of_the_uri_and_not_of_what_dns_said__rfc5922_4() -> None:
    flow = flow_of(secured(), "sips:bob@Example.com", Target("tls", THERE))
    assert (flow.transport, flow.remote, flow.name) == ("tls", THERE, "example.com")


def test_maddr_says_where_and_not_who__rfc5922_4() -> None:
    flow = flow_of(secured(), "sip:bob@example.com;transport=tls;maddr=192.0.2.88")
    assert (flow.remote, flow.name) == (THERE, "example.com")


def test_an_address_is_its_own_name() -> None:
    assert flow_of(secured(), "sip:bob@192.0.2.88;transport=tls").name == ""


def test_what_is_not_secure_has_no_name() -> None:
    assert flow_of(secured(), "sip:bob@example.com", Target("udp", Address("192.0.2.88", 5060))).name == ""


def test_a_contact_that_is_an_address_is_known_by_the_name_of_the_dialog() -> None:
    """The certificate of a trunk names its domain, and its Contact mostly an address: a new connection is checked for the domain too."""
    core = secured()
    core.do(call(request_uri="sip:bob@example.com;transport=tls"))
    core.resolve(Target("tls", THERE))
    (sent,) = core.sent()
    opened = Flow("tls", Address(OURS.host, 40000), THERE, 5, "example.com")
    core.endpoint.connection_opened(opened, core.now)
    assert isinstance(sent.message, Request)
    core.give(reply(sent.message, 200, body=ANSWER, contact="<sip:bob@192.0.2.88:5061;transport=tls>"), opened)
    core.sent()
    core.lose(opened)
    core.do(SendBye(CALL))
    (bye,) = core.sent()
    assert (bye.flow.remote, bye.flow.connection, bye.flow.name) == (THERE, 0, "example.com")
