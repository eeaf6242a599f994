"""The running server: the shell around the sans-I/O parts.

It owns the event loop's side of everything: the SIP sockets (`SipDriver`), the media worker (`WorkerClient`), requests to
applications (`Fetcher`), prompts and speech, the database writer, the HTTP API. It decides nothing: inputs go to the `Registry`
and to the `Trunks` in their turn (`Turns`), and what comes back is carried out here.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

from config.settings import Settings, SipSection
from config.types import parse_listen
from media import engine
from media.errors import PromptError, SpeechError
from media.prompts.cache import PromptFile
from media.prompts.files import PromptStore
from media.prompts.speech import Speech
from media.worker_client import WorkerClient
from server import recordings
from server.api.app import Api
from server.applications.fetch import EVENTS, Fetcher
from server.calls.effects import Discard, Fetch, Fetched, Forgotten, Log, Note, Notification, Prepare, Prepared, Synthesize
from server.calls.legs import requests
from server.calls.numbering import DenyList
from server.calls.outbox import Action
from server.calls.phones import Phones
from server.calls.policy import Policy
from server.calls.records import CallRecord, RecordingRecord
from server.calls.registry import Registry
from server.calls.targets import Targets
from server.clients import Clients
from server.events import Events
from server.lag import LagMeter, Unanswered
from server.observability.garbage import settle
from server.observability.metrics import Metrics
from server.orders import Orders
from server.overload import Overload
from server.reach import GuardedResolver, Reach
from server.registrations import bindings_of, row_of
from server.routing import Routing
from server.signals import Signals, Wish
from server.storage.database import Database
from server.storage.rows import EventRow
from server.timeline.recorder import Recorder
from server.trunks.account import Account
from server.trunks.trunks import Trunks
from server.turns import Turns
from server.voice import HttpVoice
from server.wiring import build_policy, outbound_of, own_host, signer_of, sip_extensions, trunk_accounts
from sip.core import commands, events, flows
from sip.core.bindings import Change
from sip.core.door import Door
from sip.core.endpoint import Endpoint
from sip.core.registrar import KeepClients, Registrar, Restore
from sip.core.tokens import Tokens
from sip.transport.driver import SipDriver
from sip.transport.tls import Tls, TlsUnusable

log = logging.getLogger(__name__)

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
LEAVE_S = 2.0  # for a trunk to hear that we go


class Server:
    """`async with Server(settings) as server: ...` serves calls until the block is left, and then ends them politely.

    sip_addresses, http_address: what is listened on, once entered. Entering raises OSError when a socket cannot be had and
    MediaError when there is no media worker; nothing is left behind then.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(self._carry_out, lambda: (self.registry, self.trunks), lambda: self.metrics.internal_error())
        self._tasks: set[asyncio.Task[None]] = set()
        self.trunks = Trunks("sip:dialplane@localhost", secrets.token_bytes)
        self._unwind = contextlib.AsyncExitStack()
        self.sip_addresses: tuple[flows.Listener, ...] = ()
        self.overload = Overload(settings.server.max_lag_s)
        self._unanswered = Unanswered()

    # --- life -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Server:
        async with contextlib.AsyncExitStack() as unwind:
            await self._start(unwind)
            self._unwind = unwind.pop_all()
        return self

    async def _start(self, unwind: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        await asyncio.to_thread(Path(settings.media.recordings_dir).mkdir, 0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(recordings.remove_empty, settings.media.recordings_dir)
        self.metrics = Metrics()
        self.database = Database(settings)
        await self.database.start()
        unwind.push_async_callback(self.database.stop)
        self.recorder = Recorder(settings.storage, self.database.writer, self.metrics)
        self.fetcher = Fetcher(settings.http, signer_of(settings))
        unwind.push_async_callback(self.fetcher.close)
        self.prompts = PromptStore(settings.media.prompts)
        unwind.push_async_callback(self.prompts.close)
        voice = HttpVoice(settings.media.speech) if settings.media.speech.url else None
        if voice is not None:
            unwind.push_async_callback(voice.close)
        self.speech = Speech(settings.media.speech, voice=voice)
        unwind.push_async_callback(self.speech.close)

        self.worker = WorkerClient(settings.media, self._on_media, settings.server.instance_id)
        await self.worker.start()
        unwind.push_async_callback(self.worker.stop, shutdown_worker=True)

        await self._start_sip(settings, unwind)

        self.events = Events(settings.http, self.fetcher, self.database, self.recorder.clock, self._told)
        self._turns.begin()
        self._look_after_trunks(trunk_accounts(settings))
        await self.events.start(settings.server.instance_id)
        meter = LagMeter(self._loop, self.driver.take_waited_s, self._unanswered, self._measured)
        meter.start()
        unwind.callback(meter.stop)

        self.api = Api(self)
        self.http_address = await self.api.start()
        unwind.push_async_callback(self.api.stop)
        unwind.push_async_callback(self._end_tasks)
        unwind.push_async_callback(self.events.stop)
        unwind.push_async_callback(self._leave_trunks)
        unwind.push_async_callback(self._end_calls)
        for listener in self.sip_addresses:
            log.info("sip_listening", extra={"transport": listener.transport, "address": str(listener.bind)})

    async def _start_sip(self, settings: Settings, unwind: contextlib.AsyncExitStack) -> None:
        """The sockets, and the registry behind them; what comes in waits until all stands."""
        routing, reach = Routing(settings), Reach(settings)
        self.registrar = Registrar(settings.registrar, "sip:dialplane@localhost")
        self.door = Door(settings.registrar, Clients(settings), Tokens(secrets.token_bytes))
        extensions = (*sip_extensions(settings.sip), self.registrar)
        self.endpoint = Endpoint(settings.sip, (), secrets.token_bytes, requests.SERVED, extensions, routing, self.door, self.overload)
        self.resolver = GuardedResolver(reach)
        tls = _tls_of(settings.sip)
        self.driver = SipDriver(
            self.endpoint, self._on_sip, self.resolver, settings.sip.transport, self.endpoint.admits, tls, self._on_connection_lost
        )
        places = [parse_listen(text) for text in settings.sip.listen]
        registered = await self.database.reader.registrations(datetime.datetime.now(datetime.UTC), settings.server.instance_id)
        self.sip_addresses = await self.driver.start(
            [(place.transport, place.host, place.port) for place in places], settings.sip.advertise
        )
        unwind.push_async_callback(self.driver.stop)
        kept = bindings_of(registered, self.sip_addresses, self.recorder.clock, self._loop.time())
        clients = self._active_clients()
        self.driver.command(Restore(tuple(one for one in kept if one.client in clients)))
        self.registry = Registry(*self._rules(routing, reach))
        self.orders = Orders(lambda: self.registry, self._turns.order, self.recorder.clock, lambda: self.overload.active)
        self.registrar.own_uri = self.trunks.own_uri = f"sip:dialplane@{own_host(settings, self.sip_addresses)}"
        self.door.replace(Clients(settings, self.sip_addresses))
        self._watch()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._unwind.aclose()

    def _rules(self, routing: Routing, reach: Reach) -> tuple[Policy, Targets, Routing]:
        """What calls go by, from the settings as they are now."""
        policy = build_policy(self.settings, self.sip_addresses, self.recorder.clock, reach)
        clients = frozenset(client.name for client in self.settings.clients)
        phones = Phones(self.registrar.bindings, self.settings.registrar.contact, clients)
        outbound = outbound_of(routing.outbound_trunk(), self.settings.server.country_code)
        denied = DenyList(self.settings.dial.number_deny, self.settings.dial.number_allow)
        targets = Targets(outbound, own_host(self.settings, self.sip_addresses), phones, self.trunks.dead, denied)
        return policy, targets, routing

    def _active_clients(self) -> frozenset[str]:
        return frozenset(client.name for client in self.settings.clients if client.active)

    def _watch(self) -> None:
        """What the metrics ask for when they are read."""
        self.metrics.watch_live(self.counts)
        self.metrics.watch_calls(lambda: {**self.registry.totals, "overload": self.overload.refused})
        self.metrics.watch_requests(self.fetcher.counts)
        self.metrics.watch_strangers(self.endpoint.strangers)
        self.metrics.watch_clients(lambda: len(self.registrar.bindings), lambda: self.door.counts, lambda: self.registrar.counts)
        self.metrics.watch_storage(self.database.writer)
        self.metrics.watch_lag(lambda: self.overload.lag_s, lambda: self.overload.admission)
        self.metrics.watch_trunks(self.trunks.states)

    def reload(self, settings: Settings) -> None:
        """Take over settings in which only those differ that can change while calls go on (`server.reload`)."""
        self.settings = settings
        self.fetcher.guard_by(settings.http, signer_of(settings))
        self.overload.max_lag_s = settings.server.max_lag_s
        routing, self.resolver.reach = Routing(settings), Reach(settings)
        self.registry.reconfigure(*self._rules(routing, self.resolver.reach))
        self.endpoint.replace_screen(routing)
        self.door.replace(Clients(settings, self.sip_addresses))
        self._look_after_trunks(trunk_accounts(settings))
        self.driver.command(KeepClients(self._active_clients()))
        try:  # also when no setting has changed: a renewed certificate has the same name
            tls = _tls_of(settings.sip)
        except TlsUnusable as error:
            log.error("sip_tls_kept", extra={"why": f"{error}; {error.remedy}"})
        else:
            if tls is not None:
                self.driver.replace_tls(tls)

    def _look_after_trunks(self, accounts: tuple[Account, ...]) -> None:
        self._turns.give(lambda now: self.trunks.configure(accounts, now))

    async def _leave_trunks(self) -> None:
        """Take our registrations back, and wait a moment for the answers."""
        self._look_after_trunks(())
        await self._turns.until(lambda: not self.trunks.busy, self._loop.time() + LEAVE_S)

    def trunk_troubles(self) -> dict[str, int]:
        """Trunks that are not registered although they should be, and places of trunks that are dead."""
        bad = [one for one in self.trunks.states() if not one.good]
        return {"unregistered": sum(not one.place for one in bad), "dead": sum(bool(one.place) for one in bad)}

    async def drain(self, at_once: Awaitable[None]) -> None:
        """Refuse new calls, and wait until the others are over: `server.drain_s` at most, or until `at_once` comes."""
        self.registry.closing = True
        over = self._loop.create_task(self._turns.until(lambda: not self.registry.counts()["calls"]))
        cut = asyncio.ensure_future(at_once)
        log.info("draining", extra={"calls": self.registry.counts()["calls"], "drain_s": self.settings.server.drain_s})
        await asyncio.wait((over, cut), timeout=self.settings.server.drain_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (over, cut):
            task.cancel()
        await asyncio.gather(over, cut, return_exceptions=True)

    async def _end_calls(self) -> None:
        """Refuse new calls, end those that live, and wait until they are over or the grace is used up."""
        self._turns.give(self.registry.shutdown)
        deadline = self._loop.time() + self.settings.server.shutdown_grace_s
        await self._turns.until(lambda: not any(self.registry.counts().values()), deadline)
        left = {name: count for name, count in self.registry.counts().items() if count}
        if left:
            log.warning("calls_left_at_shutdown", extra=left)
        self._turns.stop()

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def counts(self) -> dict[str, int]:
        """What lives: all 0 when no call does. `sip_*` may live up to 32 s longer than a call (RFC 3261 17)."""
        found = dict(self.registry.counts())
        found |= {f"sip_{name}": count for name, count in self.endpoint.counts().items()}
        found["tasks"] = len(self._tasks) + self.events.under_way
        return found

    def ailment(self) -> str:
        """Why no call could be served now; empty: one could."""
        if self.registry.closing:
            return "stopping"
        return self.worker.ailment

    @property
    def overloaded(self) -> bool:
        """New calls are refused because those that are up need all there is."""
        return self.overload.active

    # --- inputs ---------------------------------------------------------------------------------------------------

    def _on_sip(self, event: events.Event | events.Traced | events.Dropped) -> None:
        if isinstance(event, events.Traced | events.Dropped):
            self.metrics.sip(event)
        if isinstance(event, events.RegistrationChanged):
            instance, clock, now = self.settings.server.instance_id, self.recorder.clock, self._loop.time()
            self.database.writer.put(row_of(event.binding, event.change, instance, clock, now))
            if event.binding.flow.connection and event.change is Change.ADDED:
                self.driver.acquaint(event.binding.flow)
        if isinstance(event, events.InviteReceived):
            self._turns.give(lambda now: self._admit(event, now))
        elif isinstance(event, events.OutOfDialogAnswered):
            self._turns.give(lambda now: self.trunks.answered(event, now))
        else:
            self._turns.give(lambda now: self.registry.sip_event(event, now))

    def _admit(self, event: events.InviteReceived, now: float) -> list[Action]:
        """A caller whose INVITE trips over a bug of ours is told so, instead of waiting for nothing."""
        try:
            return self.registry.sip_event(event, now)
        except Exception:
            log.exception("internal_error")
            self.metrics.internal_error()
            return [commands.SendReject(event.session, 500)]

    def _on_media(self, event: engine.Event | engine.EngineLost) -> None:
        self._unanswered.heard(event)
        if isinstance(event, engine.Closed):
            self.metrics.heard(event.quality)
        elif isinstance(event, engine.RecordingEnded) and event.size_bytes == 0:
            self._run(asyncio.to_thread(recordings.remove_if_empty, event.path))
        self._turns.give(lambda now: self.registry.media_event(event, now))

    def _measured(self, lag_s: float, now: float) -> None:
        told = self.overload.measured(lag_s, now)
        if told is not None:
            self._carry_out(told)

    def _on_connection_lost(self, flow: flows.Flow) -> None:
        self._turns.give(lambda now: self.trunks.connection_lost(flow, now))

    # --- outputs --------------------------------------------------------------------------------------------------

    def _carry_out(self, action: Action) -> None:
        match action:
            case Note():
                self.recorder.note(action)
            case Fetch() if action.purpose in EVENTS:
                self.events.put(action)
            case Fetch():
                self._run(self._fetch(action))
            case Prepare():
                self._run(self._prepare(action))
            case Synthesize():
                self._run(self._synthesize(action))
            case Notification() | CallRecord() | RecordingRecord():
                self.recorder.keep(action)
            case Discard(path):
                self._run(asyncio.to_thread(recordings.remove_unheard, path))
            case Forgotten():
                self.fetcher.forget(action.call_sid)
            case Log():
                log.log(LEVELS[action.level], action.event, extra=dict(action.facts))
            case engine.Open():
                self._unanswered.asked(action, self._loop.time())
                self.worker.send(action)
            case engine.Record():
                recordings.ensure_directory(action.path)  # a look at a directory; the worker is told in order
                self.worker.send(action)
            case (
                engine.Hello()
                | engine.Connect()
                | engine.Bridge()
                | engine.Unbridge()
                | engine.Join()
                | engine.Leave()
                | engine.Mute()
                | engine.Play()
                | engine.StopPlay()
                | engine.PauseRecord()
                | engine.ResumeRecord()
                | engine.StopRecord()
                | engine.SendDigits()
                | engine.Stats()
                | engine.Deadline()
                | engine.Close()
                | engine.List()
                | engine.Ping()
                | engine.Shutdown()
            ):
                self.worker.send(action)
            case command:
                self.driver.command(command)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, request: Fetch) -> None:
        self._told(request, await self.fetcher.fetch(request))

    async def send_event_again(self, sid: str) -> EventRow | None:
        """By hand; None when there is no such event, or it waits anyway."""
        return await self.events.send_again(sid)

    def _told(self, request: Fetch, answer: Fetched) -> None:
        """What came of an event's first attempt."""
        self.metrics.fetched(request, answer)
        self._turns.give(lambda now: self.registry.fetched(answer, now))

    async def _prepare(self, request: Prepare) -> None:
        await self._answer(request.prompt, self.prompts.prepare(request.url, self.fetcher.download))

    async def _synthesize(self, request: Synthesize) -> None:
        await self._answer(request.prompt, self.speech.say(request.text, request.voice, request.language))

    async def _answer(self, prompt: int, work: Awaitable[PromptFile]) -> None:
        """Exactly one Prepared, whatever happens: a verb waits for it."""
        try:
            file = await work
            answer = Prepared(prompt, str(file.path), file.duration_ms)
        except (PromptError, SpeechError) as error:
            answer = Prepared(prompt, "", 0, error.code, error.detail)
        except Exception:
            log.exception("internal_error")
            self.metrics.internal_error()
            answer = Prepared(prompt, "", 0, "engine", "internal error, see the log")
        self._turns.give(lambda now: self.registry.prepared(answer, now))


def _tls_of(settings: SipSection) -> Tls | None:
    """Raises TlsUnusable; `server.preflight` has told it before, as a rule."""
    return Tls(settings.tls) if settings.speaks_tls else None


async def serve(settings: Settings, reread: Callable[[Settings], Settings]) -> None:
    """Run until SIGINT or SIGTERM. reread: from the settings in force, those that are to be after SIGHUP."""
    signals = Signals()
    async with Server(settings) as server:
        settle()
        while await signals.next() is Wish.RELOAD:
            server.reload(reread(server.settings))
        log.info("stopping")
        if server.settings.server.drain_s:
            await server.drain(signals.stop())


def run(settings: Settings, reread: Callable[[Settings], Settings]) -> None:
    """`dialplane run`: on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(settings, reread))
    else:
        uvloop.run(serve(settings, reread))
