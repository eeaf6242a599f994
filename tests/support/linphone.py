"""Linphone, a softphone that nobody here wrote, without a screen (`linphonec`): it answers or calls, says a file and keeps what it hears.

It is told what to do on its standard input, prints what happens, and writes every SIP message into its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import sound
from tests.support.ports import free_port
from tests.support.softphone import Softphone

# All that it would offer otherwise, by the names of its configuration.
CODECS = {
    "opus": ("opus", 48000, 2),
    "speex16": ("speex", 16000, 1),
    "speex": ("speex", 8000, 1),
    "PCMU": ("PCMU", 8000, 1),
    "PCMA": ("PCMA", 8000, 1),
    "G722": ("G722", 8000, 1),
    "G729": ("G729", 8000, 1),
    "GSM": ("GSM", 8000, 1),
}


class LinphoneFailed(AssertionError):
    """It is not there, did not start or did not do what was awaited; the text holds what it said."""


@dataclass(slots=True)
class Linphone(Softphone):
    """One Linphone at 127.0.0.1 over UDP. `says` is its voice, silence after it; it stays in the call until told to `terminate`.

    codecs: names of CODECS, the first preferred. answers: by itself, or when told to `answer`. encrypts: `` not at all, `srtp` where
    the other does, `srtp-mand` always (keys in the SDP). keys: `rfc4733` or `info`.
    """

    directory: Path
    says: sound.Samples
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    answers: bool = True
    encrypts: str = ""
    keys: str = "rfc4733"
    port: int = field(default_factory=lambda: free_port("127.0.0.1"))
    output: str = ""
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None

    @property
    def uri(self) -> str:
        return f"sip:linphone@127.0.0.1:{self.port}"

    async def start(self) -> None:
        if shutil.which("linphonec") is None:
            raise LinphoneFailed("there is no linphonec: install the package linphone-cli")
        self._write()
        command = [
            "linphonec",
            "-c",
            str(self.directory / "linphonerc"),
            "-d",
            "6",
            "-l",
            str(self._log),
            *(["-a"] if self.answers else []),
        ]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LC_ALL": "C.UTF-8"}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.directory, env=environment, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        self.listen_to(process)
        self.command("soundcard use files")
        self.command(f"play {self.directory / 'voice.wav'}")
        self.command(f"record {self._heard}")
        await self.until_logged("Creating listening point")

    def command(self, text: str) -> None:
        """Tell it to do something: `call URI`, `answer`, `pause`, `resume ID`, `terminate`; a key is sent as it stands.

        A command that comes at the heels of another waits for a second, and so does all else that it would do.
        """
        if self._process is None or self._process.stdin is None:
            raise LinphoneFailed("Linphone was not started")
        self._process.stdin.write(text.encode() + b"\n")

    async def until(self, text: str, *, occurrence: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until it has printed that so often."""
        await self._until(lambda: self.output, text, occurrence, timeout_s)

    async def until_logged(self, text: str, *, occurrence: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until that stands in its log so often."""
        await self._until(lambda: self.log, text, occurrence, timeout_s)

    async def _until(self, where: Callable[[], str], text: str, occurrence: int, timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while where().count(text) < occurrence:
            if self.ended or asyncio.get_running_loop().time() > deadline:
                raise LinphoneFailed(f"no {text!r} ({occurrence}) from Linphone:\n{self.output}\n{self.log[-20000:]}")
            await asyncio.sleep(0.02)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def media_lines(self) -> list[str]:
        """The m-lines of all session descriptions that it sent and received, in order."""
        return re.findall(r"^m=audio .*$", self.log, re.MULTILINE)

    async def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ConnectionError, LinphoneFailed):
                self.command("quit")
        await self.leave()

    def heard(self) -> sound.Samples:
        """What it decoded in its last call, at 8000 Hz whatever the codec."""
        if not self._heard.exists():
            raise LinphoneFailed(f"Linphone heard nothing:\n{self.output}")
        samples, rate_hz = sound.read_wav(self._heard)
        return sound.resample(samples[:, 0], rate_hz, sound.RATE_HZ)

    @property
    def _heard(self) -> Path:
        return self.directory / "heard.wav"

    @property
    def _log(self) -> Path:
        return self.directory / "linphone.log"

    def _write(self) -> None:
        (self.directory / ".local/share/linphone").mkdir(parents=True)  # without it, it never begins to listen
        rate_hz = 48000 if self.codecs[0] == "opus" else 16000 if self.codecs[0] == "G722" else 8000
        voice = sound.resample(self.says, sound.RATE_HZ, rate_hz)
        (self.directory / "voice.wav").write_bytes(sound.wav(voice, rate_hz))
        lines = [
            "[sip]",
            f"sip_port={self.port}",
            "sip_tcp_port=0",
            "sip_tls_port=0",
            "bind_address=127.0.0.1",
            "guess_hostname=0",
            'contact="linphone" <sip:linphone@127.0.0.1>',
            f"use_info={int(self.keys == 'info')}",
            f"use_rfc2833={int(self.keys == 'rfc4733')}",
            f"media_encryption={'srtp' if self.encrypts else 'none'}",
            f"media_encryption_mandatory={int(self.encrypts == 'srtp-mand')}",
            "[rtp]",
            "audio_rtp_port=-1",
            "video_rtp_port=-1",
            "text_rtp_port=-1",
            "[net]",
            "dns_srv_enabled=0",
            "[misc]",
            "version_check_url_root=",
            "[video]",
            "capture=0",
            "display=0",
            "automatically_initiate=0",
            "automatically_accept=0",
        ]
        for index, name in enumerate([*self.codecs, *(name for name in CODECS if name not in self.codecs)]):
            mime, clock_hz, channels = CODECS[name]
            lines += [f"[audio_codec_{index}]", f"mime={mime}", f"rate={clock_hz}", f"channels={channels}"]
            lines += [f"enabled={int(name in self.codecs)}"]
        (self.directory / "linphonerc").write_text("\n".join(lines) + "\n")
