"""What many registered phones cost a running server: `python -m tests.load.registrations [clients]` (make bench-registrations).

Registers `clients` (20000) phones by UDP, each challenged and proved, and has all of them register once more, as they do within one expiry.
Prints the memory of the control process before and after, and its CPU time for a phone; then the same after a restart. The exit status is 1
when one of them was not registered or not kept, or the idle server is above 200 MB.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import cast

from sip.message import Headers, Request, Response, build_message, parse_message
from tests.load.measure import cpu_s, rss_kib
from tests.support.digest import answer_of
from tests.support.server import ServerProcess, serving

AT_ONCE = 100  # phones that wait for an answer
PATIENCE_S = 2.0
MOST_MB = 200
SETTINGS = '\n[registrar]\nping_s = 0\nalgorithms = ["MD5"]\n'


def client(number: int) -> str:
    digest = hashlib.md5(f"c{number}:dialplane:secret-{number}".encode()).hexdigest()
    return f'\n[[clients]]\nname = "c{number}"\nha1_md5 = "{digest}"\n'


class Phones(asyncio.DatagramProtocol):
    """All of them behind one socket, by their numbers."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._waiting: dict[int, asyncio.Future[Response]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = parse_message(data)
        if isinstance(message, Response):
            waiting = self._waiting.pop(int((message.headers.get("Call-ID") or "0").partition("-")[0]), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    async def register(self, number: int, cseq: int) -> bool:
        answer = await self._ask(number, cseq, None)
        if answer is not None and answer.status == 407:
            challenge = answer.headers.get_all("Proxy-Authenticate")[0]
            proof = answer_of(challenge, f"c{number}", f"secret-{number}", "REGISTER", "sip:127.0.0.1")
            answer = await self._ask(number, cseq + 1, proof)
        return answer is not None and answer.status == 200

    async def _ask(self, number: int, cseq: int, proof: str | None) -> Response | None:
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        items = [
            ("Via", f"SIP/2.0/UDP {host};branch=z9hG4bK{number}-{cseq};rport"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:c{number}@127.0.0.1>;tag=t{number}"),
            ("To", f"<sip:c{number}@127.0.0.1>"),
            ("Call-ID", f"{number}-load"),
            ("CSeq", f"{cseq} REGISTER"),
            ("Contact", f'<sip:c{number}@{host}:5060>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-{number:012x}>"'),
            ("Expires", "3600"),
            ("User-Agent", "A telephone of some maker/12.34.56"),
            *([("Proxy-Authorization", proof)] if proof is not None else []),
        ]
        data = build_message(Request("REGISTER", "sip:127.0.0.1", Headers(items)))
        for _ in range(5):
            waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
            self._transport.sendto(data, self._server)
            try:
                return await asyncio.wait_for(waiting, PATIENCE_S)
            except TimeoutError:
                continue
        return None


async def everybody(phones: Phones, count: int, cseq: int) -> int:
    """How many are registered."""
    numbers, done = deque(range(count)), 0

    async def some() -> None:
        nonlocal done
        while numbers:
            good = await phones.register(numbers.popleft(), cseq)
            done += good  # not in one line: others count meanwhile

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return done


async def measure(server: ServerProcess, count: int) -> bool:
    loop, pid = asyncio.get_running_loop(), server.process.pid
    transport, phones = await loop.create_datagram_endpoint(lambda: Phones(("127.0.0.1", server.sip_port)), local_addr=("127.0.0.1", 0))
    print(f"{count} clients in the configuration: {rss_kib(pid) / 1024:.0f} MiB")
    good = True
    for what, cseq in (("registered", 1), ("registered again", 11)):
        began, before = time.monotonic(), cpu_s(pid)
        done = await everybody(phones, count, cseq)
        took, spent = time.monotonic() - began, cpu_s(pid) - before
        print(f"{done} {what} in {took:.0f} s: {spent / count * 1000:.2f} ms of CPU each, {rss_kib(pid) / 1024:.0f} MiB")
        good = good and done == count
    await asyncio.sleep(40)  # transactions are over, and all is written
    print(f"idle after that rush: {rss_kib(pid) * 1024 / 1e6:.0f} MB, {kept(server)} registrations, {server.health()[1].get('storage')}")
    transport.close()
    await asyncio.to_thread(server.stop)
    began = time.monotonic()
    await asyncio.to_thread(server.start)
    megabytes = rss_kib(server.process.pid) * 1024 / 1e6
    print(f"idle after a restart, which took {time.monotonic() - began:.1f} s: {megabytes:.0f} MB, {kept(server)} registrations")
    return good and megabytes <= MOST_MB and kept(server) == count


def kept(server: ServerProcess) -> int:
    _, body = server.get("/metrics")
    found = re.search(rb"^dialplane_registrations (\S+)$", body, re.MULTILINE)
    return int(float(found[1])) if found else -1


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as directory:
        extra = SETTINGS + "".join(map(client, range(count)))
        with serving(ServerProcess(Path(directory) / "server", extra=extra)) as server:
            return 0 if asyncio.run(measure(server, count)) else 1


if __name__ == "__main__":
    sys.exit(main())
