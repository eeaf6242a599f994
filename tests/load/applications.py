"""A good application beside five that hang: does it notice?

    python -m tests.load.applications [--rate 10] [--seconds 15] [--what documents|events|audio|all] [--one-host] [--directory TREE]

Starts a server of its own on 127.0.83.x with six numbers, each of an application of its own, and calls them over UDP. First
the good application alone, then beside five that are as busy and well, then beside five whose documents, status callbacks or
audio files never come. Told are, of the good one: calls that did not get what its document says (486), and how long INVITE to
final response took. The goal: no failure, and the 99th percentile within 1.5 times the quiet one (a floor of 5 ms is put under
the quiet one, which is mostly scheduling). On a machine that does other things, look at the figure beside five that are well: what
more calls cost is in it too.

--one-host: all six applications are paths of one host. --directory: the tree whose server is run, for a figure of before.
Needs the media worker (DIALPLANE_MEDIA_PROGRAM, or as built by make).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import shutil
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import cast

SERVER, CALLER, GOOD, BAD = "127.0.83.1", "127.0.83.40", "127.0.83.2", "127.0.83.3"
HANGING = 5
FLOOR_MS = 5.0
WHATS = ("documents", "events", "audio")

CONFIG = """
[server]
state_dir = "{state}"
http_listen = "{server}:8090"
public_url = "http://{server}:8090"
log_level = "warning"
[sip]
listen = ["udp:{server}:5060"]
[http]
allow = ["127.0.0.0/8"]
[[trunks]]
name = "t"
allow = ["127.0.0.0/8"]
"""
NUMBER = """[[numbers]]
number = "{number}"
voice_url = "http://{host}:8080/{number}/voice"
"""
CALLBACK = 'status_callback = "http://{host}:8080/{number}/hang"\n'
SDP = "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


async def application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """`/<number>/voice` is the document of a number, `/.../hang...` never answers."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"(?im)^content-length:\s*(\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            path = head.split(" ")[1].partition("?")[0]
            if "hang" in path:
                await reader.read()  # until the other side gives up
                return
            number, host = path.split("/")[1], re.search(r"(?im)^host:\s*([^:\s]+)", head)
            document = '<Response><Reject reason="busy"/></Response>'
            if number.startswith("9"):  # of those whose audio hangs
                document = (
                    f"<Response><Play>http://{host[1] if host else BAD}:8080/{number}/hang-{secrets.token_hex(6)}.wav</Play></Response>"
                )
            body = document.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Callers(asyncio.DatagramProtocol):
    """All callers behind one socket; by Call-ID."""

    def __init__(self) -> None:
        self._finals: dict[str, asyncio.Future[tuple[int, float]]] = {}
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, source: tuple[str | int, ...]) -> None:
        head = data.decode("utf-8", "replace")
        first = head.partition("\r\n")[0]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])}
        if not first.startswith("SIP/2.0"):
            if first.startswith("BYE"):
                echo = "".join(f"{name}: {fields[name.lower()]}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq"))
                self._send(f"SIP/2.0 200 OK\r\n{echo}Content-Length: 0\r\n\r\n")
            return
        status, call_id = int(first.split(" ")[1]), fields["call-id"]
        if status < 200 or not fields["cseq"].endswith("INVITE"):
            return
        contact = re.search(r"<([^>]+)>", fields.get("contact", ""))
        branch = re.search(r"branch=([^;\s]+)", fields["via"])
        uri = contact[1] if contact and status < 300 else f"sip:x@{SERVER}"
        branch_id = branch[1] if branch and status >= 300 else f"z9hG4bK{secrets.token_hex(8)}"
        self._send(
            f"ACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER}:5060;branch={branch_id}\r\nMax-Forwards: 70\r\nFrom: {fields['from']}\r\n"
            f"To: {fields['to']}\r\nCall-ID: {call_id}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
        )
        final = self._finals.get(call_id)
        if final is not None and not final.done():
            final.set_result((status, self._loop.time()))

    async def call(self, number: str, patience_s: float) -> tuple[int, float]:
        """The final status, 0 for none, and the seconds until it came."""
        call_id, branch = secrets.token_hex(8), f"z9hG4bK{secrets.token_hex(8)}"
        body = SDP.format(ip=CALLER)
        final = self._finals[call_id] = self._loop.create_future()
        at = self._loop.time()
        self._send(
            f"INVITE sip:{number}@{SERVER} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER}:5060;branch={branch};rport\r\nMax-Forwards: 70\r\n"
            f"From: <sip:bob@{CALLER}>;tag={secrets.token_hex(4)}\r\nTo: <sip:{number}@{SERVER}>\r\n"
            f"Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:bob@{CALLER}:5060>\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        try:
            status, then = await asyncio.wait_for(final, patience_s)
            return status, then - at
        except TimeoutError:
            return 0, patience_s
        finally:
            del self._finals[call_id]

    def _send(self, text: str) -> None:
        self._transport.sendto(text.encode(), (SERVER, 5060))


async def at_rate(rate: float, seconds: float, begin: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for index in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, started + index / rate - loop.time()))
        begin(index)


async def phase(callers: Callers, rate: float, seconds: float, noise: list[str]) -> list[tuple[int, float]]:
    """The good application's calls; each number in `noise` is called as often."""
    good: list[asyncio.Task[tuple[int, float]]] = []
    others: list[asyncio.Task[tuple[int, float]]] = []

    numbers = ["1000", *noise]

    def begin(index: int) -> None:
        number = numbers[index % len(numbers)]  # one after another: calls that come together wait for each other in any case
        (others if index % len(numbers) else good).append(asyncio.create_task(callers.call(number, 10)))

    await at_rate(rate * len(numbers), seconds, begin)
    results = await asyncio.gather(*good)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return results


def told(name: str, results: list[tuple[int, float]]) -> tuple[int, float]:
    times = sorted(1000 * seconds for _, seconds in results)
    failed = sum(status != 486 for status, _ in results)
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    median = statistics.median(times)
    print(f"  {name:26} {len(times)} calls, {failed} failed, median {median:.1f} ms, p99 {p99:.1f} ms, longest {times[-1]:.1f} ms")
    return failed, p99


async def well(process: asyncio.subprocess.Process, log: Path) -> None:
    for _ in range(150):
        await asyncio.sleep(0.1)
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{SERVER}:8090/healthz", timeout=1).close())
            return
        except OSError:
            if process.returncode is not None:
                break
    raise RuntimeError("the server did not start: " + log.read_text(errors="replace")[-2000:])  # noqa: ASYNC240


async def measure(what: str, rate: float, seconds: float, one_host: bool, directory: Path) -> bool:
    bad = GOOD if one_host else BAD
    state = tempfile.mkdtemp(prefix="dialplane-load-")
    prefix = {"documents": "hang", "events": "8", "audio": "9"}[what]
    noise = [f"{prefix}{index}" for index in range(HANGING)]
    well_ones = [f"7{index}" for index in range(HANGING)]
    text = CONFIG.format(state=state, server=SERVER) + NUMBER.format(number="1000", host=GOOD)
    for number in well_ones:
        text += NUMBER.format(number=number, host=GOOD)
    for index, number in enumerate(noise):
        host = bad if one_host else f"127.0.83.{3 + index}"
        text += NUMBER.format(number=number, host=host) + (CALLBACK.format(host=host, number=number) if what == "events" else "")
    Path(state, "dialplane.toml").write_text(text)  # noqa: ASYNC240
    hosts = [GOOD] if one_host else [GOOD, *(f"127.0.83.{3 + index}" for index in range(HANGING))]
    servers = [await asyncio.start_server(application, host, 8080, backlog=1000) for host in hosts]
    log = open(Path(state, "log"), "wb")  # noqa: ASYNC230, SIM115
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "run", "--config", f"{state}/dialplane.toml"),
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(directory)},
        stdout=log,
        stderr=log,
    )
    transport = None
    try:
        await well(process, Path(state, "log"))
        transport, callers = await asyncio.get_running_loop().create_datagram_endpoint(Callers, local_addr=(CALLER, 5060))
        print(f"{what}, {'one host' if one_host else 'six hosts'}, {rate:g} calls a second to each number, {seconds:g} s")
        await phase(callers, rate, 2, [])  # warm
        _, quiet = told("alone", await phase(callers, rate, seconds, []))
        _, busy = told("beside five that are well", await phase(callers, rate, seconds, well_ones))
        failed, loud = told("beside five that hang", await phase(callers, rate, seconds, noise))
        ratio = loud / max(quiet, FLOOR_MS)
        good = failed == 0 and ratio <= 1.5
        against_busy = loud / max(busy, FLOOR_MS)
        verdict = "good" if good else "NOT GOOD"
        print(f"  {verdict}: {failed} failures, p99 {ratio:.2f} times the quiet one, {against_busy:.2f} times the busy one")
        return good
    finally:
        if transport is not None:
            transport.close()
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
        for server in servers:
            server.close()
        log.close()
        shutil.rmtree(state, ignore_errors=True)


def arguments_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A good application beside five that hang.")
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--what", choices=[*WHATS, "all"], default="all")
    parser.add_argument("--one-host", action="store_true")
    parser.add_argument("--directory", type=Path, default=Path(__file__).resolve().parents[2])
    return parser.parse_args()


async def main(arguments: argparse.Namespace) -> int:
    directory = arguments.directory.resolve()
    whats = WHATS if arguments.what == "all" else (arguments.what,)
    results = [await measure(what, arguments.rate, arguments.seconds, arguments.one_host, directory) for what in whats]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments_given())))
