"""Phones played by SIPp: one process a phone, one call each, bounded in time, with every message it saw.

The scenarios stand in `tests/sipp/scenarios`. They decide the flow, so an unexpected message fails the phone; which codes and
headers came is left to the test, which reads `Phone.messages`. SIPp speaks no RTP here: an `RtpEndpoint` does, whose port
the scenario writes into its SDP and which is sent towards the address that the scenario finds in the other side's SDP.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.support.pace import PACE
from tests.support.ports import free_port
from tests.support.rtp import RtpEndpoint

SCENARIOS = Path(__file__).parent.parent / "sipp" / "scenarios"
_SEPARATOR = re.compile(r"^-{20,} ?(\d{4}-\d\d-\d\d[\sT]\d\d:\d\d:\d\d\.\d+).*\n", re.MULTILINE)
_TRANSFER = re.compile(r"(?:UDP|TCP|TLS) message (sent|received) .*?:\n\n", re.DOTALL)


class SippFailed(AssertionError):
    """A scenario did not go as written; the text holds SIPp's complaint and the messages."""


@dataclass(frozen=True, slots=True)
class SippMessage:
    """One SIP message as SIPp saw it."""

    received: bool  # by SIPp; else sent by it
    text: str
    at: float = 0.0  # wall time, seconds

    @property
    def start_line(self) -> str:
        return self.text.split("\n", 1)[0].strip()

    @property
    def status(self) -> int:
        """The response's status, 0 for a request."""
        words = self.start_line.split(" ", 2)
        return int(words[1]) if words[0] == "SIP/2.0" else 0

    @property
    def method(self) -> str:
        """A request's method; for a response, that of its CSeq."""
        if not self.status:
            return self.start_line.split(" ", 1)[0]
        return self.header("CSeq").split()[-1]

    def headers(self, name: str) -> list[str]:
        """Every value of a header field, in order; names compare without case, long form only."""
        head = self.text.split("\n\n", 1)[0]
        found = (line.split(":", 1) for line in head.split("\n")[1:] if ":" in line)
        return [value.strip() for key, value in found if key.strip().lower() == name.lower()]

    def header(self, name: str) -> str:
        """The first value of a header field, "" when there is none."""
        return next(iter(self.headers(name)), "")

    @property
    def body(self) -> str:
        return self.text.partition("\n\n")[2]

    def __str__(self) -> str:
        return f"{'<-' if self.received else '->'} {self.start_line}"


def port_in_use(table: Path, port: int) -> bool:
    """Whether one of the kernel's socket tables (`/proc/net/udp` and its like) has the local port."""
    return any(line.split()[1].endswith(f":{port:04X}") for line in table.read_text().splitlines()[1:])


@dataclass(slots=True)
class Phone:
    """A SIPp process that plays one scenario once; also a context manager, which ends it in any case.

    scenario: name of a file in `tests/sipp/scenarios`. A caller names the `remote` server, a called party does not.
    keys: the scenario's [words]; those that most scenarios want have defaults below.
    """

    scenario: str
    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    remote: tuple[str, int] | None = None
    transport: str = "udp"
    keys: dict[str, str | int] = field(default_factory=dict)
    rtp: RtpEndpoint | None = None
    timeout_s: float = 30.0
    _process: asyncio.subprocess.Process | None = None
    _output: bytes = b""
    _watcher: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`host:port` as it stands in a URI."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """Where this phone is called."""
        return f"sip:called@{self.address}" + (";transport=tcp" if self.transport == "tcp" else "")

    async def __aenter__(self) -> Phone:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.kill()

    # --- running ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process; a called party is listening when this returns."""
        self.port = self.port or free_port(self.host)
        self.directory.mkdir(parents=True, exist_ok=True)
        command = ["sipp", "-sf", str(SCENARIOS / f"{self.scenario}.xml"), "-m", "1", "-l", "1", "-nostdin", "-skip_rlimit"]
        command += ["-i", self.host, "-p", str(self.port), "-cp", str(free_port("127.0.0.1"))]
        command += ["-mi", self.host, "-mp", str(free_port(self.host, neighbours=3))]  # it opens them, though it has no voice here
        command += ["-t", {"udp": "u1", "tcp": "t1"}[self.transport], "-timeout", f"{int(self.timeout_s)}s", "-timeout_error"]
        command += ["-trace_msg", "-message_file", str(self._file("messages")), "-trace_err", "-error_file", str(self._file("errors"))]
        command += ["-reconnect_close", "false", "-trace_logs", "-log_file", str(self._file("log")), "-watchdog_interval", "0"]
        defaults: dict[str, str | int] = {"caller": "bob", "who": "sipp", "payloads": "0 8", "rtp_port": self.rtp.port if self.rtp else 9}
        defaults |= {"ring_ms": 300, "talk_ms": 2000, "hold_ms": 1500, "rest_ms": 1500, "late_ms": 0, "silent_ms": 5000}
        if "password" in self.keys:
            command += ["-au", str(self.keys["user"]), "-ap", str(self.keys["password"])]  # no key may stand in [authentication]
        for key, value in (defaults | self.keys).items():
            command += ["-key", key, str(value)]
        if self.remote is not None:
            host, port = self.remote
            command.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        PACE.watch(self._process.pid, "SIPp")
        if self.remote is None:
            await self._listening()
        if self.rtp is not None:
            self._watcher = asyncio.create_task(self._follow_media(self.rtp))

    async def wait(self) -> Phone:
        """Until the scenario is through.

        Raises:
            SippFailed: it did not go as written, or not in time.
        """
        process = self._running()
        _, self._output = await process.communicate()
        await self._stop_watcher()
        if process.returncode != 0:
            raise SippFailed(self.explain())
        return self

    async def kill(self) -> None:
        """End the process, if it still runs."""
        await self._stop_watcher()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()

    async def until(self, start_line: str, *, occurrence: int = 1, received: bool | None = None, timeout_s: float = 20.0) -> SippMessage:
        """Wait for the n-th different message whose start line begins so, sent or received.

        Raises:
            SippFailed: it did not come, or the scenario ended badly before.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            every = [m for m in self.messages if m.start_line.startswith(start_line) and received in (None, m.received)]
            found = list({m.text: m for m in every}.values())
            if len(found) >= occurrence:
                return found[occurrence - 1]
            if asyncio.get_running_loop().time() > deadline or self._running().returncode not in (None, 0):
                raise SippFailed(f"{self.scenario}: no {start_line!r}\n{self.explain()}")
            await asyncio.sleep(0.02)

    # --- what it saw ------------------------------------------------------------------------------------------------

    @property
    def messages(self) -> list[SippMessage]:
        """All messages so far, in order, retransmissions included."""
        return parse_trace(self._read("messages"))

    @property
    def received(self) -> list[SippMessage]:
        return [message for message in self.messages if message.received]

    def statuses(self, method: str = "INVITE") -> list[int]:
        """The statuses received for a method, without 100 and without those that only repeat the one before."""
        every = [m.status for m in self.received if m.status > 100 and m.method == method]
        return [status for i, status in enumerate(every) if i == 0 or every[i - 1] != status]

    def requests(self) -> list[str]:
        """The methods received, in order, repeated ones once."""
        every = [m for m in self.received if not m.status]
        return [m.method for i, m in enumerate(every) if m.text not in {o.text for o in every[:i]}]

    def first(self, start_line: str, received: bool = True) -> SippMessage:
        """The first message that begins so.

        Raises:
            SippFailed: there is none.
        """
        for message in self.messages:
            if message.received == received and message.start_line.startswith(start_line):
                return message
        raise SippFailed(f"{self.scenario}: no {start_line!r}\n{self.explain()}")

    def explain(self) -> str:
        """Everything that tells why a scenario failed."""
        code = self._process.returncode if self._process else None
        parts = [f"SIPp scenario {self.scenario!r} at {self.address}: exit code {code}"]
        parts += [text for text in (self._output.decode(errors="replace").strip(), self._read("errors").strip()) if text]
        parts += ["messages:", *(f"  {message}" for message in self.messages)]
        return "\n".join([*parts, "", self._read("messages")[-6000:]])

    # --- inside -----------------------------------------------------------------------------------------------------

    def _file(self, kind: str) -> Path:
        return self.directory / f"{self.scenario}-{self.port}.{kind}"

    def _read(self, kind: str) -> str:
        try:
            return self._file(kind).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise SippFailed(f"{self.scenario} was not started")
        return self._process

    async def _listening(self) -> None:
        """Until the port is taken, which is when SIPp reads from it."""
        table = Path("/proc/net/" + self.transport + ("6" if ":" in self.host else ""))
        for _ in range(500):
            if port_in_use(table, self.port):
                return
            if self._running().returncode is not None:
                _, self._output = await self._running().communicate()
                break
            await asyncio.sleep(0.01)
        raise SippFailed(f"did not start to listen\n{self.explain()}")

    async def _follow_media(self, rtp: RtpEndpoint) -> None:
        """Send the RTP to where the other side's latest SDP wants it."""
        known = 0
        while True:
            targets = media_targets(self._read("log").splitlines())
            for host, port in targets[known:]:
                rtp.send_to((host, port))
            known = len(targets)
            await asyncio.sleep(0.01)

    async def _stop_watcher(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None


def media_targets(lines: Iterable[str]) -> list[tuple[str, int]]:
    """The addresses of the `media LABEL HOST PORT` lines of a scenario's log; a provisional without SDP has none."""
    words = [line.split() for line in lines if line.startswith("media ")]
    return [(parts[2], int(parts[3])) for parts in words if len(parts) == 4]


def parse_trace(text: str) -> list[SippMessage]:
    """Read the file that `sipp -trace_msg` writes; a message that is being written is left for the next look."""
    found = []
    parts = _SEPARATOR.split(text)
    for when, chunk in zip(parts[1::2], parts[2::2], strict=True):
        head = _TRANSFER.search(chunk)
        if head is not None:
            body = chunk[head.end() :].replace("\r\n", "\n")
            if "\n\n" in body:
                at = datetime.datetime.fromisoformat(when).replace(tzinfo=datetime.UTC).timestamp()
                found.append(SippMessage(head[1] == "received", body, at))
    return found
