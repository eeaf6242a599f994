"""`dialplane run`."""

from __future__ import annotations

import argparse

from config.identity import with_identity
from config.load import load
from server.cli.terminal import DONE
from server.observability.logs import set_up_logging


def run_server(options: argparse.Namespace) -> int:
    settings = with_identity(load(options.config))
    set_up_logging(settings.server)
    from server.app import run  # the whole server: not needed to look at a call

    run(settings)
    return DONE
