"""RFC 4475 through the whole core: what a peer that sends these messages gets back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sip.core.endpoint import Endpoint
from sip.core.events import Dropped, InviteReceived
from sip.core.flows import Address, Flow, Listener, Transmit
from sip.message import MessageError, parse_message
from sip.settings import SipSettings

TORTURE = Path(__file__).parents[2] / "vectors" / "sip" / "torture"
MANIFEST: dict[str, dict[str, Any]] = tomllib.loads((TORTURE / "manifest.toml").read_text(encoding="utf-8"))
HERE, THERE = Address("192.0.2.200", 5060), Address("192.0.2.1", 5060)


def cases(parser: str) -> list[str]:
    return [name for name, entry in MANIFEST.items() if entry["parser"] == parser]


def outcome(data: bytes) -> str | int:
    """The status of the final answer; "call" or "drop" without one."""
    serial = iter(range(1, 1 << 20))
    endpoint = Endpoint(
        SipSettings(), (Listener("udp", HERE, HERE), Listener("tcp", HERE, HERE)), lambda size: next(serial).to_bytes(size, "big")
    )
    outputs = endpoint.receive(data, Flow("udp", HERE, THERE), 0.0)
    # Read by hand: the refusal of a broken field repeats it as it came.
    statuses = [int(output.data[8:11]) for output in outputs if isinstance(output, Transmit)]
    finals = [status for status in statuses if status >= 200]
    if finals:
        [status] = finals
        return status
    if any(isinstance(output, InviteReceived) for output in outputs):
        return "call"
    assert any(isinstance(output, Dropped) for output in outputs)
    return "drop"


@pytest.mark.parametrize("name", cases("accept"))
def test_accepted_message_is_answered_as_the_manifest_says__rfc4475(name: str) -> None:
    assert outcome((TORTURE / f"{name}.dat").read_bytes()) == MANIFEST[name]["core"]


@pytest.mark.parametrize("name", cases("refuse"))
def test_refused_request_is_answered_and_refused_response_dropped__rfc4475(name: str) -> None:
    data = (TORTURE / f"{name}.dat").read_bytes()
    with pytest.raises(MessageError) as caught:
        parse_message(data)
    partial = caught.value.partial
    answerable = partial is not None and all(field in partial.headers for field in ("Via", "From", "To", "Call-ID", "CSeq"))
    assert outcome(data) == (MANIFEST[name]["status"] if answerable else "drop")
