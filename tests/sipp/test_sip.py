"""SIP itself: transports, offers, and what is refused and how (behaviour 0.5, 1.1, 1.3)."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.sipp.test_media import talk_both_ways
from tests.support.app import nothing, rcml
from tests.support.scene import Scene
from tests.support.server import NEVER, ServerProcess

pytestmark = pytest.mark.sipp

REJECT = rcml("<Reject reason='busy'/>")
PAIRS = [
    ("127.0.0.1", "tcp", "127.0.0.1", "udp"),
    ("127.0.0.1", "udp", "127.0.0.1", "tcp"),
    ("::1", "udp", "::1", "udp"),
    ("::1", "tcp", "::1", "tcp"),
    ("::1", "udp", "127.0.0.1", "udp"),
    ("127.0.0.1", "udp", "::1", "udp"),
]


@pytest.mark.parametrize(
    ("near", "near_transport", "far", "far_transport"), PAIRS, ids=["-".join(p).replace("127.0.0.1", "v4") for p in PAIRS]
)
@pytest.mark.parametrize("by", ["caller", "callee"])
async def test_legs_of_any_transport_and_family_are_joined__issue_sip(
    scene: Scene, near: str, near_transport: str, far: str, far_transport: str, by: str
) -> None:
    callee = await scene.called("callee_waits" if by == "caller" else "callee_hangs_up", host=far, transport=far_transport, talk_ms=2600)
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up" if by == "caller" else "caller_waits", host=near, transport=near_transport, talk_ms=2600)
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]


async def test_an_invite_without_sdp_is_a_late_offer__behaviour_0_5(scene: Scene) -> None:
    """Our offer in the 200, the answer in the ACK, also under answer delay."""
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_offers_late", talk_ms=3000)
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]


async def test_sdp_in_a_multipart_body_is_found__behaviour_1_1(scene: Scene) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_sends_multipart", talk_ms=3000)
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)


async def test_a_body_that_is_announced_as_sdp_and_is_none_is_400__behaviour_0_5(scene: Scene) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected_broken_sdp")
    await scene.through(caller)
    assert caller.statuses() == [400]
    assert scene.app.requests == []


async def test_an_announced_body_of_no_octet_is_none_and_the_offer_is_ours__rfc3261_13_2_1(scene: Scene) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected_without_sdp_text")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]
    assert [request.path for request in scene.app.requests] == ["/voice"]


async def test_no_common_codec_is_488_with_a_warning__behaviour_0_5(scene: Scene) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected", payloads="3")
    await scene.through(caller)
    assert caller.statuses() == [488]
    assert caller.first("SIP/2.0 488").header("Warning").startswith("305 ")
    assert scene.app.requests == []


async def test_a_stranger_is_refused_and_the_log_says_what_to_set__issue_sip(scene: Scene) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected", source="127.0.0.9")
    await scene.through(caller)
    assert caller.statuses() == [403]
    assert scene.app.requests == []
    line = next(line for line in scene.server.log(20_000).splitlines() if "call_refused" in line and "127.0.0.9" in line)
    assert "403" in line
    assert "add" in line and "127.0.0.9/32" in line and "allow of one of the [[trunks]]" in line


async def test_an_unknown_number_is_404__behaviour_1_3(scene: Scene) -> None:
    caller = await scene.calling("caller_rejected", NEVER)
    await scene.through(caller)
    assert caller.statuses() == [404]
    assert scene.app.requests == []


async def test_options_is_answered_with_what_we_can__behaviour_1_1(scene: Scene) -> None:
    caller = await scene.calling("caller_asks_options")
    await scene.through(caller)
    answer = caller.first("SIP/2.0 200")
    assert "INVITE" in answer.header("Allow")
    assert "application/sdp" in answer.header("Accept")


async def test_a_call_with_no_answerable_document_leaves_nothing__behaviour_1_9(scene: Scene) -> None:
    scene.app.answer("/voice", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    await asyncio.to_thread(scene.server.wait_idle, 3.0, ("sip_",))


# --- by hand: what no phone would send ----------------------------------------------------------------------------------


def request(
    method: str, uri: str, *headers: str, tag: str = "", call_id: str = "by-hand", branch: str = "z9hG4bKhand", body: str = ""
) -> bytes:
    to = "To: <sip:x@127.0.0.1>" + (f";tag={tag}" if tag else "")
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:1;branch={branch}{method};rport",
        "From: <sip:tester@127.0.0.1>;tag=hand",
        to,
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        "Max-Forwards: 70",
        "Contact: <sip:tester@127.0.0.1>",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def ask(server: ServerProcess, data: bytes, timeout_s: float = 2.0) -> str:
    """Send one datagram; the first final response, or "" when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(timeout_s)
        sock.sendto(data, ("127.0.0.1", server.sip_port))
        try:
            while True:
                answer = sock.recv(65536).decode()
                if not answer.startswith("SIP/2.0 1"):
                    return answer
        except TimeoutError:
            return ""


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE"])
async def test_a_request_in_no_known_dialog_is_481__behaviour_1_1(scene: Scene, method: str) -> None:
    data = request(method, f"sip:x@127.0.0.1:{scene.server.sip_port}", tag="unknown", call_id=f"no-dialog-{method}")
    assert (await asyncio.to_thread(ask, scene.server, data)).startswith("SIP/2.0 481 ")
    if method == "INVITE":
        ask(scene.server, request("ACK", f"sip:x@127.0.0.1:{scene.server.sip_port}", tag="unknown", call_id=f"no-dialog-{method}"), 0.1)


@pytest.mark.parametrize(
    ("data", "status", "header"),
    [
        (request("SUBSCRIBE", "sip:x@127.0.0.1", call_id="405"), "405", "Allow: "),
        (request("OPTIONS", "sip:x@127.0.0.1", "Require: clairvoyance", call_id="420"), "420", "Unsupported: clairvoyance"),
        (request("OPTIONS", "gopher:x@127.0.0.1", call_id="416"), "416", ""),
        (request("CANCEL", "sip:x@127.0.0.1", call_id="481"), "481", ""),
        (request("OPTIONS", "sip:x@127.0.0.1", call_id="400").replace(b"Content-Length: 0", b"Content-Length: 99"), "400", ""),
        (request("OPTIONS", "sip:x@127.0.0.1", call_id="505").replace(b" SIP/2.0\r\n", b" SIP/3.0\r\n", 1), "505", ""),
    ],
    ids=["405", "420", "416", "481", "400", "505"],
)
async def test_what_is_wrong_is_told_as_the_rfc_says__trap_23(scene: Scene, data: bytes, status: str, header: str) -> None:
    answer = await asyncio.to_thread(ask, scene.server, data)
    assert answer.startswith(f"SIP/2.0 {status} "), answer
    assert header in answer


async def test_any_bytes_leave_the_server_running__issue_bad_input(scene: Scene) -> None:
    rubbish = [
        b"",
        b"\x00" * 1400,
        b"\r\n\r\n",
        b"INVITE",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
        bytes(range(256)) * 8,
        request("INVITE", "sip:x@127.0.0.1", call_id="cut")[:150],
        request("OPTIONS", "sip:x@127.0.0.1", "X-Long: " + "a" * 60_000, call_id="long"),
        request("OPTIONS", "sip:x@127.0.0.1", *["Via: SIP/2.0/UDP 127.0.0.1"] * 900, call_id="vias"),
        request("OPTIONS", "sip:x@127.0.0.1", call_id="length").replace(b"Content-Length: 0", b"Content-Length: 4294967296"),
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKnothing\r\nCSeq: 1 INVITE\r\n\r\n",
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for data in rubbish:
            sock.sendto(data, ("127.0.0.1", scene.server.sip_port))
    for data in rubbish:
        with socket.create_connection(("127.0.0.1", scene.server.sip_port)) as stream:
            stream.sendall(data)
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]


async def test_a_flood_of_strangers_gets_no_more_than_a_few_small_answers_and_takes_nothing_from_calls(scene: Scene) -> None:
    scene.app.answer("/voice", REJECT)
    asked = [
        f"INVITE sip:1@a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK{number};rport\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:1@a>\r\n"
        f"Call-ID: flood-{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@a>\r\n\r\n".encode()
        for number in range(300)
    ]
    before = scene.server.health()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.66", 0))
        stranger.setblocking(False)
        for data in asked:
            stranger.sendto(data, ("127.0.0.1", scene.server.sip_port))
        caller = await scene.calling("caller_rejected")
        await scene.through(caller)
        assert caller.statuses() == [180, 486]
        await asyncio.sleep(2.5)  # timer G would have spoken by now
        answers = []
        with contextlib.suppress(BlockingIOError):
            while True:
                answers.append(stranger.recv(65536))
    assert 1 <= len(answers) <= 20
    assert all(answer.startswith(b"SIP/2.0 403 ") and len(answer) <= 1.6 * len(asked[0]) for answer in answers)
    assert all(b"Server:" not in answer and b"dialplane" not in answer for answer in answers)
    assert scene.server.health()[1].get("sip_sessions") == before.get("sip_sessions")
    log = scene.server.log(100_000)
    assert "stranger_banned" in log and "127.0.0.66" in log
    metrics = scene.server.get("/metrics")[1].decode()
    assert 'dialplane_sip_strangers_total{what="banned"} 1' in metrics
