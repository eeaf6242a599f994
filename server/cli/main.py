"""`dialplane`: run the server, look at calls, look at the configuration.

Exit codes: 0 done; 1 it did not work out (no such call, a server runs there, no database); 2 the command or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from config.errors import ConfigError, StateInUse
from media.errors import MediaError
from server.cli.calls import list_calls
from server.cli.check import check
from server.cli.client import show_client
from server.cli.config import show_config
from server.cli.registrations import list_registrations
from server.cli.run import run_server
from server.cli.terminal import DONE, FAILED, WRONG, complain
from server.cli.timeline import show_timeline
from server.cli.token import show_token
from server.storage.database import StorageError


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        code = command(options)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        complain(f"dialplane: the configuration is not valid\n{error}")
        return WRONG
    except BrokenPipeError:  # `dialplane calls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its exit
        return DONE
    except (StateInUse, StorageError, MediaError, OSError) as error:
        complain(f"dialplane: {error}")
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dialplane", description="A programmable telephony server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--config", metavar="FILE", help="configuration file (else $DIALPLANE_CONFIG, ./dialplane.toml, /etc/dialplane/)")
        sub.set_defaults(command=command)
        return sub

    add("run", run_server, "Run the server until it is told to stop (SIGTERM, Ctrl-C).")

    timeline = add("timeline", show_timeline, "What happened to a call, as a ladder diagram.")
    timeline.add_argument(
        "call", nargs="?", metavar="CALLSID", help="sid of a call or leg, its beginning, or a SIP Call-ID (else the latest)"
    )
    timeline.add_argument("--json", action="store_true", help="everything, for programs")
    timeline.add_argument("--messages", action="store_true", help="the SIP messages and HTTP bodies in full, below the diagram")
    timeline.add_argument("--width", type=int, metavar="COLUMNS", help="columns to draw on (default: the terminal's, else 120)")
    timeline.add_argument("--ascii", action="store_true", help="draw with plain characters")

    calls = add("calls", list_calls, "The latest calls.")
    calls.add_argument("-n", type=int, default=20, metavar="COUNT", help="how many (default 20)")
    calls.add_argument("--json", action="store_true", help="for programs")

    registrations = add("registrations", list_registrations, "Who is registered, and from where.")
    registrations.add_argument("client", nargs="?", metavar="NAME", help="of one client only")
    registrations.add_argument("--json", action="store_true", help="for programs")

    token = add("token", show_token, "The token that the server's own HTTP wants: Authorization: Bearer $(dialplane token)")
    token.add_argument("--webhooks", action="store_true", help="the secret that requests to applications are signed with, instead")

    client = add(
        "client", show_client, "The lines of a client for the configuration: its password is asked for and only its digests are shown."
    )
    client.add_argument("name", metavar="NAME", help="the login of its phones")

    config = add("config", show_config, "The settings in force, secrets hidden.")
    which = config.add_mutually_exclusive_group()
    which.add_argument("--reference", action="store_true", help="every setting with its default, as TOML")
    which.add_argument("--markdown", action="store_true", help="every setting with its default, as tables")

    checking = add("check", check, "Is the configuration valid, and what would the server do?")
    checking.add_argument("--from", dest="source", metavar="ADDRESS", help="with --to: what would happen to a call from here")
    checking.add_argument("--to", dest="dialled", metavar="NUMBER", help="with --from: what would happen to a call to this number")
    return parser
