"""Any bytes give an audio file's duration or a refusal in words, and leave the decoding process running."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.prompts import decode_child

pytestmark = pytest.mark.fuzz


def riff(form: bytes, data: bytes) -> bytes:
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


# format tag, channels, rate, octets a second, block, bits: true and absurd ones
forms = st.tuples(
    st.sampled_from([1, 2, 3, 6, 7, 17, 0x31, 0x55, 0xFFFE, 0xFFFF]),
    st.sampled_from([0, 1, 2, 8, 255, 65535]),
    st.sampled_from([0, 1, 8000, 44100, 4_000_000_000]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 2, 4, 33, 65, 256, 65535]),
    st.sampled_from([0, 4, 8, 16, 24, 32, 64, 65535]),
).map(lambda fields: struct.pack("<HHIIHH", *fields))
starts = st.sampled_from(
    [
        b"",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"OggS\x00\x02",
        b"fLaC\x00\x00\x00\x22",
        b"ID3\x04\x00",
        b"\xff\xfb\x90\x64",
        b"FORM\x00\x00\x10\x00AIFF",
        b".snd",
    ]
)
files = st.one_of(
    st.builds(riff, forms, st.binary(max_size=2000)),
    st.builds(lambda start, rest: start + rest, starts, st.binary(max_size=2000)),
    st.binary(max_size=500),
)


@pytest.fixture(scope="module")
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-P", decode_child.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process
    process.communicate(timeout=10)
    assert process.returncode == 0


def ask(child: subprocess.Popen[bytes], source: Path, target: Path) -> dict[str, Any]:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(json.dumps({"source": str(source), "target": str(target), "max_ms": 5000}).encode() + b"\n")
    child.stdin.flush()
    answer: dict[str, Any] = json.loads(child.stdout.readline())
    return answer


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files)
def test_any_bytes_give_a_duration_or_a_refusal(child: subprocess.Popen[bytes], tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    answer = ask(child, source, tmp_path / "target")
    if "error" in answer:
        assert answer["error"] in ("format", "too_large"), answer
        assert answer["detail"]
    else:
        assert 0 <= answer["duration_ms"] <= 5000
