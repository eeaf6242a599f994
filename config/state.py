"""The state directory: for this user's eyes only, and one server's at a time.

A second server on the same directory would end the calls that the first one's database says are open, and overwrite nothing less than
its recordings' rows; so whoever runs takes a lock first, and only then reads or writes anything else there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from config.errors import ConfigError, Problem, StateInUse

log = logging.getLogger(__name__)

LOCK_FILE = "lock"
TOKEN_FILE = "api_token"
RECORDING_KEY_FILE = "recording_key"
WEBHOOK_SECRET_FILE = "webhook_secret"
IDENTITY_FILE = "identity.json"
_OURS = frozenset({LOCK_FILE, TOKEN_FILE, RECORDING_KEY_FILE, WEBHOOK_SECRET_FILE, IDENTITY_FILE, "dialplane.db", "dialplane.toml"})


@contextlib.contextmanager
def holding_state(state_dir: str | Path) -> Iterator[None]:
    """The state directory is made and this process's own for the block. The kernel gives it back when the process ends, however it does.

    Raises:
        StateInUse: another process holds it. Nothing was touched.
        ConfigError: it cannot be made or written.
    """
    state = make_state_directory(state_dir)
    try:
        lock = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(state, error) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise _unusable(state, error) from None
            raise StateInUse(str(state), _holder(lock)) from None
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def is_held(state_dir: str | Path) -> bool:
    """Whether a server runs on the state directory at the moment, or may do so under another user. Touches nothing."""
    try:
        lock = os.open(Path(state_dir) / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def make_state_directory(state_dir: str | Path) -> Path:
    """It exists afterwards, with mode 0700. ConfigError when it cannot."""
    state = Path(state_dir)
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        _tighten(state)
    except OSError as error:
        raise _unusable(state, error) from None
    return state


def _tighten(state: Path) -> None:
    """Take the rights of others away from a directory of ours. One that holds other people's things as well is left as it is."""
    found = state.stat()
    if stat.S_IMODE(found.st_mode) & 0o077 == 0 or found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        return
    names = set(os.listdir(state))
    if names and not names & _OURS:
        log.warning("state_directory_is_shared", extra={"path": str(state), "remedy": "name a directory of its own in server.state_dir"})
        return
    state.chmod(0o700)


def kept_secret(state: Path, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """The secret in a file of the state directory, mode 0600; made at the first time. Two that make it together agree.

    Raises:
        ConfigError: the file is empty or no text. OSError: it cannot be read or written.
    """
    file = state / name
    if not file.exists():
        write_once(file, make() + "\n")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        file.chmod(0o600)
    try:
        text = file.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or " " in text:
        raise ConfigError([Problem(str(file), "", "is damaged", "Delete it to have a new one made at the next start.")])
    return text


def write_once(file: Path, text: str) -> None:
    """Make a file of mode 0600, whole or not at all. Who was faster wins."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)


def _holder(lock: int) -> str:
    """The process that holds it, as it wrote itself down; empty when it has not yet."""
    return os.pread(lock, 32, 0).decode("ascii", "replace").strip()


def _unusable(state: Path, error: OSError) -> ConfigError:
    reason = error.strerror or str(error)
    remedy = "Make it writable for this user, or name another directory."
    return ConfigError([Problem(str(state), "server.state_dir", f"cannot be used: {reason}", remedy)])
