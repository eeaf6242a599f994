"""The control process's end of the media worker's socket: starts or adopts a worker, speaks to it, notices its death.

One task, `_run`, lives from `start` to `stop` and goes round: connect (adopt who listens, else start the program) → read
events until the socket ends → report EngineLost → wait a little → connect again. `send` writes only while a session
stands; otherwise it answers with Failed(code="no_worker"), later in the loop's turn, never within the call.

Beside it `_watch` sees whether the worker still answers: no stream is opened on one that does not, and after a while it is killed.

A worker that we find alive may carry streams of a controller that died. They are listed, logged and closed, which finishes
their recordings; what the worker says of them is logged here and does not reach call control.

A worker obeys the controller that greeted it last, so two control processes on one socket would take each other's calls
away for ever. A lock beside the socket, held as long as the client lives, lets the second one fail at its start instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import struct
from collections.abc import Callable

import msgspec

from media.engine import (
    PROTOCOL_VERSION,
    Bridge,
    Close,
    Closed,
    Command,
    EngineLost,
    Event,
    Failed,
    Hello,
    List,
    Listing,
    Open,
    Ping,
    Play,
    Pong,
    Record,
    RecordingEnded,
    Shutdown,
    StopPlay,
    StopRecord,
    Unbridge,
    Welcome,
)
from media.errors import UsageError, WorkerUnavailable
from media.heartbeat import BEAT_S, Beat, Heartbeat
from media.settings import MediaSettings
from media.worker_process import (
    TERMINATE_S,
    WorkerProcess,
    describe_exit,
    find_worker,
    peer_pid,
    remove_stale_socket,
    take_lock,
    worker_arguments,
)

__all__ = ["WorkerClient", "WorkerUnavailable"]

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 1 << 20
HANDSHAKE_S = 5.0
FIRST_PAUSE_S = 0.1
STEADY_S = 10.0  # a session that stood so long starts the back-off anew
MAX_SOCKET_PATH = 107  # sun_path without its NUL

_LENGTH = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Event] = msgspec.msgpack.Decoder(Event).decode

Deliver = Callable[[Event | EngineLost], None]


class WorkerClient:
    """The real `media.engine.Engine`.

    on_event is called in the event loop, once per event, in order; it must not block.
    """

    def __init__(self, settings: MediaSettings, on_event: Deliver, instance_id: str) -> None:
        self._settings = settings
        self._on_event = on_event
        self._instance_id = instance_id
        self._path = settings.socket_path
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None  # only while commands may be sent
        self._child: WorkerProcess | None = None
        self._stopping = False
        self._lock = -1  # a file descriptor
        self._watcher: asyncio.Task[None] | None = None
        self._heartbeat = Heartbeat(settings.worker_hung_s)
        self._orphans: set[str] = set()  # streams and recordings of an earlier controller, on their way out

    @property
    def connected(self) -> bool:
        return self._writer is not None

    @property
    def ailment(self) -> str:
        """Why no call could be served now; empty: one could."""
        if self._writer is None:
            return "no media worker"
        return "the media worker does not answer" if self._heartbeat.hung else ""

    async def start(self) -> Welcome:
        """Adopt the worker that listens, or start one.

        Raises:
            WorkerUnavailable: there is none and none can be had. Nothing is left running.
        """
        if self._task is not None:
            raise UsageError("started twice")
        if not self._path:
            raise UsageError("no socket path")
        if len(os.fsencode(self._path)) > MAX_SOCKET_PATH:
            raise WorkerUnavailable(f"the socket's path is longer than {MAX_SOCKET_PATH} octets: {self._path}")
        self._loop = asyncio.get_running_loop()
        self._lock = take_lock(self._path)
        ready: asyncio.Future[Welcome] = self._loop.create_future()
        self._task = asyncio.create_task(self._run(ready), name="media-worker-client")
        self._task.add_done_callback(_report_bug)
        try:
            await asyncio.wait((ready, self._task), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.stop(shutdown_worker=True)
            raise
        try:
            if not ready.done():
                self._task.result()  # raises what went wrong in it
            welcome = ready.result()
        except BaseException:
            self._release_lock()
            raise
        self._watcher = asyncio.create_task(self._watch(), name="media-worker-watch")
        self._watcher.add_done_callback(_report_bug)
        return welcome

    def send(self, command: Command) -> None:
        """Queue a command. Never blocks, never raises; what cannot be sent is answered by Failed."""
        if self._writer is None:
            self._refuse(command, "no_worker", "the media worker is not there")
            return
        if self._heartbeat.hung and isinstance(command, Open):
            self._refuse(command, "no_worker", f"the media worker has not answered for {self._heartbeat.silent_s:.0f} s")
            return
        try:
            frame = _frame(command)
        except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError) as error:  # a lone surrogate, a number beyond 64 bits
            self._refuse(command, "frame", f"cannot be written: {error}")
            return
        if len(frame) > MAX_FRAME_BYTES + _LENGTH.size:
            self._refuse(command, "frame", f"a command of {len(frame)} octets")
            return
        waiting = self._writer.transport.get_write_buffer_size()
        if waiting + len(frame) > self._settings.send_buffer_bytes:
            log.error("media_worker_stuck", extra={"waiting_bytes": waiting})
            self._refuse(command, "no_worker", "the media worker does not read")
            self._hang_up()
            return
        self._writer.write(frame)

    async def stop(self, *, shutdown_worker: bool) -> None:
        """End the connection. shutdown_worker: the worker too, politely, then less so; without it, it goes on with its streams."""
        self._stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        writer, self._writer = self._writer, None
        if writer is not None:
            if shutdown_worker:
                peer = peer_pid(writer)
                writer.write(_frame(Shutdown()))
                if not await self._wait_end(self._settings.worker_stop_timeout_s) and peer:
                    await self._force_end(peer)
            else:
                with contextlib.suppress(OSError, asyncio.TimeoutError):
                    await asyncio.wait_for(writer.drain(), TERMINATE_S)
            writer.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._child is not None:
            if shutdown_worker:  # after a Shutdown it is on its way; a worker that we never spoke to hears of it now
                await self._child.end(TERMINATE_S if writer is not None else 0, self._settings.worker_stop_timeout_s)
            await self._child.close()
            self._child = None
        self._release_lock()

    # --- the task -------------------------------------------------------------------------------------------------

    async def _run(self, ready: asyncio.Future[Welcome]) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while True:
            try:
                reader, writer, welcome = await self._connect()
            except WorkerUnavailable as unavailable:
                await self._end_child()
                if not ready.done():
                    ready.set_exception(unavailable)
                    return
                log.error("media_worker_unavailable", extra={"reason": str(unavailable), "retry_s": pause})
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._settings.worker_restart_max_s)
                continue
            since = loop.time()
            self._heartbeat.heard()
            self._writer = writer
            log.info("media_worker_connected", extra={"pid": welcome.pid, "worker": welcome.worker, "threads": welcome.threads})
            if ready.done():
                self._deliver(welcome)
            else:
                ready.set_result(welcome)
            reason = await self._read(reader)
            writer.close()
            self._writer = None
            if self._stopping:
                return
            self._orphans.clear()
            if self._child is not None and (status := await self._child.wait(TERMINATE_S)) is not None:
                reason = f"{reason}; the worker {describe_exit(status)}"
                await self._child.close()
                self._child = None
            log.error("media_worker_lost", extra={"reason": reason})
            self._deliver(EngineLost(reason))
            if loop.time() - since > STEADY_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._settings.worker_restart_max_s)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Welcome]:
        """A session with a worker: the one that listens, else a new one."""
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return await self._greet()
        if self._child is None:
            self._child = self._spawn()
        deadline = asyncio.get_running_loop().time() + self._settings.worker_start_timeout_s
        while True:
            if (status := self._child.poll()) is not None:
                await self._child.close()
                raise WorkerUnavailable(f"the media worker {describe_exit(status)} at its start{self._child.last_words()}")
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return await self._greet()
            if asyncio.get_running_loop().time() > deadline:
                raise WorkerUnavailable(f"the media worker does not listen on {self._path}{self._child.last_words()}")
            await asyncio.sleep(0.02)

    async def _greet(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Welcome]:
        """Connect, say Hello, clear what an earlier controller left.

        Raises:
            FileNotFoundError, ConnectionRefusedError: nobody listens.
            WorkerUnavailable: who listens is no worker that we can use.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise
        except OSError as error:
            raise WorkerUnavailable(f"{self._path}: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                welcome = await self._handshake(reader, writer)
        except BaseException as error:
            writer.close()
            if isinstance(error, TimeoutError):
                raise WorkerUnavailable(f"who listens on {self._path} does not answer") from error
            if isinstance(error, OSError | asyncio.IncompleteReadError):
                raise WorkerUnavailable(f"who listens on {self._path} hung up at the greeting") from error
            raise
        return reader, writer, welcome

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Welcome:
        writer.write(_frame(Hello(controller=self._instance_id)))
        welcome = await self._next(reader)
        if isinstance(welcome, Failed):
            raise WorkerUnavailable(f"the worker on {self._path} refuses us: {welcome.code} {welcome.reason}")
        if not isinstance(welcome, Welcome):
            raise WorkerUnavailable(f"who listens on {self._path} does not greet")
        if welcome.version != PROTOCOL_VERSION:
            who = f"the worker on {self._path} (pid {welcome.pid}, {welcome.worker})"
            raise WorkerUnavailable(f"{who} speaks protocol {welcome.version}, we speak {PROTOCOL_VERSION}")
        writer.write(_frame(List()))
        while not isinstance(listing := await self._next(reader), Listing):
            log.info("media_orphan_event", extra={"media_event": repr(listing)})
        for stream in listing.streams:
            log.warning("media_orphan_closed", extra={"stream": stream.stream, "call_sid": stream.call, "port": stream.port})
            writer.write(_frame(Close(stream=stream.stream)))
        self._orphans = {stream.stream for stream in listing.streams} | set(listing.recordings)
        return welcome

    # --- events ---------------------------------------------------------------------------------------------------

    async def _read(self, reader: asyncio.StreamReader) -> str:
        """Deliver events until the connection ends; returns why it did."""
        try:
            while True:
                event = await self._next(reader)
                if self._heartbeat.hung:
                    log.warning("media_worker_answers_again", extra={"silent_s": self._heartbeat.silent_s})
                self._heartbeat.heard()
                if isinstance(event, Pong):
                    continue
                if self._orphans and self._of_orphan(event):
                    log.info("media_orphan_event", extra={"media_event": repr(event)})
                else:
                    self._deliver(event)
        except asyncio.IncompleteReadError:
            return "the connection ended"
        except (OSError, WorkerUnavailable) as error:
            return f"the connection failed: {error}"

    async def _next(self, reader: asyncio.StreamReader) -> Event:
        """The next event that can be read. Raises IncompleteReadError, OSError, or WorkerUnavailable when the framing is lost."""
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > MAX_FRAME_BYTES:
                raise WorkerUnavailable(f"a frame of {length} octets")
            payload = await reader.readexactly(length)
            try:
                return _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log.error("media_event_unreadable", extra={"error": str(error), "size_bytes": length, "start": payload[:64].hex()})

    def _of_orphan(self, event: Event) -> bool:
        subject = getattr(event, "recording", "") or getattr(event, "stream", "") or getattr(event, "subject", "")
        if subject not in self._orphans:
            return False
        if isinstance(event, Closed | RecordingEnded):
            self._orphans.discard(subject)
        return True

    def _deliver(self, event: Event | EngineLost) -> None:
        try:
            self._on_event(event)
        except Exception:  # the reader must outlive a bug of its user
            log.exception("media_event_handler_failed", extra={"media_event": repr(event)})

    def _refuse(self, command: Command, code: str, reason: str) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        failed = Failed(op=str(command.__struct_config__.tag), subject=_subject(command), code=code, reason=reason)
        self._loop.call_soon(self._deliver, failed)

    def _release_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _hang_up(self) -> None:
        """Give a connection up at once; the task notices."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def _watch(self) -> None:
        """Beat while a session stands."""
        while True:
            await asyncio.sleep(BEAT_S)
            if self._writer is None:
                self._heartbeat.heard()
                continue
            hung = self._heartbeat.hung
            beat = self._heartbeat.beat()
            if beat is Beat.REPLACE:
                self._kill_hung()
            elif beat is not Beat.WELL:
                self._writer.write(_frame(Ping()))
                if beat is Beat.HUNG and not hung:
                    log.error("media_worker_hung", extra={"silent_s": self._heartbeat.silent_s, "replaced_s": self._settings.worker_hung_s})

    def _kill_hung(self) -> None:
        """Give a worker up that does not answer. It is the peer of an open socket, so the number is still its own."""
        if self._writer is not None and (pid := peer_pid(self._writer)) not in (0, os.getpid()):
            log.error("media_worker_given_up", extra={"pid": pid, "silent_s": self._heartbeat.silent_s})
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._hang_up()

    # --- the program ----------------------------------------------------------------------------------------------

    def _spawn(self) -> WorkerProcess:
        program = find_worker(self._settings)
        remove_stale_socket(self._path)
        try:
            child = WorkerProcess([program, *worker_arguments(self._settings)])
        except OSError as error:
            raise WorkerUnavailable(f"cannot start {program}: {error.strerror or error}") from error
        log.info("media_worker_started", extra={"pid": child.pid, "program": program})
        return child

    async def _end_child(self) -> None:
        if self._child is not None:
            await self._child.end(0, TERMINATE_S)
            await self._child.close()
            self._child = None

    async def _wait_end(self, timeout_s: float) -> bool:
        """Whether the reading task came to its end, which is when the worker closed the socket."""
        if self._task is None:
            return True
        done, _ = await asyncio.wait([self._task], timeout=timeout_s)
        return bool(done)

    async def _force_end(self, pid: int) -> None:
        """End a worker that ignores Shutdown. It is the peer of an open socket, so the number is still its own."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            log.warning("media_worker_signal", extra={"pid": pid, "signal": number.name})
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
            if await self._wait_end(TERMINATE_S):
                return


def _report_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("media_worker_client_failed", exc_info=error)


def _frame(command: Command) -> bytes:
    payload = _encode(command)
    return _LENGTH.pack(len(payload)) + payload


def _subject(command: Command) -> str:
    """The id that a Failed for this command names."""
    match command:
        case Play(play=subject) | StopPlay(play=subject):
            return subject
        case Record(recording=subject) | StopRecord(recording=subject):
            return subject
        case Bridge(bridge=subject) | Unbridge(bridge=subject):
            return subject
        case _:
            return getattr(command, "stream", "")
