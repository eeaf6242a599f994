"""The real server as a process of its own, on free ports of the loopback, looked at from outside only.

It is started as a user starts it (`python -m server run --config FILE`), and stopped as a service manager stops it (SIGTERM).
What it still holds is asked over its own HTTP (`/healthz`), so the tests can say: after the call nothing is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import ports
from tests.support.pace import PACE
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
TRUNK_USER, TRUNK_PASSWORD = "dialplane", "trunk secret"

# Two seconds of a processor, which others may want too.
START_S = 120.0

# What each number is there for. All ask `/voice` first.
PLAIN = "+15550100"
WITH_FALLBACK = "+15550101"  # and `/fallback`
WITH_STATUS = "+15550102"  # and tells `/status`
ANSWERING = "+15550103"  # answers at once (no answer delay)
BY_GET = "+15550104"  # asks with GET, and `/voice?from=number`
APP_DOWN = "+15550105"  # its application is at a port where nobody listens
TWIML = "+15550108"  # its application was written for the other dialect; `/fallback`, `/status`
APP_FORBIDDEN = "+15550106"  # its application is where `http.allow` does not lead
REFERABLE = "+15550107"  # and asks `/refer` about transfers
NEVER = "+15559999"  # not there at all


class ServerFailed(AssertionError):
    """The server did not start, did not stop, or kept something; the text holds the end of its log."""


@contextlib.contextmanager
def serving(process: ServerProcess) -> Iterator[ServerProcess]:
    """Started for the block. At its end it must stop politely; whatever happens, it is gone then."""
    process.start()
    try:
        yield process
        process.stop()
    finally:
        if process.process.poll() is None:
            process.kill()


@dataclass(slots=True)
class ServerProcess:
    """One server with one configuration. `start`, `stop`; ports are chosen when it is made."""

    directory: Path
    extra: str = ""  # TOML to be added
    media: str = ""  # the same, in its table [media]
    event_retries: str = "[]"  # of the shared server none, so that a test's events are over with it
    tls_port: int = 0  # where it listens for TLS too, 0 for nowhere; `extra` has [sip.tls] then
    rtp_ports: tuple[int, int] = field(default_factory=lambda: ports.SERVER)
    sip_port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    http_port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    app_port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    down_port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    proxy_port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    _process: subprocess.Popen[bytes] | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises ServerFailed unless it is ready within START_S."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "dialplane.toml").write_text(self.configuration() + self.extra)
        command, environment = self._command()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise ServerFailed(f"the server ended with {self._process.returncode} at its start\n{self.log()}")
            if self.health()[0] == 200:
                PACE.watch(self._process.pid, "the server")
                for pid in self.worker_pids():
                    PACE.watch(pid, "the worker")
                return
            time.sleep(0.1)
        self.kill()
        raise ServerFailed(f"the server was not ready in {START_S:.0f} s: {self.health()}\n{self.log()}")

    def run_once(self, timeout_s: float = 20.0) -> tuple[int, str]:
        """Start it with the file that is there, and expect that it ends by itself: its exit status and what it said."""
        command, environment = self._command()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
        return done.returncode, done.stdout + done.stderr

    def _command(self) -> tuple[list[str], dict[str, str]]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DIALPLANE_")}
        return [sys.executable, "-m", "server", "run", "--config", str(self.directory / "dialplane.toml")], environment

    def stop(self) -> None:
        """End it politely. Raises ServerFailed unless it is gone within 20 s, with status 0, and its children with it."""
        process = self.process
        PACE.forget(process.pid)
        children = child_processes(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"the server did not stop in 20 s\n{self.log()}") from None
        if process.returncode != 0:
            raise ServerFailed(f"the server stopped with {process.returncode}\n{self.log()}")
        deadline = time.monotonic() + 5
        while left := [pid for pid in children if is_alive(pid)]:
            if time.monotonic() > deadline:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                raise ServerFailed(f"the server left processes behind: {left}\n{self.log()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and its children in any case."""
        process = self.process
        PACE.forget(process.pid)
        for pid in [*child_processes(process.pid), process.pid]:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait(10)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerFailed("the server was not started")
        return self._process

    def worker_pids(self) -> list[int]:
        """The media worker's process (the server's children that run it)."""
        return [pid for pid in child_processes(self.process.pid) if "dialplane-media" in Path(f"/proc/{pid}/cmdline").read_text()]

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def app_url(self) -> str:
        return f"http://127.0.0.1:{self.app_port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def log_file(self) -> Path:
        return self.directory / "server.log"

    def log(self, characters: int = 6000) -> str:
        return self.log_file.read_text(errors="replace")[-characters:] if self.log_file.exists() else ""

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def configuration(self) -> str:
        """The TOML it is started with."""
        sip, first, last = self.sip_port, *self.rtp_ports
        tls = f', "tls:127.0.0.1:{self.tls_port}"' if self.tls_port else ""
        numbers = {
            PLAIN: "",
            WITH_FALLBACK: f'fallback_url = "{self.app_url}/fallback"',
            WITH_STATUS: f'status_callback = "{self.app_url}/status"',
            ANSWERING: "answer_delay = false",
            REFERABLE: f'refer_url = "{self.app_url}/refer"',
            TWIML: f'dialect = "twiml"\nfallback_url = "{self.app_url}/fallback"',
        }
        tables = [
            f"""
[server]
state_dir = "{self.state}"
http_listen = "127.0.0.1:{self.http_port}"
log_level = "debug"
log_format = "human"
shutdown_grace_s = 5.0
max_lag_s = 5.0  # the machine may be as busy as it likes: calls are judged, not refused

[sip]
listen = ["udp:127.0.0.1:{sip}", "tcp:127.0.0.1:{sip}", "udp:[::1]:{sip}", "tcp:[::1]:{sip}"{tls}]

[media]
port_min = {first}
port_max = {last}
prompts = {{ fresh_s = 0.0, negative_s = 0.0 }}  # tests give other audio under the same name
{self.media}

[http]
timeout_s = 2.0
max_redirects = 5
event_retries_s = {self.event_retries}
allow = ["127.0.0.1/32"]

[[trunks]]
name = "phones"
allow = ["127.0.0.1/32", "::1/128"]
proxy = "sip:127.0.0.1:{self.proxy_port}"
username = "{TRUNK_USER}"
password = "{TRUNK_PASSWORD}"
headers = {{ "X-Trunk" = "phones" }}
"""
        ]
        tables += [_number(number, f"{self.app_url}/voice", more) for number, more in numbers.items()]
        tables.append(_number(BY_GET, f"{self.app_url}/voice?from=number", 'voice_method = "GET"'))
        tables.append(_number(APP_DOWN, f"http://127.0.0.1:{self.down_port}/voice"))
        tables.append(_number(APP_FORBIDDEN, f"http://127.0.0.2:{self.app_port}/voice"))
        return "".join(tables)

    # --- what it says -----------------------------------------------------------------------------------------------

    def post(self, path: str) -> tuple[int, bytes]:
        """As `get`, without a body."""
        return self.get(path, method="POST")

    def get(self, path: str, timeout_s: float = 2.0, method: str = "GET") -> tuple[int, bytes]:
        """One request to the server's own HTTP, with its token when there is one already; status 0 when there is no answer."""
        token = self.state / "api_token"
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"} if token.exists() else {}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.http_url + path, headers=headers, method=method), timeout=timeout_s
            ) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def health(self) -> tuple[int, dict[str, object]]:
        status, body = self.get("/healthz")
        try:
            document = json.loads(body)
        except ValueError:
            return status, {}
        return status, document if isinstance(document, dict) else {}

    def counts(self) -> dict[str, int]:
        """Everything that lives in the server, by name: calls, sessions, streams, timers ... Raises ServerFailed when it does not say."""
        _, document = self.health()
        found = dict(_numbers(document.get("counts"), ""))
        if not found:
            raise ServerFailed(f"/healthz tells no counts: {document}\n{self.log()}")
        return found

    def wait_idle(self, timeout_s: float, ignore: tuple[str, ...] = ()) -> None:
        """Until nothing lives but what is named. Raises ServerFailed with what does."""
        deadline = time.monotonic() + timeout_s
        while busy := {name: count for name, count in self.counts().items() if count and not name.startswith(ignore)}:
            if time.monotonic() > deadline:
                raise ServerFailed(f"left after {timeout_s} s: {busy}\n{self.log()}")
            time.sleep(0.05)


def _number(number: str, url: str, more: str = "") -> str:
    return f'\n[[numbers]]\nnumber = "{number}"\nvoice_url = "{url}"\n{more}\n'


def _numbers(value: object, name: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value


def child_processes(pid: int) -> list[int]:
    """All descendants of a process, the nearest first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *child_processes(int(child))]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
