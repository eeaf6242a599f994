"""A phone behind a connection that only it can open: registers by it, and is called over it. Everything is written by hand."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from sip.message import Headers, Request, Response, build_message, parse_message
from tests.support.digest import answer_of


class TcpPhone:
    """It says it is at an address of its own network, where nobody reaches it."""

    def __init__(self, server: tuple[str, int], user: str, password: str, source: str = "127.0.0.9", patience_s: float = 20.0) -> None:
        self.server, self.user, self.password, self.source = server, user, password, source
        self._patience_s = patience_s
        self._cseq = 0

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self.server, local_addr=(self.source, 0))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)

    def send(self, message: Request | Response) -> None:
        self._writer.write(build_message(message))

    async def receive(self) -> Request | Response:
        """The next message that is no 100."""
        async with asyncio.timeout(self._patience_s):
            while True:
                head = await self._reader.readuntil(b"\r\n\r\n")
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
                message = parse_message(head + await self._reader.readexactly(length))
                if not isinstance(message, Response) or message.status != 100:
                    return message

    async def request(self, method: str, timeout_s: float | None = None) -> Request:
        """The next message, which must be this request."""
        message = await self.receive()
        assert isinstance(message, Request), message
        assert message.method == method
        return message

    async def register(self, expires: int = 600) -> Response:
        """The final answer, credentials given."""
        answer = await self._register(expires, None)
        if answer.status != 407:
            return answer
        challenge = answer.headers.get_all("Proxy-Authenticate")[0]
        return await self._register(expires, answer_of(challenge, self.user, self.password, "REGISTER", self._uri))

    @property
    def _uri(self) -> str:
        return f"sip:{self.server[0]}:{self.server[1]};transport=tcp"

    async def _register(self, expires: int, proof: str | None) -> Response:
        self._cseq += 1
        host, port = self._writer.get_extra_info("sockname")[:2]
        items = [
            ("Via", f"SIP/2.0/TCP 10.7.7.7:5060;branch=z9hG4bK{port}-{self._cseq};rport"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{self.user}@{self.server[0]}>;tag=phone"),
            ("To", f"<sip:{self.user}@{self.server[0]}>"),
            ("Call-ID", f"{host}-{port}"),
            ("CSeq", f"{self._cseq} REGISTER"),
            ("Contact", f"<sip:{self.user}@10.7.7.7:5060;transport=tcp>"),
            ("Expires", str(expires)),
            *([("Proxy-Authorization", proof)] if proof is not None else []),
        ]
        self.send(Request("REGISTER", self._uri, Headers(items)))
        answer = await self.receive()
        assert isinstance(answer, Response)
        return answer

    def answer(self, request: Request, status: int, body: bytes = b"") -> None:
        """One response to a request of the server's."""
        items = [("Via", value) for value in request.headers.get_all("Via")]
        to = request.headers.get("To") or ""
        items += [("From", request.headers.get("From") or ""), ("To", to if ";tag=" in to else f"{to};tag=phone")]
        items += [(name, request.headers.get(name) or "") for name in ("Call-ID", "CSeq")]
        items.append(("Contact", f"<sip:{self.user}@10.7.7.7:5060;transport=tcp>"))
        if body:
            items.append(("Content-Type", "application/sdp"))
        self.send(Response(status, "Because", Headers(items), body))
