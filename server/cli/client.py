"""`dialplane client NAME`: the lines of a client for the configuration, with the digests of its password instead of it."""

from __future__ import annotations

import argparse
import getpass
import sys

from pydantic import ValidationError

from config.load import load
from config.peers import ClientSettings
from server.cli.terminal import DONE, WRONG, complain, say
from server.clients import secrets_of


def show_client(options: argparse.Namespace) -> int:
    realm = load(options.config).registrar.realm
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {options.name}: ")
        if password != getpass.getpass("Once more: "):
            complain("dialplane: that was another one")
            return WRONG
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        complain("dialplane: a client needs a password: type one, or write it to the standard input")
        return WRONG
    try:
        client = ClientSettings(name=options.name, password=password)  # type: ignore[arg-type]
    except ValidationError as error:
        complain(f"dialplane: {error.errors()[0]['msg']}")
        return WRONG
    digests = dict(secrets_of(client, realm).by_algorithm)
    say(f'[[clients]]\nname = "{client.name}"  # of realm {realm}')
    say(f'ha1_sha256 = "{digests["SHA-256"]}"\nha1_md5 = "{digests["MD5"]}"')
    return DONE
