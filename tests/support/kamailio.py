"""Kamailio, a proxy that nobody here wrote, between the server and the phones of a test; `tests/interop/kamailio.cfg` says what it does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import TRUNK_PASSWORD, TRUNK_USER, child_processes, is_alive

CONFIGURATION = Path(__file__).resolve().parents[1] / "interop" / "kamailio.cfg"


class KamailioFailed(AssertionError):
    """It is not installed, did not start or did not stop; the text holds the end of its log."""


@dataclass(slots=True)
class Kamailio:
    """One proxy at 127.0.0.1:`port` (UDP and TCP); calls that are not the server's own go to the server at `server_port`."""

    directory: Path
    port: int
    server_port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.directory / "kamailio.log"

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-4000:] if self.log_file.exists() else ""

    def start(self) -> None:
        """Raises KamailioFailed unless it listens within 10 s."""
        program = shutil.which("kamailio", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            raise KamailioFailed("there is no kamailio: install the package kamailio")
        defines = {"DIALPLANE": f"sip:127.0.0.1:{self.server_port}", "USER": TRUNK_USER, "PASSWORD": TRUNK_PASSWORD}
        command = [
            program,
            "-DD",
            "-E",
            "-f",
            str(CONFIGURATION),
            "-m",
            "32",
            "-M",
            "4",
            "-Y",
            str(self.directory),
            "-w",
            str(self.directory),
        ]
        command += ["-l", f"udp:127.0.0.1:{self.port}", "-l", f"tcp:127.0.0.1:{self.port}"]
        for name, value in defines.items():
            command += ["-A", f'{name}="{value}"']
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(200):
            if self._process.poll() is not None:
                raise KamailioFailed(f"kamailio ended with {self._process.returncode} at its start\n{self.log()}")
            with socket.socket() as probe:  # it opens its UDP sockets first
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise KamailioFailed(f"kamailio did not listen within 10 s\n{self.log()}")

    def stop(self) -> None:
        """End it and its children in any case."""
        if self._process is None:
            return
        children = child_processes(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        for pid in children:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
