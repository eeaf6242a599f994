"""Who this server is, for applications (two sids) and for operators (a token): made once and kept in the state directory."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

from pydantic import SecretStr

from config.errors import ConfigError, Problem
from config.settings import Settings
from config.state import IDENTITY_FILE, RECORDING_KEY_FILE, TOKEN_FILE, WEBHOOK_SECRET_FILE, kept_secret, make_state_directory, write_once
from config.types import webhook_secret


def with_identity(settings: Settings) -> Settings:
    """The settings with server.instance_id, account_sid, api_token, recording_key and webhook_secret filled in; makes the state directory.

    What the configuration says wins; what it leaves out is read from the state directory, or made there. Two servers that
    start together on one directory agree: the first to link its file into place wins.

    Raises:
        ConfigError: the directory cannot be written, or a file of it was damaged.
    """
    server = settings.server
    state = make_state_directory(server.state_dir)
    try:
        kept = _read_or_make(state)
        token = server.api_token.get_secret_value() or kept_secret(state, TOKEN_FILE)
        key = server.recording_key.get_secret_value() or kept_secret(state, RECORDING_KEY_FILE)
        webhooks = server.webhook_secret.get_secret_value() or _kept_webhook_secret(state)
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "Make it writable for this user, or name another directory."
        raise ConfigError([Problem(str(error.filename or state), "server.state_dir", f"cannot be used: {reason}", remedy)]) from None
    update = {
        "instance_id": server.instance_id or kept["instance_id"],
        "account_sid": server.account_sid or kept["account_sid"],
        "api_token": SecretStr(token),
        "recording_key": SecretStr(key),
        "webhook_secret": SecretStr(webhooks),
    }
    return settings.model_copy(update={"server": server.model_copy(update=update)})


def _kept_webhook_secret(state: Path) -> str:
    text = kept_secret(state, WEBHOOK_SECRET_FILE, lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii"))
    try:
        return webhook_secret(SecretStr(text)).get_secret_value()
    except ValueError as error:
        file = str(state / WEBHOOK_SECRET_FILE)
        raise ConfigError([Problem(file, "", f"is damaged: {error}", "Delete it to have a new one made at the next start.")]) from None


def _read_or_make(state: Path) -> dict[str, str]:
    file = state / IDENTITY_FILE
    if not file.exists():
        made = {"instance_id": "ID" + secrets.token_hex(16), "account_sid": "AC" + secrets.token_hex(16)}
        write_once(file, json.dumps(made, indent=2))
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {key: str(kept[key]) for key in ("instance_id", "account_sid")}
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            [Problem(str(file), "", "is damaged", "Restore it, or delete it to have new sids made (applications will see a new account).")]
        ) from None
