"""How late the server gets at what is due: a timer of the event loop, datagrams in the sockets of SIP, answers of the media worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from media import engine
from server.overload import TICK_S

FORGOTTEN_S = 30.0  # an answer that is owed for so long does not come: one that was lost must not keep all callers out for ever


class Timer(Protocol):
    def cancel(self) -> None: ...


class Loop(Protocol):
    """The event loop, as far as it is measured."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer: ...


class Unanswered:
    """Streams that the media worker was asked for. It does its work in the order that it comes in, so the oldest tells of all."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}

    def asked(self, command: engine.Open, now: float) -> None:
        self._asked[command.stream] = now

    def heard(self, event: engine.Event | engine.EngineLost) -> None:
        match event:
            case engine.Opened(stream=stream) | engine.Closed(stream=stream) | engine.Failed(subject=stream):
                self._asked.pop(stream, None)
            case engine.EngineLost():
                self._asked.clear()
            case _:
                pass

    def oldest_s(self, now: float) -> float:
        while self._asked:
            stream, at = next(iter(self._asked.items()))
            if now - at < FORGOTTEN_S:
                return now - at
            del self._asked[stream]
        return 0.0


class LagMeter:
    """waited_s: how long the datagram had waited that was read last; tell: gets the lag and the time, every TICK_S."""

    def __init__(self, loop: Loop, waited_s: Callable[[], float], unanswered: Unanswered, tell: Callable[[float, float], None]) -> None:
        self._loop, self._waited_s, self._unanswered, self._tell = loop, waited_s, unanswered, tell
        self._due = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        self._due = self._loop.time() + TICK_S
        self._timer = self._loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._due
        self.start()
        self._tell(max(0.0, late, self._waited_s(), self._unanswered.oldest_s(now)), now)
