"""Stand-ins in virtual time for what call control asks of the world: the media engine and the web application.

Both are sans-I/O: commands and `now` in, events at their time out. The engine is strict: what the real worker would
answer by `Failed`, and what call control should never ask, is written into `complaints`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from media import engine
from media.sdp.codecs import is_relayed, is_voice
from server.calls.effects import Fetch, Fetched, Prepare, Prepared, Synthesize


@dataclass
class _Stream:
    call: str
    port: int
    connected: bool = False
    play: str = ""
    play_started: float = 0.0


@dataclass
class _Recording:
    bridge: str
    path: str
    started: float
    stream: str = ""
    finish_keys: str = ""


class FakeEngine:
    """The engine port. play_ms: length of any file. fail_open: streams to refuse, by a test on the stream's id."""

    def __init__(self, rng: random.Random, *, delay_s: float = 0.002, play_ms: int = 1000) -> None:
        self._rng = rng
        self._delay_s = delay_s
        self.play_ms = play_ms
        self.streams: dict[str, _Stream] = {}
        self.connects: dict[str, engine.Connect] = {}  # the last of each stream, also when that is gone
        self.bridges: dict[str, tuple[str, str]] = {}
        self.mixes: dict[str, list[str]] = {}  # members, in the order of their coming
        self.mix_members = 40  # at most
        self.mix_plays: dict[str, engine.Play] = {}  # what is played to a mix now
        self.muted: set[str] = set()
        self.beeps: list[tuple[str, str, str]] = []  # mix, "in" or "out", stream: tones at the door
        self.recordings: dict[str, _Recording] = {}
        self.complaints: list[str] = []
        self.opened = 0
        self.bridged_pairs: list[tuple[str, str]] = []
        self.played: list[engine.Play] = []  # what is to be heard
        self.silences: list[engine.Play] = []
        self.packets_in: dict[str, int] = {}  # what Stats says of a stream
        self.round_trips: dict[str, float] = {}  # as the last report of the peer gave it, likewise
        self.digits: list[engine.SendDigits] = []
        self.deadlines: dict[str, int] = {}  # the last of each stream, 0 when it was taken back
        self.fail_open: Callable[[str], bool] = lambda stream: False
        self.deaf = False  # no command gets to it
        self.records: list[engine.Record] = []
        self.speech_ms: Callable[[str], int] = lambda stream: 0  # how long the peer of a stream speaks when it is recorded
        self.slow_disk = False  # nothing is reported of recordings: the test tells it when it likes
        self._dead = False  # killed, and the controller does not know yet
        self._queue: list[tuple[float, int, engine.Event | engine.EngineLost]] = []
        self._count = 0
        self._last: dict[str, float] = {}

    def send(self, command: engine.Command, now: float) -> None:
        if self._dead or self.deaf:
            return  # written into a socket that nobody reads
        match command:
            case engine.Open():
                self._open(command, now)
            case engine.Connect():
                stream = self._stream(command.stream, "connect")
                if stream is not None:
                    self._connect(command, stream)
            case engine.Bridge():
                if self._stream(command.first, "bridge") and self._stream(command.second, "bridge"):
                    self._check_way(command.first, command.second)
                    self.bridges[command.bridge] = (command.first, command.second)
                    self.bridged_pairs.append((command.first, command.second))
            case engine.Unbridge():
                self._unbridge(command.bridge, now)
            case engine.Join() | engine.Leave() | engine.Mute():
                self._mixing(command, now)
            case engine.Play():
                self._play(command, now)
            case engine.StopPlay():
                self._stop_play(command, now)
            case engine.Record():
                self._record(command, now)
            case engine.StopRecord():
                if command.recording in self.recordings:
                    self._end_recording(command.recording, "stopped", now)
            case engine.Close():
                self._close(command.stream, now)
            case engine.SendDigits():
                self.digits.append(command)
            case engine.Deadline():
                if self._stream(command.stream, "deadline"):
                    self.deadlines[command.stream] = command.in_ms
            case engine.Stats():
                if self._stream(command.stream, "stats"):
                    name = command.stream
                    counters = engine.Counters(packets_in=self.packets_in.get(name, 0), round_trip_ms=self.round_trips.get(name, -1.0))
                    self._later(command.stream, engine.StreamStats(stream=command.stream, counters=counters), now)
            case _:
                self.complaints.append(f"unexpected {command}")

    def tell(self, event: engine.Event, now: float) -> None:
        """Let the engine report something of its own accord (MediaTimeout, Digit ...)."""
        self._later("", event, now)

    def press(self, stream: str, key: str, now: float) -> None:
        """The peer of a stream presses a key: it is told, and ends what it is to end."""
        for name in [name for name, one in self.recordings.items() if one.stream == stream and key in one.finish_keys]:
            self._end_recording(name, "key", now, key)
        self.tell(engine.Digit(stream=stream, digit=key, duration_ms=100), now)

    def die(self, now: float) -> None:
        """The worker is killed: everything is gone at once, nothing more is reported. A new one takes over at EngineLost."""
        self._dead = True
        self.streams.clear()
        self.bridges.clear()
        self.mixes.clear()
        self.mix_plays.clear()
        self.muted.clear()
        self.recordings.clear()
        self._queue.clear()
        self._last.clear()
        self._later("", engine.EngineLost("killed"), now)

    def due(self, now: float) -> list[engine.Event | engine.EngineLost]:
        out: list[engine.Event | engine.EngineLost] = []
        while self._queue and self._queue[0][0] <= now:
            event = heapq.heappop(self._queue)[2]
            if isinstance(event, engine.EngineLost):
                self._dead = False
            if isinstance(event, engine.PlayEnded) and event.reason == "finished":
                if event.mix:
                    if self.mix_plays.get(event.mix) is None or self.mix_plays[event.mix].play != event.play:
                        continue
                    del self.mix_plays[event.mix]
                    out.append(event)
                    continue
                stream = self.streams.get(event.stream)
                if stream is None or stream.play != event.play:
                    continue  # stopped or replaced meanwhile, and reported so
                stream.play = ""
            by_itself = isinstance(event, engine.RecordingEnded) and event.reason in ("silence", "max")
            if isinstance(event, engine.RecordingEnded) and by_itself and self.recordings.pop(event.recording, None) is None:
                continue  # something else has ended it
            out.append(event)
        return out

    def next_deadline(self) -> float | None:
        return self._queue[0][0] if self._queue else None

    @property
    def empty(self) -> bool:
        return not (self.streams or self.bridges or self.mixes or self.recordings)

    # --- the parts ------------------------------------------------------------------------------------------------

    def _open(self, command: engine.Open, now: float) -> None:
        if self.fail_open(command.stream):
            self._later(command.stream, engine.Failed(op="open", subject=command.stream, code="no_ports", reason="no free ports"), now)
            return
        if command.stream in self.streams:
            self.complaints.append(f"stream {command.stream} opened twice")
        self.opened += 1
        port = 20_000 + 2 * (self.opened % 20_000)
        self.streams[command.stream] = _Stream(command.call, port)
        event = engine.Opened(stream=command.stream, address=command.address, port=port, rtcp_port=port + 1)
        self._later(command.stream, event, now)

    def _connect(self, command: engine.Connect, stream: _Stream) -> None:
        stream.connected = True
        self.connects[command.stream] = command
        if not any(is_voice(codec) for codec in command.codecs) or not is_voice(command.codecs[0]):
            self.complaints.append(f"connect of {command.stream} does not begin with a voice codec")
        if command.inband_digits and any(codec.name == "telephone-event" for codec in command.codecs):
            self.complaints.append(f"connect of {command.stream} looks for keys in two places")
        for first, second in self.bridges.values():
            if command.stream in (first, second):
                self._check_way(first, second)

    def _check_way(self, first: str, second: str) -> None:
        """What neither side can speak or hear here must be a codec of both."""
        codecs = [[codec for codec in self.connects[name].codecs if is_voice(codec)] for name in (first, second) if name in self.connects]
        alone = [names for names in codecs if all(is_relayed(codec) for codec in names)]
        if alone and any(not any(codec.name == alone[0][0].name for codec in names) for names in codecs):
            self.complaints.append(f"no way for {alone[0][0].name} between {first} and {second}")

    def _stop_play(self, command: engine.StopPlay, now: float) -> None:
        if command.mix:
            self._end_mix_play(command.mix, command.play, "stopped", now)
            return
        stream = self.streams.get(command.stream)
        if stream is not None and stream.play == command.play:
            self._end_play(command.stream, stream, "stopped", now)

    def _play(self, command: engine.Play, now: float) -> None:
        if command.mix:
            self._play_to_mix(command, now)
            return
        stream = self._stream(command.stream, "play")
        if stream is None:
            return
        if not stream.connected:
            self.complaints.append(f"play on a stream without a peer {command.stream}")
        if any(one.stream == command.stream and now < one.started for one in self.recordings.values()):
            self.complaints.append(f"{command.tone or command.files} takes the beep of a recording away on {command.stream}")
        if stream.play:
            self._end_play(command.stream, stream, "replaced", now)
        (self.silences if command.tone == "silence" else self.played).append(command)
        stream.play, stream.play_started = command.play, now
        if command.loop or command.duration_ms:
            length = command.duration_ms / 1000 or self.play_ms * command.loop * max(1, len(command.files)) / 1000
            event = engine.PlayEnded(stream=command.stream, play=command.play, reason="finished", position_ms=int(length * 1000))
            self._count += 1
            heapq.heappush(self._queue, (now + length, self._count, event))

    def _end_play(self, name: str, stream: _Stream, reason: str, now: float) -> None:
        position = int((now - stream.play_started) * 1000)
        self._later(name, engine.PlayEnded(stream=name, play=stream.play, reason=reason, position_ms=position), now)
        stream.play = ""

    def _mixing(self, command: engine.Join | engine.Leave | engine.Mute, now: float) -> None:
        match command:
            case engine.Join():
                self._join(command, now)
            case engine.Leave():
                self._leave(command.mix, command.stream, command.beep, now)
            case engine.Mute():
                if self._stream(command.stream, "mute"):
                    (self.muted.add if command.muted else self.muted.discard)(command.stream)

    def _join(self, command: engine.Join, now: float) -> None:
        if self._stream(command.stream, "join") is None:
            return
        if any(command.stream in pair for pair in self.bridges.values()) or any(
            command.stream in members for name, members in self.mixes.items() if name != command.mix
        ):
            self.complaints.append(f"join of {command.stream}, which is busy")
            return
        members = self.mixes.setdefault(command.mix, [])
        if command.stream in members:
            return
        if len(members) >= self.mix_members:
            self.complaints.append(f"join of {command.stream} to a full mix")
            return
        members.append(command.stream)
        if command.beep:
            self.beeps.append((command.mix, "in", command.stream))
        self._later(command.stream, engine.Joined(mix=command.mix, stream=command.stream, members=len(members)), now)

    def _leave(self, mix: str, stream: str, beep: bool, now: float) -> None:
        members = self.mixes.get(mix, [])
        if stream not in members:
            return
        members.remove(stream)
        if beep:
            self.beeps.append((mix, "out", stream))
        self._later(stream, engine.Left(mix=mix, stream=stream, members=len(members)), now)
        if not members:
            if mix in self.mix_plays:
                self._end_mix_play(mix, self.mix_plays[mix].play, "closed", now)
            del self.mixes[mix]

    def _play_to_mix(self, command: engine.Play, now: float) -> None:
        if command.mix not in self.mixes:
            self.complaints.append(f"play on unknown mix {command.mix}")
            return
        if command.mix in self.mix_plays:
            self._end_mix_play(command.mix, self.mix_plays[command.mix].play, "replaced", now)
        self.mix_plays[command.mix] = command
        self.played.append(command)
        if command.loop:
            length = self.play_ms * command.loop * max(1, len(command.files)) / 1000
            event = engine.PlayEnded(mix=command.mix, play=command.play, reason="finished", position_ms=int(length * 1000))
            self._count += 1
            heapq.heappush(self._queue, (now + length, self._count, event))

    def _end_mix_play(self, mix: str, play: str, reason: str, now: float) -> None:
        if mix in self.mix_plays and self.mix_plays[mix].play == play:
            del self.mix_plays[mix]
            self._later(mix, engine.PlayEnded(mix=mix, play=play, reason=reason), now)

    def _unbridge(self, bridge: str, now: float) -> None:
        if self.bridges.pop(bridge, None) is None:
            return
        for name in [name for name, recording in self.recordings.items() if recording.bridge == bridge]:
            self._end_recording(name, "ended", now)

    def _record(self, command: engine.Record, now: float) -> None:
        self.records.append(command)
        if command.stream:
            stream = self._stream(command.stream, "record")
            if stream is None:
                return
            if not stream.connected:
                self.complaints.append(f"record of a stream without a peer {command.stream}")
        elif command.bridge not in self.bridges:
            self.complaints.append(f"record of unknown bridge {command.bridge}")
        began = now + (0.5 if command.beep else 0.0)
        if command.beep and self.streams[command.stream].play:
            self._end_play(command.stream, self.streams[command.stream], "replaced", now)
        self.recordings[command.recording] = _Recording(command.bridge, command.path, began, command.stream, command.finish_keys)
        if self.slow_disk:
            return
        self._later(command.recording, engine.RecordingStarted(recording=command.recording), began)
        if command.silence_ms:  # it ends by itself
            silent_ms = self.speech_ms(command.stream) + command.silence_ms
            length, reason = min((silent_ms, "silence"), (command.max_ms, "max"))
            self._later(command.recording, self._ended(command.recording, command.path, length, reason), began + length / 1000)
            self._last.pop(command.recording)  # something else may end it before

    def _end_recording(self, name: str, reason: str, now: float, detail: str = "") -> None:
        recording = self.recordings.pop(name)
        if now < recording.started:  # it never began
            self._queue = [entry for entry in self._queue if entry[2] != engine.RecordingStarted(recording=name)]
            heapq.heapify(self._queue)
        if not self.slow_disk:
            length = max(0, int((now - recording.started) * 1000))
            self._later(name, self._ended(name, recording.path, length, reason, detail), now)

    @staticmethod
    def _ended(name: str, path: str, length: int, reason: str, detail: str = "") -> engine.RecordingEnded:
        size = 44 + 16 * length
        return engine.RecordingEnded(recording=name, path=path, duration_ms=length, size_bytes=size, reason=reason, detail=detail)

    def _close(self, name: str, now: float) -> None:
        stream = self.streams.pop(name, None)
        for bridge in [bridge for bridge, pair in self.bridges.items() if name in pair]:
            self._unbridge(bridge, now)
        for mix in [mix for mix, members in self.mixes.items() if name in members]:
            self._leave(mix, name, False, now)
        self.muted.discard(name)
        for recording in [recording for recording, one in self.recordings.items() if one.stream == name]:
            self._end_recording(recording, "ended", now)
        if stream is not None and stream.play:
            self._end_play(name, stream, "closed", now)
        self._later(name, engine.Closed(stream=name), now)

    def _stream(self, name: str, op: str) -> _Stream | None:
        stream = self.streams.get(name)
        if stream is None:
            self.complaints.append(f"{op} on unknown stream {name}")
        return stream

    def _later(self, key: str, event: engine.Event | engine.EngineLost, now: float) -> None:
        """In order for each stream, after a little while."""
        at = max(now + self._rng.random() * self._delay_s, self._last.get(key, 0.0))
        self._last[key] = at
        self._count += 1
        heapq.heappush(self._queue, (at, self._count, event))


Page = Callable[[Fetch], Fetched]


@dataclass
class FakeWeb:
    """The application. pages: URL -> RCML text, or a function of the request. Unknown URLs are answered 200 and empty.

    slow: URL -> how long its answer takes, in seconds; others take up to delay_s.
    """

    rng: random.Random
    pages: dict[str, str | Page] = field(default_factory=dict)
    delay_s: float = 0.05
    requests: list[tuple[float, Fetch]] = field(default_factory=list)
    broken_prompts: set[str] = field(default_factory=set)
    slow: dict[str, float] = field(default_factory=dict)
    prepared: list[Prepare | Synthesize] = field(default_factory=list)
    _queue: list[tuple[float, int, Fetched | Prepared]] = field(default_factory=list)

    def fetch(self, request: Fetch, now: float) -> None:
        self.requests.append((now, request))
        page = self.pages.get(request.url, "")
        answer = page(request) if callable(page) else self.answer(request, page)
        after_s = self.slow.get(request.url) or self.rng.random() * self.delay_s
        heapq.heappush(self._queue, (now + after_s, request.request, answer))

    @staticmethod
    def answer(request: Fetch, page: str) -> Fetched:
        kind = "application/xml" if page else ""
        return Fetched(request.request, 200, url=request.url, content_type=kind, body=page.encode())

    def prepare(self, request: Prepare | Synthesize, now: float) -> None:
        self.prepared.append(request)
        url = request.url if isinstance(request, Prepare) else ""
        broken = url in self.broken_prompts
        answer = Prepared(request.prompt, "" if broken else f"/prompts/{request.prompt}.wav", 1000, "fetch" if broken else "")
        heapq.heappush(self._queue, (now + self.rng.random() * self.delay_s, request.prompt, answer))

    def due(self, now: float) -> list[Fetched | Prepared]:
        out = []
        while self._queue and self._queue[0][0] <= now:
            out.append(heapq.heappop(self._queue)[2])
        return out

    def next_deadline(self) -> float | None:
        return self._queue[0][0] if self._queue else None

    def of(self, purpose: str) -> list[dict[str, str]]:
        """Parameters of the requests made for `purpose`, in order."""
        return [dict(request.parameters) for _, request in self.requests if request.purpose == purpose]
