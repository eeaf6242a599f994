"""baresip, a softphone that nobody here wrote, without a screen: it answers or calls, says a file and keeps what it hears.

It is told what to do over its control connection (`command`), tells there what happens (`event`), and prints every SIP message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import ports, sound
from tests.support.ports import free_port
from tests.support.softphone import Softphone

MODULE_PATHS = ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules")
MODULES = ("g711.so", "g722.so", "opus.so", "l16.so", "aufile.so", "aubridge.so", "sndfile.so")

Event = dict[str, str]


class BaresipFailed(AssertionError):
    """It is not there, did not start or did not do what was awaited; the text holds what it said."""


@dataclass(slots=True)
class Baresip(Softphone):
    """One baresip at `host` over UDP and TCP. `says` is its voice; it hangs up when it has said it.

    codecs: by baresip's names, such as `PCMU`, `G722/16000/1`, `opus/48000/2`.

    answers: `auto`, at once; `manual`, when told to `accept`; or `early`, like that but with a 183 and its SDP before.
    encrypts: `` not at all, `srtp` where the other does, `srtp-mand` always (keys in the SDP).
    Also a context manager, which starts it without a call to make and ends it in any case.
    """

    directory: Path
    says: sound.Samples
    host: str = "127.0.0.1"
    codecs: str = "PCMU,PCMA"
    answers: str = "auto"
    encrypts: str = ""
    more: tuple[str, ...] = ()  # lines of its configuration
    # It listens for TLS at the port above the one that it is given.
    port: int = field(default_factory=lambda: free_port("127.0.0.1", neighbours=1))
    output: str = ""
    events: list[Event] = field(default_factory=list)
    _control_port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _listener: asyncio.Task[None] | None = None
    _writer: asyncio.StreamWriter | None = None
    _replies: asyncio.Queue[tuple[bool, str]] = field(default_factory=asyncio.Queue)

    @property
    def uri(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sip:baresip@{host}:{self.port}"

    async def start(self, dial: str = "") -> None:
        """Start it; it answers calls as `answers` says, and calls `dial` if that is given."""
        if shutil.which("baresip") is None:
            raise BaresipFailed("there is no baresip: install the package baresip-core")
        self._write()
        family = "-6" if ":" in self.host else "-4"
        command = ["baresip", family, "-s", "-f", str(self.directory), "-t", "30", *(("-e", f"/dial {dial}") if dial else ())]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        self.listen_to(await asyncio.create_subprocess_exec(*command, stdin=null, stdout=pipe, stderr=asyncio.subprocess.STDOUT))
        await self.until("baresip is ready")
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._control_port)
        self._listener = asyncio.create_task(self._listen(reader))

    async def until(self, text: str, timeout_s: float = 15.0) -> None:
        """Wait until it has said so. Raises BaresipFailed when it does not."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while text not in self.output:
            if asyncio.get_running_loop().time() > deadline or self.ended:
                raise BaresipFailed(f"no {text!r} from baresip:\n{self.output}")
            await asyncio.sleep(0.02)

    async def command(self, name: str, parameters: str = "") -> str:
        """Tell it to do something (`dial`, `accept`, `hangup`, `hold`, `resume`, `sndcode` ...); what it says to that.

        Raises:
            BaresipFailed: it knows no such command now, or does not answer.
        """
        if self._writer is None:
            raise BaresipFailed("baresip was not started")
        text = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self._writer.write(b"%d:%s," % (len(text), text))
        try:
            ok, data = await asyncio.wait_for(self._replies.get(), 5.0)
        except TimeoutError:
            raise BaresipFailed(f"baresip did not answer {name!r}:\n{self.output}") from None
        if not ok:
            raise BaresipFailed(f"baresip would not {name} {parameters}: {data}\n{self.output}")
        return data

    async def event(self, kind: str, *, occurrence: int = 1, timeout_s: float = 10.0) -> Event:
        """Wait for the n-th event of a kind, such as CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED.

        Raises:
            BaresipFailed: it did not come; the text says what did.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while len(found := [event for event in self.events if event["type"] == kind]) < occurrence:
            if asyncio.get_running_loop().time() > deadline:
                seen = ", ".join(f"{event['type']} {event.get('param', '')}" for event in self.events)
                raise BaresipFailed(f"no event {kind} ({occurrence}) from baresip, but {seen or 'none'}:\n{self.output}")
            await asyncio.sleep(0.02)
        return found[occurrence - 1]

    async def seconds_decoded(self) -> float:
        """How much of the other's voice its decoder has taken so far, by the RTP timestamps."""
        found = re.search(r"rx:.*?time = ([0-9.]+) sec", await self.command("audio_debug"), re.DOTALL)
        return float(found[1]) if found else 0.0

    async def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        await self.leave()
        if self._listener is not None:
            await self._listener
        if self._writer is not None:
            self._writer.close()

    def heard(self) -> sound.Samples:
        """All that it decoded in its (one) call, at 8000 Hz whatever the codec.

        Its file ends where it is put on hold, and is not gone on with.
        """
        files = sorted(self.directory.glob("dump/*-dec.wav"))
        if not files:
            raise BaresipFailed(f"baresip decoded nothing:\n{self.output}")
        samples, rate_hz = sound.read_wav(files[0])
        return samples[:, 0] if rate_hz == sound.RATE_HZ else sound.resample(samples[:, 0], rate_hz, sound.RATE_HZ)

    def codec(self) -> str:
        """The name of the codec that the last session description gave or took, as its rtpmap says."""
        body = self.output[self.output.rindex("m=audio") :]
        number = body.split()[3]
        found = re.search(rf"a=rtpmap:{number} ([^/\s]+)/", body)
        if not found:
            raise BaresipFailed(f"no rtpmap for {number}:\n{self.output}")
        return found[1]

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Its control connection: netstrings of JSON, replies and events mixed."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads((await reader.readexactly(length + 1))[:-1])
                if message.get("response"):
                    self._replies.put_nowait((bool(message["ok"]), str(message["data"])))
                else:
                    self.events.append({key: str(value) for key, value in message.items()})

    def _write(self) -> None:
        (self.directory / "dump").mkdir(parents=True)
        modules = next((path for path in MODULE_PATHS if Path(path).is_dir()), None)
        if modules is None:
            raise BaresipFailed(f"baresip's modules are in none of {', '.join(MODULE_PATHS)}")
        voice = self.directory / "voice.wav"
        # At the codec's own rate: its resampler makes images.
        rate_hz = int((*self.codecs.split(",")[0].split("/"), str(sound.RATE_HZ))[1])
        voice.write_bytes(sound.wav(sound.resample(self.says, sound.RATE_HZ, rate_hz), rate_hz))
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [
            f"sip_listen {host}:{self.port}",
            f"net_interface {self.host}",
            f"rtp_ports {ports.BARESIP[0]}-{ports.BARESIP[1]}",
            "call_local_timeout 30",
            "call_max_calls 1",
            "audio_player aubridge,loudspeaker",
            f"audio_source aufile,{voice}",
            "audio_alert aubridge,alert",
            f"ausrc_srate {rate_hz}",
            f"auplay_srate {rate_hz}",
            "ausrc_channels 1",
            "auplay_channels 1",
            f"snd_path {self.directory / 'dump'}",
            f"module_path {modules}",
            *(f"module {name}" for name in MODULES),
            *(["module srtp.so"] if self.encrypts else []),
            "module_app account.so",
            "module_app menu.so",
            "module_app ctrl_tcp.so",
            f"ctrl_tcp_listen 127.0.0.1:{self._control_port}",
            *self.more,
        ]
        (self.directory / "config").write_text("\n".join(lines) + "\n")
        account = f"<sip:baresip@{host}>;regint=0;answermode={self.answers};audio_codecs={self.codecs}"
        (self.directory / "accounts").write_text(account + (f";mediaenc={self.encrypts}" if self.encrypts else "") + "\n")
        (self.directory / "contacts").write_text("")
