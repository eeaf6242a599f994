"""baresip, a softphone that nobody here wrote, without a screen: it answers or calls, says a file and keeps what it hears."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import sound
from tests.support.sipp import free_port

MODULE_PATHS = ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules")
MODULES = ("g711.so", "aufile.so", "aubridge.so", "sndfile.so")


class BaresipFailed(AssertionError):
    """It did not start or did not do what was awaited; the text holds what it said."""


@dataclass(slots=True)
class Baresip:
    """One baresip at `host` over UDP (and TCP, when called so). `says` is its voice; it hangs up when it has said it."""

    directory: Path
    says: sound.Samples
    host: str = "127.0.0.1"
    codecs: str = "PCMU,PCMA"
    port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    output: str = ""
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None

    @property
    def uri(self) -> str:
        return f"sip:baresip@{self.host}:{self.port}"

    async def start(self, dial: str = "") -> None:
        """Start it; it answers every call at once, and calls `dial` if that is given."""
        self._write()
        command = ["baresip", "-4", "-f", str(self.directory), "-t", "30", *(("-e", f"/dial {dial}") if dial else ())]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        self._reader = asyncio.create_task(self._read(self._process))
        await self.until("baresip is ready")

    async def until(self, text: str, timeout_s: float = 15.0) -> None:
        """Wait until it has said so. Raises BaresipFailed when it does not."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while text not in self.output:
            if asyncio.get_running_loop().time() > deadline or (self._process is not None and self._process.returncode is not None):
                raise BaresipFailed(f"no {text!r} from baresip:\n{self.output}")
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it; its files are complete then."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    def heard(self) -> sound.Samples:
        """All that it decoded in its (one) call."""
        files = sorted(self.directory.glob("dump/*-dec.wav"))
        if not files:
            raise BaresipFailed(f"baresip decoded nothing:\n{self.output}")
        samples, rate_hz = sound.read_wav(files[0])
        if rate_hz != sound.RATE_HZ:
            raise BaresipFailed(f"baresip decoded at {rate_hz} Hz")
        return samples[:, 0]

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is not None:
            while part := await process.stdout.read(4096):
                self.output += part.decode(errors="replace")

    def _write(self) -> None:
        (self.directory / "dump").mkdir(parents=True)
        modules = next((path for path in MODULE_PATHS if Path(path).is_dir()), None)
        if modules is None:
            raise BaresipFailed(f"baresip's modules are in none of {', '.join(MODULE_PATHS)}")
        voice = self.directory / "voice.wav"
        voice.write_bytes(sound.wav(self.says))
        lines = [
            f"sip_listen {self.host}:{self.port}",
            "call_local_timeout 30",
            "call_max_calls 1",
            "audio_player aubridge,sink",
            f"audio_source aufile,{voice}",
            "audio_alert aubridge,alert",
            "ausrc_srate 8000",
            "auplay_srate 8000",
            "ausrc_channels 1",
            "auplay_channels 1",
            f"snd_path {self.directory / 'dump'}",
            f"module_path {modules}",
            *(f"module {name}" for name in MODULES),
            "module_app account.so",
            "module_app menu.so",
        ]
        (self.directory / "config").write_text("\n".join(lines) + "\n")
        (self.directory / "accounts").write_text(f"<sip:baresip@{self.host}>;regint=0;answermode=auto;audio_codecs={self.codecs}\n")
        (self.directory / "contacts").write_text("")
