"""The program for the kernel is committed as an object, which must be what its source says."""

from __future__ import annotations

import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

BPF = Path(__file__).resolve().parents[3] / "media" / "worker" / "bpf"
OBJECT = BPF / "forward.bpf.o"
VERSION = re.compile(rb"[\x20-\x7e]*[Cc]lang \d+[\x20-\x7e]*")


def compiler_of(made: bytes) -> bytes:
    found = VERSION.search(made)
    assert found is not None
    return found[0]


def test_the_object_was_made_of_these_sources() -> None:
    sources = (BPF / "build").read_bytes() + (BPF / "forward.bpf.c").read_bytes()
    digest = sha256(sources).hexdigest().encode()
    assert digest in OBJECT.read_bytes(), "the program has changed: make bpf"


def test_the_object_is_what_its_compiler_makes_of_them(tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    anew = tmp_path / "forward.bpf.o"
    made = subprocess.run([BPF / "build", anew], capture_output=True, text=True)
    if made.returncode and "bpf/bpf_helpers.h" in made.stderr:
        pytest.skip("the headers of libbpf are not installed")
    assert made.returncode == 0, made.stderr
    committed = OBJECT.read_bytes()
    if (ours := compiler_of(anew.read_bytes())) != (theirs := compiler_of(committed)):
        pytest.skip(f"made by {theirs.decode()}, here is {ours.decode()}")
    assert anew.read_bytes() == committed
