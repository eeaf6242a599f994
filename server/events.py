"""Delivers events to applications: written first, then sent, and sent again; also those of an earlier run (docs/callbacks.md)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import random
import secrets
from collections.abc import Callable

from config.settings import HttpSettings
from server.applications.deliveries import Deliveries, Event, Outcome, State
from server.applications.fetch import Fetcher
from server.calls.effects import Fetch, Fetched
from server.observability.clock import WallClock
from server.storage.database import Database
from server.storage.rows import EventRow

log = logging.getLogger(__name__)

WRITTEN_IN_S = 1.0  # an event waits so long for the database before it is sent all the same


class Events:
    """`start` and `stop` inside a running event loop. told: what the call hears of the first attempt, None when there is no such call."""

    def __init__(
        self, settings: HttpSettings, fetcher: Fetcher, database: Database, clock: WallClock, told: Callable[[Fetch, Fetched], None]
    ) -> None:
        self._fetcher, self._database, self._clock, self._told = fetcher, database, clock, told
        self._deliveries = Deliveries(settings.event_retries_s, settings.event_queue, random.random)
        self._most = settings.event_queue
        self._loop = asyncio.get_running_loop()
        self._asked: dict[str, Fetch] = {}  # by event: what a call asked for and waits to hear of
        self._began: dict[str, datetime.datetime] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return self._deliveries.waiting

    @property
    def under_way(self) -> int:
        return len(self._tasks)

    async def start(self, instance_id: str) -> None:
        """Go on with what an earlier run left."""
        rows = await self._database.lists.events_that_wait(instance_id, self._most)
        for row in rows:
            self._began[row.sid] = row.at
            self._deliveries.put(self._event(row, State.WAITS, row.attempts))
        if rows:
            log.info("events_of_earlier_run", extra={"events": len(rows)})
        self._go_on()

    async def stop(self) -> None:
        """What was not delivered waits in the database for the next start."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- inputs -----------------------------------------------------------------------------------------------------

    def put(self, request: Fetch) -> None:
        """A call has something to tell."""
        now = self._loop.time()
        sid = f"EV{secrets.token_hex(16)}"
        event = Event(sid, request.call_sid, request.purpose, request.url, request.method, request.parameters, due=now)
        self._asked[sid] = request
        self._began[sid] = self._clock.at(now)
        self._keep(self._deliveries.put(event))
        self._go_on()

    async def send_again(self, sid: str) -> EventRow | None:
        """By hand: a new first attempt of what was given up or delivered. None: there is no such event, or it waits anyway."""
        row = await self._database.lists.event(sid)
        if row is None or row.state == State.WAITS.value:
            return None
        self._began[sid] = row.at
        self._deliveries.forgive(row.url)
        event = self._deliveries.put(self._event(row, State.WAITS, 0))
        self._keep(event)
        self._go_on()
        return self._row(event, row.at)

    def _event(self, row: EventRow, state: State, attempts: int) -> Event:
        parameters = tuple((str(name), str(value)) for name, value in json.loads(row.parameters))
        wait = max(0.0, (row.due_at - self._clock.at(self._loop.time())).total_seconds()) if row.due_at is not None and attempts else 0.0
        due = self._loop.time() + wait
        return Event(row.sid, row.call_sid, row.purpose, row.url, row.method, parameters, state, attempts, due, row.status, row.detail)

    # --- attempts ---------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Try what is due, and wake when something is next."""
        for event in self._deliveries.due(self._loop.time()):
            task = self._loop.create_task(self._try(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._deliveries.next_deadline()
        if at is not None:
            self._timer = self._loop.call_at(at, self._go_on)

    async def _try(self, event: Event) -> None:
        request = self._asked.get(event.sid) or Fetch(0, event.call_sid, event.purpose, event.url, event.method, event.parameters)
        try:
            if not event.attempts:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._database.writer.flush(), WRITTEN_IN_S)
            answer, retry_after_s = await self._fetcher.deliver(request, event.sid)
        except asyncio.CancelledError:
            self._deliveries.abandoned(event.sid)
            raise
        self._hear(event.sid, request, answer)
        detail = f"{answer.error}: {answer.detail}" if answer.error else ""
        for changed in self._deliveries.answered(event.sid, Outcome(answer.status, detail, retry_after_s), self._loop.time()):
            self._keep(changed)
        self._go_on()

    def _hear(self, sid: str, request: Fetch, answer: Fetched) -> None:
        """The first attempt is an exchange of the call."""
        if self._asked.pop(sid, None) is not None:
            self._told(request, answer)

    def _keep(self, event: Event) -> None:
        began = self._began.get(event.sid) or self._clock.at(self._loop.time())
        self._database.writer.put(self._row(event, began))
        if event.state is State.WAITS:
            return
        self._began.pop(event.sid, None)
        request = self._asked.pop(event.sid, None)
        if request is not None:  # never sent
            self._told(request, Fetched(request.request, 0, request.url, error="connect", detail=event.detail))
        if event.state is not State.DELIVERED:
            facts = {"event": event.sid, "call_sid": event.call_sid, "state": event.state.value, "attempts": event.attempts}
            log.warning("event_not_delivered", extra=facts | {"status": event.status, "detail": event.detail})

    def _row(self, event: Event, began: datetime.datetime) -> EventRow:
        return EventRow(
            sid=event.sid,
            call_sid=event.call_sid,
            at=began,
            purpose=event.purpose,
            url=event.url,
            method=event.method,
            parameters=json.dumps(event.parameters),
            state=event.state.value,
            attempts=event.attempts,
            due_at=self._clock.at(event.due) if event.state is State.WAITS else None,
            status=event.status,
            detail=event.detail,
        )
