"""What a configuration would do, in words: `dialplane check`. What is wrong with it is found by `server.preflight`, as `run` does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from config.consistency import calls_by_ports
from config.errors import ConfigError
from config.hiding import hide_url
from config.load import load_with_source
from config.settings import Settings
from server import limits, preflight
from server.calls.policy import Refusal
from server.cli.terminal import DONE, WRONG, complain, say
from server.routing import Routing


def check(options: argparse.Namespace) -> int:
    loaded = load_with_source(options.config)
    settings = loaded.settings
    if (options.source is None) != (options.dialled is None):
        complain("dialplane check: --from and --to go together")
        return WRONG
    if options.source is not None:
        say(explain_call(settings, options.source, options.dialled))
        return DONE
    if found := preflight.problems(loaded):
        raise ConfigError(found)
    say(f"{loaded.file or 'The configuration (no file, the defaults)'} is valid.\n")
    for line in describe(settings):
        say(line)
    for index, warning in enumerate(preflight.warnings(loaded)):
        say(("\n" if index == 0 else "") + f"Warning: {warning.in_a_line()}")
    return DONE


def describe(settings: Settings) -> Iterator[str]:
    """What the server would do, line by line."""
    routing = Routing(settings)
    yield f"Listens      {', '.join(settings.sip.listen)}" + (f", known as {settings.sip.advertise}" if settings.sip.advertise else "")
    yield f"Own HTTP     {settings.server.http_listen}, as {settings.server.base_url}"
    yield f"State        {settings.server.state_dir}"
    limit = limits.hard_limit()
    by_ports, by_files = calls_by_ports(settings), limits.calls_of_worker(limit)
    yield f"Calls        {settings.server.max_calls}; RTP ports are there for {by_ports}, open files for {by_files}"
    yield f"Open files   {limit} at most; the media worker wants {limits.wanted_by_worker(settings)} for these calls"
    yield ""
    yield "Callers"
    for trunk in settings.trunks:
        yield f"  {', '.join(trunk.allow) or 'nobody'}: let in ({trunk.name})"
    if settings.clients:
        names = ", ".join(client.name for client in settings.clients[:10]) + (" ..." if len(settings.clients) > 10 else "")
        yield f"  whoever proves to be a client: let in ({names})"
    yield "  everyone else: 403"
    yield "Numbers"
    for number in settings.numbers:
        what = "everything else" if number.number == "*" and not number.regex else f"{number.number}{' (pattern)' if number.regex else ''}"
        fallback = f", else {hide_url(number.fallback_url)}" if number.fallback_url else ""
        yield f"  {what}: {number.voice_method} {hide_url(number.voice_url)}{fallback}"
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
    if decision.dials:
        return f'A call from {source} (trunk "{trunk.name}") to {dialled} rings the phones of {decision.dials}.'
    asked = f"{decision.voice_method} {hide_url(decision.voice_url)}"
    return f'A call from {source} (trunk "{trunk.name}") to {dialled} matches number "{decision.number}" and asks {asked}.'
