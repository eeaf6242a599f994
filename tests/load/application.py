"""The application of `tests.load.calls`: the least that answers HTTP. `python -m tests.load.application PORT URI`.

`/action` is answered with an empty document, everything else with a Dial of URI that asks `/action`. A process of its own, so that
its time is not the server's. What it served is a line of JSON on standard output when it is told to end (SIGTERM).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

LENGTH = b"content-length:"
END = b"\r\n\r\n"


def answer(document: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>{document}</Response>'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One kept connection; requests may come in one piece or in several."""

    def __init__(self, served: dict[str, int], dial: bytes, done: bytes) -> None:
        self._served, self._dial, self._done = served, dial, done
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(END)) >= 0:
            head = self._waiting[:end]
            lower = head.lower()
            begin = lower.find(LENGTH)
            length = int(lower[begin + len(LENGTH) :].split(b"\r\n", 1)[0]) if begin >= 0 else 0
            if len(self._waiting) < end + len(END) + length:
                return
            self._waiting = self._waiting[end + len(END) + length :]
            last = b"/action" in head.split(b"\r\n", 1)[0]
            self._served["actions" if last else "documents"] += 1
            self._transport.write(self._done if last else self._dial)


async def serve(port: int, uri: str) -> None:
    served = {"documents": 0, "actions": 0}
    dial, done = answer(f'<Dial action="/action"><Sip>{uri}</Sip></Dial>'), answer("")
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Connection(served, dial, done), "127.0.0.1", port)
    await stop.wait()
    server.close()
    print(json.dumps(served), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
