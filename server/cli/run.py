"""`dialplane run`."""

from __future__ import annotations

import argparse
import os

from config.identity import with_identity
from config.load import load
from config.state import holding_state
from server.cli.terminal import DONE
from server.observability.logs import set_up_logging


def run_server(options: argparse.Namespace) -> int:
    os.umask(0o077)  # recordings, the database, the worker's socket: for this user alone
    settings = load(options.config)
    set_up_logging(settings.server)
    with holding_state(settings.server.state_dir):
        settings = with_identity(settings)
        from server.app import run  # the whole server: not needed to look at a call

        run(settings)
    return DONE
