"""`dialplane token`."""

from __future__ import annotations

import argparse
from pathlib import Path

from config.load import load
from config.state import TOKEN_FILE, WEBHOOK_SECRET_FILE
from server.cli.terminal import DONE, FAILED, complain, say


def show_token(options: argparse.Namespace) -> int:
    """The token alone, for `$(dialplane token)`, or the secret of signatures. It is only read: a server makes it at its first start."""
    server = load(options.config).server
    setting, name = ("webhook_secret", WEBHOOK_SECRET_FILE) if options.webhooks else ("api_token", TOKEN_FILE)
    token = (server.webhook_secret if options.webhooks else server.api_token).get_secret_value()
    file = Path(server.state_dir) / name
    if not token:
        try:
            token = file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            complain(f"dialplane: there is no token at {file} yet: the server makes it when it first runs (server.{setting})")
            return FAILED
        except PermissionError:
            complain(f"dialplane: {file} is for the server's own user: ask as that user, such as with sudo -u")
            return FAILED
    say(token)
    return DONE
