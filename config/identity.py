"""Who this server is: the two sids that applications see, made once and kept in the state directory."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from pathlib import Path

from config.errors import ConfigError, Problem
from config.settings import Settings

FILE = "identity.json"


def with_identity(settings: Settings) -> Settings:
    """The settings with server.instance_id and server.account_sid filled in; makes the state directory.

    What the configuration says wins; what it leaves out is read from the state directory, or made there. Two servers that
    start together on one directory agree: the first to link its file into place wins.

    Raises:
        ConfigError: the directory cannot be written, or its file was damaged.
    """
    server = settings.server
    state = Path(server.state_dir)
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o750)
        kept = _read_or_make(state)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            [
                Problem(
                    str(state),
                    "server.state_dir",
                    f"cannot be used: {reason}",
                    "Make it writable for this user, or name another directory.",
                )
            ]
        ) from None
    update = {"instance_id": server.instance_id or kept["instance_id"], "account_sid": server.account_sid or kept["account_sid"]}
    return settings.model_copy(update={"server": server.model_copy(update=update)})


def _read_or_make(state: Path) -> dict[str, str]:
    file = state / FILE
    if not file.exists():
        made = {"instance_id": "ID" + secrets.token_hex(16), "account_sid": "AC" + secrets.token_hex(16)}
        handle, name = tempfile.mkstemp(dir=state, prefix=FILE)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(made, out, indent=2)
                out.flush()
                os.fsync(out.fileno())
            with contextlib.suppress(FileExistsError):  # another was faster; its sids count
                os.link(name, file)
        finally:
            os.unlink(name)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {key: str(kept[key]) for key in ("instance_id", "account_sid")}
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            [Problem(str(file), "", "is damaged", "Restore it, or delete it to have new sids made (applications will see a new account).")]
        ) from None
