"""What Prometheus reads at `/metrics`. Names begin with `dialplane_`; labels have few values, whatever peers send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from media.engine import Quality
from server.calls.effects import Fetch, Fetched, Notification
from server.calls.records import CallRecord, RecordingRecord
from sip.core.events import Dropped, Traced

Family = GaugeMetricFamily | CounterMetricFamily

_METHODS = frozenset(
    {
        *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE"),
        *("PRACK", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH"),
    }
)
_HTTP_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CALL_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_MOS_BUCKETS = (1.5, 2.0, 2.5, 3.0, 3.3, 3.6, 3.8, 4.0, 4.2, 4.4)
_RING_BUCKETS = (0, 1, 2, 5, 10, 15, 20, 30, 60, 120)


class Storage(Protocol):
    """What is told of the database's queue. lost: what was never written, by its name; dropped: their sum."""

    @property
    def waiting(self) -> int: ...
    @property
    def written(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def lost(self) -> Mapping[str, int]: ...


class Metrics:
    """All counters of one server, in a registry of its own."""

    def __init__(self, version: str = "") -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("dialplane_build", "Which program this is", registry=registry).info({"version": version or _version()})

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"dialplane_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"dialplane_{name}", text, labels, buckets=buckets, registry=registry)

        self._calls = counter("legs_ended", "Legs that ended: how, and by whom", "direction", "cause", "by")
        self._talk = histogram("leg_talk_seconds", "Answered legs: answer to end", _CALL_BUCKETS, "direction")
        self._ring = histogram("leg_ring_seconds", "Legs: begin to answer or failure", _RING_BUCKETS, "direction")
        self._mos = histogram(
            "leg_mos", "Legs: mean opinion score (ITU-T G.107) of what came in and of what went out", _MOS_BUCKETS, "media"
        )
        self._http = counter("http_requests", "Requests to applications, by result", "purpose", "result")
        self._http_s = histogram("http_seconds", "Requests to applications: time taken", _HTTP_BUCKETS, "purpose")
        self._sip = counter("sip_messages", "SIP messages: methods, and classes of responses", "direction", "transport", "message")
        self._sip_counted: dict[tuple[str, str, str], Counter] = {}  # few; looking one up by its labels costs more than counting
        self._again = counter("sip_retransmissions", "SIP messages seen or sent before", "direction")
        self._dropped = counter("sip_dropped", "SIP input thrown away or refused below the calls", "reason")
        self._notices = counter("notifications", "Notifications to authors of applications", "code", "level")
        self._recorded = counter("recording_seconds", "Seconds of finished recordings")
        self._recordings = counter("recordings", "Finished recordings")
        self._internal = counter("internal_errors", "Faults of the server itself: each is a bug")

    def sip(self, event: Traced | Dropped) -> None:
        match event:
            case Dropped():
                self._dropped.labels(event.reason).inc()
            case Traced():
                labels = (event.direction.value, event.flow.transport, _message(event.summary))
                counted = self._sip_counted.get(labels)
                if counted is None:
                    counted = self._sip_counted[labels] = self._sip.labels(*labels)
                counted.inc()
                if event.repeated:
                    self._again.labels(labels[0]).inc()

    def fetched(self, request: Fetch, answer: Fetched) -> None:
        result = answer.error or ("200" if answer.status == 200 else f"{answer.status // 100}xx")
        self._http.labels(request.purpose, result).inc()
        self._http_s.labels(request.purpose).observe(answer.elapsed_ms / 1000)

    def ended(self, record: CallRecord) -> None:
        self._calls.labels(record.direction, record.ended.cause.value, record.ended.by.value).inc()
        self._ring.labels(record.direction).observe(record.ring_duration_s)
        if record.answered_at is not None:
            self._talk.labels(record.direction).observe(record.ended_at - record.answered_at)

    def heard(self, quality: Quality) -> None:
        """A stream is over; scores that are not known are negative."""
        for media, score in (("in", quality.mos_in), ("out", quality.mos_out)):
            if score > 0:
                self._mos.labels(media).observe(score)

    def notified(self, notification: Notification) -> None:
        self._notices.labels(str(notification.code), notification.level).inc()

    def recorded(self, recording: RecordingRecord) -> None:
        self._recordings.inc()
        self._recorded.inc(recording.duration_ms / 1000)

    def internal_error(self) -> None:
        self._internal.inc()

    # --- what is read when asked

    def watch_live(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """`counts`: what lives at the moment, by name; asked at every reading."""
        self._watch(GaugeMetricFamily, "live", "What lives at the moment: calls, sessions, transactions ...", counts)

    def watch_calls(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """`counts`: calls that were begun, and INVITEs that were refused, by their name."""
        self._watch(CounterMetricFamily, "calls", "Calls since the start: begun, and refused before they were", counts)

    def watch_requests(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """`counts`: requests to applications that are under way, by kind."""
        self._watch(GaugeMetricFamily, "http_in_flight", "Requests to applications that are under way: documents, events, audio", counts)

    def watch_strangers(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """`counts`: what sources that nobody listed got, by its name."""
        text = "SIP requests of strangers: refused, passed over in silence; and strangers banned"
        self._watch(CounterMetricFamily, "sip_strangers", text, counts)

    def watch_lag(self, lag_s: Callable[[], float], admission: Callable[[], float]) -> None:
        """`admission`: the share of new calls that is let in."""
        text = "How late the server is with what is due, the least of the last quarter of a second"
        Gauge("dialplane_lag_seconds", text, registry=self.registry).set_function(lag_s)
        text = "Share of new calls that is let in: 1, and less while the server is overloaded"
        Gauge("dialplane_admission", text, registry=self.registry).set_function(admission)

    def watch_storage(self, storage: Storage) -> None:
        def gauge(name: str, text: str, read: Callable[[], int]) -> None:
            Gauge(f"dialplane_storage_{name}", text, registry=self.registry).set_function(read)

        gauge("waiting", "Items that wait to be written to the database", lambda: storage.waiting)
        gauge("written", "Items written to the database since the start", lambda: storage.written)
        gauge("dropped", "Items that were never written: the queue was full, or the database refused them", lambda: storage.dropped)
        self._watch(CounterMetricFamily, "storage_lost", "Items that were never written to the database, by kind", lambda: storage.lost)

    def _watch(self, family: type[Family], name: str, text: str, read: Callable[[], Mapping[str, int]]) -> None:
        self.registry.register(_Watched(lambda: family(f"dialplane_{name}", text, labels=["what"]), read))

    def watch_clients(
        self, registered: Callable[[], int], door: Callable[[], Mapping[str, int]], registrar: Callable[[], Mapping[str, int]]
    ) -> None:
        """Phones that are registered; what phones outside the trunks got at the door, and what became of their REGISTERs, by its name."""
        Gauge("dialplane_registrations", "Phones that are registered at the moment", registry=self.registry).set_function(registered)
        text = "REGISTER and INVITE of phones: challenged, denied, passed over in silence"
        self._watch(CounterMetricFamily, "client_requests", text, door)
        text = "REGISTER that were carried out or refused, and OPTIONS that phones were asked by"
        self._watch(CounterMetricFamily, "registrar", text, registrar)

    def watch_trunks(self, states: Callable[[], Iterable[tuple[str, str, bool]]]) -> None:
        """states: (trunk, place, whether it lives); with an empty place: whether the trunk has our registration."""
        self.registry.register(_Trunks(states))

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self.registry)


class _Watched(Collector):
    """Numbers by name that somebody else keeps. family: an empty one."""

    def __init__(self, family: Callable[[], Family], read: Callable[[], Mapping[str, int]]) -> None:
        self._family, self._read = family, read

    def collect(self) -> list[Family]:
        family = self._family()
        for name, count in self._read().items():
            family.add_metric([name], count)
        return [family]

    def describe(self) -> list[Family]:
        return []  # nothing is asked before the server runs


class _Trunks(Collector):
    def __init__(self, states: Callable[[], Iterable[tuple[str, str, bool]]]) -> None:
        self._states = states

    def collect(self) -> list[GaugeMetricFamily]:
        registered = GaugeMetricFamily("dialplane_trunk_registered", "Whether a trunk has our registration", labels=["trunk"])
        alive = GaugeMetricFamily("dialplane_trunk_alive", "Whether a place of a trunk answers OPTIONS", labels=["trunk", "place"])
        for trunk, place, good in self._states():
            if place:
                alive.add_metric([trunk, place], good)
            else:
                registered.add_metric([trunk], good)
        return [registered, alive]

    def describe(self) -> list[GaugeMetricFamily]:
        return []


def _message(summary: str) -> str:
    """`INVITE`, `2xx`: a label with few values out of a message's summary."""
    word = summary.split(" ", 1)[0]
    if len(word) == 3 and word.isascii() and word.isdigit() and word[0] in "123456":
        return f"{word[0]}xx"
    return word if word in _METHODS else "other"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dialplane")
    except PackageNotFoundError:
        return "unknown"
