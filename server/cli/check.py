"""What a configuration would do, in words: `dialplane check`. Pure but for looking at the state directory."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from config.load import find_file, load
from config.settings import Settings, networks
from server.applications.guard import Guard
from server.calls.policy import Refusal
from server.cli.terminal import DONE, WRONG, complain, say
from server.observability.redaction import hide_url_secrets
from server.routing import Routing

UNIX_PATH_MAX = 107  # sockaddr_un.sun_path without its final zero


def check(options: argparse.Namespace) -> int:
    file = find_file(options.config, os.environ)
    settings = load(options.config)
    if (options.source is None) != (options.dialled is None):
        complain("dialplane check: --from and --to go together")
        return WRONG
    if options.source is not None:
        say(explain_call(settings, options.source, options.dialled))
        return DONE
    say(f"{file or 'The configuration (no file, the defaults)'} is valid.\n")
    for line in describe(settings):
        say(line)
    for index, warning in enumerate(warnings(settings)):
        say(("\n" if index == 0 else "") + f"Warning: {warning}")
    return DONE


def describe(settings: Settings) -> Iterator[str]:
    """What the server would do, line by line."""
    routing = Routing(settings)
    yield f"Listens      {', '.join(settings.sip.listen)}" + (f", known as {settings.sip.advertise}" if settings.sip.advertise else "")
    yield f"Own HTTP     {settings.server.http_listen}, as {settings.server.base_url}"
    yield f"State        {settings.server.state_dir}"
    yield ""
    yield "Callers"
    for trunk in settings.trunks:
        yield f"  {', '.join(trunk.allow) or 'nobody'}: let in ({trunk.name})"
    yield "  everyone else: 403"
    yield "Numbers"
    for number in settings.numbers:
        what = "everything else" if number.number == "*" and not number.regex else f"{number.number}{' (pattern)' if number.regex else ''}"
        fallback = f", else {hide_url_secrets(number.fallback_url)}" if number.fallback_url else ""
        yield f"  {what}: {number.voice_method} {hide_url_secrets(number.voice_url)}{fallback}"
    if not any(number.number == "*" and not number.regex for number in settings.numbers):
        yield "  everything else: 404"
    trunk_out = routing.outbound_trunk()
    if trunk_out is None:
        yield f"Outgoing     {routing.no_outbound()}"
    else:
        user = f" as {trunk_out.username}" if trunk_out.username else ""
        other = f", else {trunk_out.fallback_proxy}" if trunk_out.fallback_proxy else ""
        yield f"Outgoing     Numbers go to {trunk_out.proxy}{user}{other} ({trunk_out.name})"


def explain_call(settings: Settings, source: str, dialled: str) -> str:
    """What would happen to one call."""
    routing = Routing(settings)
    decision = routing.admit(source, dialled)
    if isinstance(decision, Refusal):
        return f"A call from {source} to {dialled} is refused with {decision.status}: {decision.explain}."
    trunk = routing.trunk_for(source)
    assert trunk is not None
    asked = f"{decision.voice_method} {hide_url_secrets(decision.voice_url)}"
    return f'A call from {source} (trunk "{trunk.name}") to {dialled} matches number "{decision.number}" and asks {asked}.'


def warnings(settings: Settings) -> Iterator[str]:
    """What is valid, and yet most likely not meant."""
    routing = Routing(settings)
    if not any(trunk.allow for trunk in settings.trunks):
        yield "Nobody may call in: every INVITE gets 403. Add [[trunks]] with allow."
    for trunk in settings.trunks:
        if any(network.prefixlen == 0 for network in networks(trunk.allow)):
            yield f'Trunk "{trunk.name}" lets everybody in. Scanners find open servers within hours: name the carrier\'s addresses.'
    if not settings.numbers:
        yield "No number is answered: every call gets 404. Add [[numbers]] with number and voice_url."
    for bad in routing.bad_patterns:
        yield f'The pattern "{bad.pattern}" cannot be read and matches nothing: {bad.error}.'
    if routing.outbound_trunk() is None:
        yield f"<Dial> cannot call a <Number>: {routing.no_outbound()}."
    yield from _blocked(settings)
    yield from _paths(settings)


def _blocked(settings: Settings) -> Iterator[str]:
    """Applications at literal addresses that the guard would refuse. Names are not looked up."""
    guard = Guard(settings.http)
    for number in settings.numbers:
        for url in (number.voice_url, number.fallback_url, number.status_callback):
            host = urlsplit(url).hostname or ""
            address = "127.0.0.1" if host == "localhost" else host
            try:
                ipaddress.ip_address(address)
            except ValueError:
                continue
            if (refusal := guard.refusal(address)) is not None:
                yield f'Number "{number.number}": {hide_url_secrets(url)} will not be asked: {refusal}.'


def _paths(settings: Settings) -> Iterator[str]:
    state = Path(settings.server.state_dir)
    nearest = next(parent for parent in (state, *state.parents) if parent.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield f"The state directory {state} cannot be written by this user: set server.state_dir, or give it the right."
    if len(os.fsencode(settings.media.socket_path)) > UNIX_PATH_MAX:
        yield f"media.socket_path is longer than the {UNIX_PATH_MAX} octets that a Unix socket may have: {settings.media.socket_path}"
