"""A PostgreSQL of the tests' own: a throw-away cluster on a free port, started, killed and spoiled as a test wants.

It is a child of the tests, as a user who is not root (PostgreSQL insists), without fsync and without a socket file. `postgresql` is the
Debian package that has the programs; `asyncpg` the driver.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port

HOST = "127.0.0.1"
USER = "dialplane"  # no superuser: those have connections kept for them
CONNECTIONS = 12
_ROLE = "postgres"


class PostgresqlFailed(AssertionError):
    """It is not installed, did not start, or does not answer; the text says what to do, or holds its log."""


def programs() -> Path:
    """Where initdb and postgres are. Raises PostgresqlFailed when they are nowhere."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("initdb")
    if not found and named is None:
        raise PostgresqlFailed("PostgreSQL is not installed: .ci/setup test does it (Debian: apt-get install postgresql)")
    return found[-1].parent if found else Path(str(named)).parent


@dataclass(slots=True)
class Cluster:
    """One server. `start` and `stop` as often as you like; what is in it stays."""

    directory: Path
    port: int = field(default_factory=lambda: free_port(HOST))
    _process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://{USER}@{HOST}:{self.port}/{database}"

    def make(self) -> None:
        self._run(
            programs() / "initdb", "-D", self.directory / "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        settings = f"""
listen_addresses = '{HOST}'
port = {self.port}
unix_socket_directories = ''
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_connections = {CONNECTIONS}
superuser_reserved_connections = 3
"""
        with (self.directory / "data" / "postgresql.conf").open("a") as file:
            file.write(settings)
        self.start()
        self.sql(f"CREATE ROLE {USER} LOGIN")

    def start(self, timeout_s: float = 30.0, *, wait: bool = True) -> None:
        """wait: until it takes connections; after a kill it first recovers."""
        deadline = time.monotonic() + timeout_s
        while True:
            with (self.directory / "log").open("ab") as log:
                command: list[str | Path] = [programs() / "postgres", "-D", self.directory / "data"]
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, user=_user(), group=_user()
                )
            while self._process.poll() is None:
                if not wait or self._answers():
                    return
                if time.monotonic() > deadline:
                    raise PostgresqlFailed(f"PostgreSQL does not answer\n{self.log()}")
                time.sleep(0.05)
            if time.monotonic() > deadline:
                raise PostgresqlFailed(f"PostgreSQL does not start\n{self.log()}")
            time.sleep(0.2)  # the children of one that was killed still hold its memory

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT ends it in order (and all connections), SIGKILL does not."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(20)

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """As the superuser, each by itself. Returns what psql prints of the last."""
        out = ""
        for statement in statements:
            out = self._run(
                *(programs() / "psql", "-h", HOST, "-p", str(self.port), "-U", "postgres", "-d", database, "-At", "-v", "ON_ERROR_STOP=1"),
                *("-c", statement),
            )
        return out.strip()

    def create(self, database: str) -> str:
        """A database of that name; its URL."""
        self.sql(f"CREATE DATABASE {database} OWNER {USER}")
        return self.url(database)

    def set_read_only(self, on: bool) -> None:
        """As a server is that is a primary no longer: every new transaction may only read."""
        self.sql(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}", "SELECT pg_reload_conf()")

    def log(self) -> str:
        file = self.directory / "log"
        return file.read_text(errors="replace")[-3000:] if file.exists() else ""

    def _answers(self) -> bool:
        command: list[str | Path] = [programs() / "pg_isready", "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _run(self, *command: str | Path) -> str:
        done = subprocess.run(command, check=False, capture_output=True, cwd=self.directory, text=True, user=_user(), group=_user())
        if done.returncode != 0:
            raise PostgresqlFailed(f"{Path(command[0]).name} failed: {done.stderr or done.stdout}\n{self.log()}")
        return done.stdout


def _user() -> str | None:
    return _ROLE if os.geteuid() == 0 else None


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A running one, gone at the end of the block."""
    directory = Path(tempfile.mkdtemp(prefix="dialplane-postgresql-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, _ROLE, _ROLE)
        made = Cluster(directory)
        try:
            made.make()
            yield made
        finally:
            made.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
