"""`dialplane config`."""

from __future__ import annotations

import argparse

from config.load import load
from config.reference import effective_toml, reference_markdown, reference_toml
from server.cli.terminal import DONE, say


def show_config(options: argparse.Namespace) -> int:
    if options.reference:
        say(reference_toml(), end="")
    elif options.markdown:
        say(reference_markdown(), end="")
    else:
        say(effective_toml(load(options.config)), end="")
    return DONE
