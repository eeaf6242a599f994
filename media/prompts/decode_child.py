"""A process of its own that decodes audio files to canonical WAV: PCM s16le, mono, 8000 Hz.

Strangers' files meet a large C library here and nowhere else: a crash, a loop or a swollen heap ends this process, not
calls. It takes one request a line on standard input and gives one answer a line on standard output, both JSON:

    {"source": path, "target": path, "max_ms": 1800000, "mpeg": false}
    {"duration_ms": 1234}    or    {"error": "format" | "too_large" | "internal", "detail": "in words"}

The container is recognised by its first octets and no other demuxer is asked, so that a playlist or a page of HTML opens
nothing. `mpeg` says that the server called the file MPEG audio: then one that begins within a frame, as streaming servers and
cutters give them, is read from the first place where two frames follow each other. The program stands alone
(`children.ChildPool` runs it by its path): it imports nothing of this project.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import wave
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO

import av
import av.error
import av.filter
import av.logging

RATE_HZ = 8000
MAX_ADDRESS_SPACE_BYTES = 2 << 30
MAX_CHANNELS = 8
MIN_INPUT_RATE_HZ, MAX_INPUT_RATE_HZ = 4000, 384_000
MAX_BAD_PACKETS = 1000
MAX_MPEG_LEAD = 65_536  # octets in which the first frame of an MPEG stream is looked for

# Flat to 3.4 kHz, below -90 dB from 4.2 kHz on, for input rates from 11025 to 192000 Hz.
RESAMPLER = f"{RATE_HZ}:filter_size=64:cutoff=0.93:filter_type=kaiser:kaiser_beta=10"


class Refused(Exception):
    """This file is not decoded. `code`: format or too_large."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def container_of(start: bytes) -> str:
    """FFmpeg's name of the container that a file begins like, "" for none that we take."""
    match start[:4], start[8:12]:
        case ((b"RIFF" | b"RF64" | b"BW64"), b"WAVE"):
            return "wav"
        case b"OggS", _:
            return "ogg"
        case b"fLaC", _:
            return "flac"
        case b"FORM", (b"AIFF" | b"AIFC"):
            return "aiff"
        case b".snd", _:
            return "au"
        case _:
            return "mp3" if start[:3] == b"ID3" or _is_mpeg_audio(start) else ""


def _is_mpeg_audio(start: bytes) -> bool:
    """Frame sync, a version, a layer, a bit rate and a sampling rate that exist (ISO/IEC 11172-3 2.4.2.3)."""
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE0 != 0xE0:
        return False
    version, layer, bit_rate, sampling = start[1] >> 3 & 3, start[1] >> 1 & 3, start[2] >> 4, start[2] >> 2 & 3
    return version != 1 and layer != 0 and bit_rate != 15 and sampling != 3


# Kilobits per second by index, for MPEG-1 layers I, II and III, and for layer I and the others of MPEG-2 and 2.5
# (ISO/IEC 11172-3 2.4.2.3, ISO/IEC 13818-3 2.4.2.3). Index 0 is a free format, whose frames have no length to be read.
_BIT_RATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLING_HZ = (44_100, 48_000, 32_000)


def _mpeg_frame_bytes(header: bytes) -> int:
    """Octets of the frame that begins with this header, 0 for none."""
    if not _is_mpeg_audio(header):
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)  # version 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5
    family = 1 if version == 3 else 2
    kilobits = _BIT_RATES[family, layer if family == 1 or layer == 1 else 2][header[2] >> 4]
    sampling_hz = _SAMPLING_HZ[header[2] >> 2 & 3] // {3: 1, 2: 2, 0: 4}[version]
    padding = header[2] >> 1 & 1
    if not kilobits:
        return 0
    if layer == 1:
        return (12_000 * kilobits // sampling_hz + padding) * 4
    return (72_000 if layer == 3 and family == 2 else 144_000) * kilobits // sampling_hz + padding


def mpeg_start(start: bytes) -> int | None:
    """Where in its first octets an MPEG stream can be entered: at two frames of one kind in a row, or at a tag behind zeros.

    Source: ISO/IEC 11172-3 2.4.1 (a decoder synchronises at any frame).
    """
    zeros = len(start) - len(start.lstrip(b"\0"))
    if start[zeros : zeros + 3] == b"ID3":
        return zeros
    at = start.find(b"\xff")
    while 0 <= at < MAX_MPEG_LEAD:
        length = _mpeg_frame_bytes(start[at : at + 4])
        second = start[at + length : at + length + 4]
        # Version, layer, protection and sampling rate are those of the whole stream.
        if length and _mpeg_frame_bytes(second) and (start[at + 1], start[at + 2] & 0x0C) == (second[1], second[2] & 0x0C):
            return at
        at = start.find(b"\xff", at + 1)
    return None


class _Tail(io.RawIOBase):
    """A file without its first octets."""

    def __init__(self, file: BinaryIO, skipped: int) -> None:
        self._file, self._skipped = file, skipped
        file.seek(skipped)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset + (self._skipped if whence == os.SEEK_SET else 0), whence) - self._skipped

    def tell(self) -> int:
        return self._file.tell() - self._skipped


class Converter:
    """Resamples and mixes down, one filter graph per kind of input frame (a stream may change its mind)."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._kind: tuple[int, str, str] | None = None

    def convert(self, frame: Any) -> Iterator[bytes]:
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        if kind != self._kind:
            yield from self.flush()
            if not MIN_INPUT_RATE_HZ <= frame.sample_rate <= MAX_INPUT_RATE_HZ:
                raise Refused("format", f"sampling rate {frame.sample_rate} Hz")
            if not 1 <= frame.layout.nb_channels <= MAX_CHANNELS:
                raise Refused("format", f"{frame.layout.nb_channels} channels")
            self._graph, self._kind = self._build(frame), kind
        frame.pts = None
        self._graph.push(frame)
        yield from self._pull()

    def flush(self) -> Iterator[bytes]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pull()
            self._graph = self._kind = None

    def _build(self, frame: Any) -> Any:
        graph = av.filter.Graph()
        source = graph.add_abuffer(sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name)
        chain = [
            source,
            graph.add("aresample", RESAMPLER),
            graph.add("aformat", f"sample_fmts=s16:channel_layouts=mono:sample_rates={RATE_HZ}"),
            graph.add("abuffersink"),
        ]
        for left, right in pairwise(chain):
            left.link_to(right)
        graph.configure()
        return graph

    def _pull(self) -> Iterator[bytes]:
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            yield bytes(frame.planes[0])[: frame.samples * 2]


def decode(source: str, target: str, max_ms: int, *, mpeg: bool = False) -> int:
    """Decode a file; returns the duration in milliseconds. Raises Refused; what stands in `target` then is of no use."""
    limit = max_ms * RATE_HZ // 1000
    with open(source, "rb") as whole:
        name, skipped = container_of(whole.read(16)), 0
        if not name and mpeg:
            whole.seek(0)
            found = mpeg_start(whole.read(MAX_MPEG_LEAD + 8192))
            if found is None:
                raise Refused("format", f"no MPEG audio: no two frames follow each other in its first {MAX_MPEG_LEAD} octets")
            name, skipped = "mp3", found
        if not name:
            raise Refused("format", "neither WAV nor MP3, Ogg, FLAC, AIFF or AU")
        file = _Tail(whole, skipped)
        with wave.open(target, "wb") as output:
            output.setnchannels(1)
            output.setsampwidth(2)
            output.setframerate(RATE_HZ)
            samples = 0
            for piece in _samples(file, name):
                samples += len(piece) // 2
                if samples > limit:
                    raise Refused("too_large", f"longer than {max_ms / 1000:g} s")
                output.writeframesraw(piece)
    if samples == 0:
        raise Refused("format", "holds no audio")
    return samples * 1000 // RATE_HZ


def _samples(file: io.RawIOBase, container_name: str) -> Iterator[bytes]:
    """Canonical samples of the first audio stream, in pieces. Packets that cannot be decoded are left out."""
    converter, bad = Converter(), 0
    try:
        with av.open(file, "r", format=container_name, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise Refused("format", "holds no audio stream")
            stream = container.streams.audio[0]
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError as error:
                    bad += 1
                    if bad > MAX_BAD_PACKETS:
                        raise Refused("format", "too many broken packets") from error
                    continue
                for frame in frames:
                    yield from converter.convert(frame)
            yield from converter.flush()
    except av.error.FFmpegError as error:
        raise Refused("format", f"not a {container_name} file that can be decoded: {error.strerror or error}") from error


def answer(line: bytes) -> dict[str, Any]:
    """One request, one answer."""
    try:
        request = json.loads(line)
        return {"duration_ms": decode(request["source"], request["target"], int(request["max_ms"]), mpeg=bool(request.get("mpeg")))}
    except Refused as refused:
        return {"error": refused.code, "detail": str(refused)}
    except MemoryError:
        return {"error": "format", "detail": "needs too much memory"}
    except Exception as error:  # noqa: BLE001  the process boundary: the asker gets every failure in words
        return {"error": "internal", "detail": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Serve until standard input ends, which it does when the control process does."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # nothing that a library prints gets among the answers
    for limit, most in ((resource.RLIMIT_AS, MAX_ADDRESS_SPACE_BYTES), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    os.nice(5)  # calls come first
    av.logging.set_level(None)
    for line in sys.stdin.buffer:
        replies.write(json.dumps(answer(line)).encode() + b"\n")


if __name__ == "__main__":
    main()
