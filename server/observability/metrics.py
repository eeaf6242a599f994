"""What Prometheus reads at `/metrics`. Names begin with `dialplane_`; labels have few values, whatever peers send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from media.engine import Quality
from server.calls.effects import Fetch, Fetched, Notification
from server.calls.records import CallRecord, RecordingRecord
from sip.core.events import Dropped, Traced

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
        self.registry.register(_Live(counts))

    def watch_storage(self, waiting: Callable[[], int], written: Callable[[], int], dropped: Callable[[], int]) -> None:
        for name, text, read in (
            ("dialplane_storage_waiting", "Items that wait to be written to the database", waiting),
            ("dialplane_storage_written", "Items written to the database since the start", written),
            ("dialplane_storage_dropped", "Items that were never written: the queue was full, or the database refused them", dropped),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def watch_losses(self, lost: Callable[[], Mapping[str, int]]) -> None:
        """`lost`: what was never written, by its name (`dialplane_storage_dropped` is their sum)."""
        self.registry.register(_Lost(lost))

    def watch_strangers(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """`counts`: what sources that nobody listed got, by its name."""
        self.registry.register(_Strangers(counts))

    def watch_clients(self, registered: Callable[[], int], door: Mapping[str, int], registrar: Mapping[str, int]) -> None:
        """Phones that are registered; what phones outside the trunks got at the door, and what became of their REGISTERs, as they stand."""
        Gauge("dialplane_registrations", "Phones that are registered at the moment", registry=self.registry).set_function(registered)
        self.registry.register(_Clients(door, registrar))

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self.registry)


class _Live(Collector):
    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily("dialplane_live", "What lives at the moment: calls, sessions, transactions ...", labels=["what"])
        for name, count in self._counts().items():
            family.add_metric([name], count)
        return [family]

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # nothing is asked before the server runs


class _Lost(Collector):
    def __init__(self, lost: Callable[[], Mapping[str, int]]) -> None:
        self._lost = lost

    def collect(self) -> list[CounterMetricFamily]:
        family = CounterMetricFamily("dialplane_storage_lost", "Items that were never written to the database, by kind", labels=["what"])
        for name, count in self._lost().items():
            family.add_metric([name], count)
        return [family]

    def describe(self) -> list[CounterMetricFamily]:
        return []


class _Strangers(Collector):
    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> list[CounterMetricFamily]:
        text = "SIP requests of strangers: refused, passed over in silence; and strangers banned"
        family = CounterMetricFamily("dialplane_sip_strangers", text, labels=["what"])
        for name, count in self._counts().items():
            family.add_metric([name], count)
        return [family]

    def describe(self) -> list[CounterMetricFamily]:
        return []


class _Clients(Collector):
    def __init__(self, door: Mapping[str, int], registrar: Mapping[str, int]) -> None:
        self._counted = (
            ("dialplane_client_requests", "REGISTER and INVITE of phones: challenged, denied, passed over in silence", door),
            ("dialplane_registrar", "REGISTER that were carried out or refused, and OPTIONS that phones were asked by", registrar),
        )

    def collect(self) -> Iterable[CounterMetricFamily]:
        for name, text, counts in self._counted:
            family = CounterMetricFamily(name, text, labels=["what"])
            for what, count in counts.items():
                family.add_metric([what], count)
            yield family

    def describe(self) -> list[CounterMetricFamily]:
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
