"""`python -m server.demo`: the server with a demo application and two phones, and one call to see that it works.

Everything stays on 127.0.0.1. The configuration is written to a file in the state directory, so that it can be looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from config.errors import ConfigError, StateInUse
from config.identity import with_identity
from config.load import load
from config.settings import Settings
from config.state import holding_state
from media.errors import MediaError
from server import limits
from server.app import Server
from server.calls.effects import Kind
from server.demo import sound
from server.demo.application import Application
from server.demo.phones import Phone
from server.demo.tour import RING_S, DemoFailed, Outcome, place_call
from server.observability.logs import set_up_logging
from server.storage.database import StorageError
from server.timeline import ladder

HOST = "127.0.0.1"
NUMBER = "1000"  # answered by the demo application
OWN_NUMBER = "2000"  # answered by the RCML URL that was given
CALLEE_PORT = 5070  # where the called phone is, unless somebody else is there

CONFIGURATION = """\
# Written by `make run` for the demo, anew each time. Your own configuration begins as a copy of this.
[server]
state_dir = "{state}"
http_listen = "{host}:{http_port}"
log_level = "warning"

[sip]
listen = ["udp:{host}:{sip_port}", "tcp:{host}:{sip_port}"]

[http]
allow = ["127.0.0.0/8"]   # your application is on this machine; without this line no request leads here

[[trunks]]                # who may call
name = "this-machine"
allow = ["127.0.0.0/8"]

[[numbers]]               # what is called, and whom to ask
number = "{number}"
voice_url = "{url}/voice"
"""
OWN_CONFIGURATION = """
[[numbers]]
number = "{number}"
voice_url = "{url}"
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m server.demo", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--no-call", action="store_true", help="start everything, place no call")
    parser.add_argument("--once", action="store_true", help="place the call and stop; the exit status says whether all was well")
    parser.add_argument("--rcml-url", default="", metavar="URL", help=f"your application: it is asked when {OWN_NUMBER} is called")
    parser.add_argument("--state-dir", type=Path, default=Path(os.environ.get("DIALPLANE_STATE", "var/demo")), metavar="DIRECTORY")
    parser.add_argument("--sip-port", type=int, default=5060)
    parser.add_argument("--http-port", type=int, default=8080)
    options = parser.parse_args()
    try:
        return asyncio.run(demo(options))
    except ConfigError as error:
        sys.stderr.write(f"The configuration does not fit:\n{error}\n")
    except MediaError as error:
        sys.stderr.write(f"The media worker does not run: {error}\nBuild it with `make worker`.\n")
    except (OSError, StateInUse, StorageError) as error:
        sys.stderr.write(f"Could not start: {error}\n")
    return 1


async def demo(options: argparse.Namespace) -> int:
    """Start, call, stay; 0 when all was well."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as unwind:
        callee = Phone("callee", HOST, ring_s=RING_S, greeting=sound.melody()[: sound.RATE_HZ // 2])
        caller = Phone("caller", HOST)
        for phone, port in ((callee, free_port(CALLEE_PORT)), (caller, 0)):
            await phone.start(port)
            unwind.push_async_callback(phone.stop)
        application = Application(HOST, callee.uri)
        await application.start()
        unwind.push_async_callback(application.stop)
        settings = configure(options, application.url, unwind)
        set_up_logging(settings.server)
        server = await unwind.enter_async_context(Server(settings))
        say(f"server      sip:{HOST}:{sip_port(server)} (UDP and TCP), {settings.server.base_url}")
        say(f"application {application.url}/voice, which answers\n{indented(application.document)}")
        good = True
        if not options.no_call:
            good = await tour(server, application, caller, callee, stop)
        if options.once or stop.is_set():
            return 0 if good else 1
        callee.become_echo(ring_s=1.0)
        say(farewell(server, settings, options))
        await stop.wait()
        say("stopping")
    return 0


def configure(options: argparse.Namespace, url: str, unwind: AsyncExitStack) -> Settings:
    """Take the state directory, write the demo's configuration there and read it as the server reads any."""
    state = options.state_dir.absolute()
    os.umask(0o077)
    limits.raise_soft_limit()
    unwind.enter_context(holding_state(state))
    facts = {"state": state, "host": HOST, "url": url, "number": NUMBER}
    text = CONFIGURATION.format(**facts, sip_port=free_port(options.sip_port), http_port=free_port(options.http_port))
    if options.rcml_url:
        text += OWN_CONFIGURATION.format(number=OWN_NUMBER, url=options.rcml_url)
    file = state / "dialplane.toml"
    file.write_text(text, encoding="utf-8")
    return with_identity(load(file))


def free_port(wanted: int) -> int:
    """The wanted port, or any other when somebody has it."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                stream.bind((HOST, port))
                found: int = stream.getsockname()[1]
                datagram.bind((HOST, found))
            except OSError:
                continue
            return found
    raise OSError(f"no free port on {HOST}")


async def tour(server: Server, application: Application, caller: Phone, callee: Phone, stop: asyncio.Event) -> bool:
    """Place the call and tell of it; a Ctrl-C meanwhile ends it."""
    say("")
    call = asyncio.create_task(place_call(server, application, caller, callee, NUMBER, say))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((call, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not call.done():
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return False
    try:
        outcome = call.result()
    except DemoFailed as error:
        say(f"The demo call failed: {error}")
        return False
    await tell(server, outcome)
    return outcome.good


async def tell(server: Server, outcome: Outcome) -> None:
    say("\nWhat went over the wire")
    say(indented(await diagram(server, outcome.call_sid)))
    say("\nWhat the application was told at the end of the Dial (POST /action)")
    width = max(len(name) for name, _ in outcome.parameters)
    say(indented("\n".join(f"{name:<{width}}  {value}" for name, value in outcome.parameters)))
    say("\nWhat was heard")
    for what, good, figures in outcome.findings:
        say(f"  {'ok  ' if good else 'BAD '} {what} ({figures})")
    say(f"\nThe recording: {outcome.recording or 'none'}")
    say("All is well." if outcome.good else "Something is wrong, see BAD above.")


async def diagram(server: Server, call_sid: str) -> str:
    """The call's ladder, as `dialplane timeline` draws it; entries are written with a little delay."""
    for _ in range(50):
        entries = await server.database.reader.timeline(call_sid)
        if any(entry.kind is Kind.OUTCOME and not entry.leg for entry in entries):
            break
        await asyncio.sleep(0.1)
    width = min(max(shutil.get_terminal_size((120, 40)).columns - 2, 80), 140)
    return ladder.render(entries, width, color=sys.stdout.isatty())


def farewell(server: Server, settings: Settings, options: argparse.Namespace) -> str:
    port = sip_port(server)
    own = f"{OWN_NUMBER} asks {options.rcml_url}" if options.rcml_url else "make run RCML_URL=http://127.0.0.1:8000/"
    return f"""
The server is up. Call it:
  with a phone on this machine (no registration):  sip:{NUMBER}@{HOST}:{port}
      you hear music for a second, then your own voice
  with SIPp:  sipp -sn uac -i {HOST} -s {NUMBER} {HOST}:{port} -m 1 -d 3000
Have your own application asked, when {OWN_NUMBER} is called:
  {own}
See what happened:
  .venv/bin/dialplane timeline --config {settings.server.state_dir}/dialplane.toml
Ctrl-C stops it."""


def sip_port(server: Server) -> int:
    return next(listener.bind.port for listener in server.sip_addresses if listener.transport == "udp")


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
