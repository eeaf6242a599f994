"""What devices and applications of the field send, on the wire: octet for octet, by a caller that is written by hand."""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import wave
from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.support.app import Answer, Application, audio, closed_at_once, rcml, redirect
from tests.support.fixtures import LINGERING
from tests.support.server import PLAIN, ServerProcess

pytestmark = pytest.mark.sipp

BUSY = rcml("<Reject reason='busy'/>")
DOCUMENT = b"<Response><Reject reason='busy'/></Response>"
AUDIO = "m=audio 49170 RTP/AVP 0"


def sdp(*media: str, version: int = 1) -> str:
    lines = ["v=0", f"o=- 1 {version} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", *media]
    return "".join(f"{line}\r\n" for line in lines)


class Caller(asyncio.DatagramProtocol):
    """One call over UDP. `ask` sends a request and gives its final response as (status, text)."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._finals: dict[str, asyncio.Future[tuple[int, str]]] = {}
        self.call_id, self.from_tag = secrets.token_hex(8), secrets.token_hex(4)
        self.to = f"<sip:{PLAIN}@127.0.0.1>"
        self._cseq = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: tuple[str | int, ...]) -> None:
        text = data.decode("utf-8", "replace")
        if not text.startswith("SIP/2.0"):
            return
        status = int(text.split(" ")[1])
        cseq = field(text, "CSeq")
        final = self._finals.get(cseq)
        if status >= 200 and final is not None and not final.done():
            if cseq.endswith("INVITE"):
                self.to = field(text, "To")
                self._send("ACK", cseq.split()[0], re.search(r"branch=([^;\s]+)", field(text, "Via"))[1] if status >= 300 else "")  # type: ignore[index]
            final.set_result((status, text))

    async def ask(
        self, method: str, body: str = "", *lines: str, end: str = "\r\n\r\n", content_type: str = "application/sdp"
    ) -> tuple[int, str]:
        self._cseq += 1
        final = self._finals[f"{self._cseq} {method}"] = self._loop.create_future()
        extra = [*lines, *([f"Content-Type: {content_type}"] if body or "INVITE" in method else [])]
        self._send(method, str(self._cseq), "", *extra, body=body, end=end)
        return await asyncio.wait_for(final, 10)

    def _send(self, method: str, cseq: str, branch: str, *lines: str, body: str = "", end: str = "\r\n\r\n") -> None:
        host, port = self.transport.get_extra_info("sockname")
        head = [
            f"{method} sip:{PLAIN}@127.0.0.1:{self._server.sip_port} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch={branch or 'z9hG4bK' + secrets.token_hex(8)};rport",
            "Max-Forwards: 70",
            f"From: <sip:bob@{host}>;tag={self.from_tag}",
            f"To: {self.to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:bob@{host}:{port}>",
            *lines,
            f"Content-Length: {len(body)}",
        ]
        self.transport.sendto(("\r\n".join(head) + end + body).encode(), ("127.0.0.1", self._server.sip_port))


def field(text: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}:\s*(.*?)\s*$", text)
    return found[1] if found else ""


@pytest.fixture
async def callers(server: ServerProcess, app: Application) -> AsyncIterator[list[Caller]]:
    """Three calls to be made. The application stays until nothing of them lives, so that no request reaches the next test's."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_datagram_endpoint(lambda: Caller(server), local_addr=("127.0.0.1", 0)) for _ in range(3)]
    yield [caller for _, caller in made]
    for transport, _ in made:
        transport.close()
    await asyncio.to_thread(server.wait_idle, 8.0, LINGERING)


def tone() -> Answer:
    octets = io.BytesIO()
    with wave.open(octets, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(8000)
        output.writeframes(bytes(1600))
    return audio(octets.getvalue())


# --- the application ----------------------------------------------------------------------------------------------


async def test_request_that_met_a_dying_connection_is_asked_again_with_its_id__rfc9112_9_3_1(
    app: Application, callers: list[Caller]
) -> None:
    app.answer("/voice", BUSY, closed_at_once, BUSY)
    statuses = [(await caller.ask("INVITE", sdp(AUDIO)))[0] for caller in callers[:2]]
    assert statuses == [486, 486]
    first, lost, again = app.asked_for("/voice")
    assert lost.form == again.form
    for name in ("Idempotency-Key", "I-Twilio-Idempotency-Token"):
        ids = [dict(asked.headers)[name] for asked in (first, lost, again)]
        assert ids[1] == ids[2] != ids[0]


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(DOCUMENT, content_type=f"text/xml; charset={name}") for name in ("utf8mb4", "ansi", "utf-8,utf-8")),
        Answer(DOCUMENT, headers=(("Content-Security-Policy", "a" * 12_000),)),
        Answer(DOCUMENT, headers=tuple((f"X-{number}", "a") for number in range(300))),
    ],
    ids=["utf8mb4", "ansi", "twice", "long-field", "many-fields"],
)
async def test_what_frameworks_send_is_served__rfc9110_5_4_rfc7303_3(app: Application, callers: list[Caller], answer: Answer) -> None:
    app.answer("/voice", answer)
    assert (await callers[0].ask("INVITE", sdp(AUDIO)))[0] == 486


async def test_location_with_a_blank_is_followed__rfc9110_10_2_2(app: Application, callers: list[Caller]) -> None:
    app.answer("/voice", redirect("/step two?name=John Smith"))
    app.answer("/step two", BUSY)
    assert (await callers[0].ask("INVITE", sdp(AUDIO)))[0] == 486
    assert dict(app.asked_for("/step two")[0].query) == {"name": "John Smith"}


async def test_cookies_are_kept_for_a_call_and_for_no_other__rfc6265(app: Application, callers: list[Caller]) -> None:
    app.answer("/voice", Answer(b"<Response><Redirect>/next</Redirect></Response>", headers=(("Set-Cookie", "session=7; Path=/"),)))
    app.answer("/next", BUSY)
    for caller in callers[:2]:
        assert (await caller.ask("INVITE", sdp(AUDIO)))[0] == 486
    assert [dict(asked.headers).get("Cookie") for asked in app.asked_for("/next")] == ["session=7", "session=7"]
    assert [dict(asked.headers).get("Cookie") for asked in app.asked_for("/voice")] == [None, None]


# --- the phone ----------------------------------------------------------------------------------------------------


async def test_announced_description_of_no_octets_is_a_late_offer__rfc3261_20_15(app: Application, callers: list[Caller]) -> None:
    app.answer("/voice", BUSY)
    assert (await callers[0].ask("INVITE", ""))[0] == 486


async def test_foreign_network_is_refused_with_a_warning_that_is_true__rfc3261_20_43(app: Application, callers: list[Caller]) -> None:
    status, text = await callers[0].ask("INVITE", sdp(AUDIO, "c=XX IP4 127.0.0.1"))
    assert status == 488
    assert 'Network XX is not available, IN is"' in field(text, "Warning")
    assert field(text, "Warning").startswith("300 ")


async def test_session_outlives_fax_and_junk_and_ends_by_a_bye_without_its_last_line__rfc3264_6_rfc3261_8_2(
    app: Application, callers: list[Caller]
) -> None:
    app.answer("/voice", rcml("<Play>/t.wav</Play><Pause length='30'/>"))
    app.answer("/t.wav", tone())
    caller = callers[0]
    assert (await caller.ask("INVITE", sdp(AUDIO)))[0] == 200
    await app.asked("/t.wav")
    fax = ("m=audio 0 RTP/AVP 0", "m=image 40002 udptl t38", "a=T38FaxVersion:0")
    assert (await caller.ask("INVITE", sdp(*fax, version=2)))[0] == 488
    status, text = await caller.ask("INVITE", sdp(AUDIO, "m=video 0 RTP/AVP 31", version=3))
    assert status == 200
    assert re.findall(r"(?m)^m=(\w+) (\d+)", text)[1] == ("video", "0")
    status, text = await caller.ask("INVITE", sdp(AUDIO, version=4))
    assert status == 488, "a line is missing"
    assert field(text, "Warning").startswith("304 ")
    assert (await caller.ask("INFO", "", "this line has no colon"))[0] == 200
    assert (await caller.ask("BYE", "", "junk", end="\r\n"))[0] == 200
