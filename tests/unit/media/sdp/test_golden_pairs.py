"""The golden pairs of tests/vectors/sdp: what each offer is answered with, to the letter, and what was agreed.

A file: comment lines (`#`), settings (`prefer: PCMU`, what the other leg has; `only: yes`, nothing but that; `far_hz: 8000`,
what it can carry; `local: <address>`; any field of MediaSettings), then offer and answer in turns, parted by `---`. An answer ends with `=>
address:port rtcp port direction codecs ptime [hold] [mux] [srtp]`; a refusal is the one line `=> status warning-code
warning-text`. Keys of ours are made of zeros, then of ones, and so on. In the files `we_offer_*` it is we who offer.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from media.engine import Codec
from media.sdp.codecs import DESCRIPTORS
from media.sdp.offer_answer import Agreed, LocalMedia, OfferAnswer, SdpRefused
from media.settings import MediaSettings

VECTORS = Path(__file__).parents[3] / "vectors" / "sdp"
OURS = sorted(VECTORS.glob("we_offer_*.txt"))
FILES = sorted(set(VECTORS.glob("*.txt")) - set(OURS))


@dataclass
class Golden:
    offers: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    settings: MediaSettings = field(default_factory=MediaSettings)
    local: str = "192.0.2.10"
    prefer: tuple[Codec, ...] = ()
    only: bool = False
    far_hz: int | None = None


def read_golden(path: Path) -> Golden:
    golden, options = Golden(), {}
    lines = path.read_text().split("\n")
    while not lines[0].startswith("v="):
        line = lines.pop(0)
        if not line.startswith("#"):
            name, _, value = line.partition(": ")
            options[name] = value
    golden.local = options.pop("local", golden.local)
    golden.prefer = tuple(other_leg(text) for text in options.pop("prefer", "").split())
    golden.only = options.pop("only", "") == "yes"
    golden.far_hz = int(options.pop("far_hz", "0")) or None
    golden.settings = MediaSettings.model_validate({name: json.loads(value) for name, value in options.items()})
    parts = "\n".join(lines).split("---\n")
    golden.offers, golden.answers = parts[::2], [part.rstrip("\n") for part in parts[1::2]]
    return golden


def other_leg(text: str) -> Codec:
    """`name/rate/channels` and, in brackets, the fmtp; only the name where that says it all."""
    encoding, _, fmtp = text.rstrip(")").partition("(")
    name, rate, channels, *_ = (*encoding.split("/"), "", "")
    first = DESCRIPTORS[name][0].encoding
    return Codec(
        payload_type=0, name=name, clock_rate_hz=int(rate or first.clock_rate_hz), channels=int(channels or first.channels), fmtp=fmtp
    )


def describe(agreed: Agreed) -> str:
    codecs = " ".join(f"{codec.name}/{codec.payload_type}" + (f"({codec.fmtp})" if codec.fmtp else "") for codec in agreed.codecs)
    flags = " hold" * agreed.remote_hold + " mux" * agreed.rtcp_mux
    if agreed.srtp:
        flags += f" srtp {agreed.srtp.suite}" + f" mki {agreed.srtp.remote_mki}" * bool(agreed.srtp.remote_mki)
    where = f"{agreed.remote_address}:{agreed.remote_port} rtcp {agreed.remote_rtcp_port}"
    return f"=> {where} {agreed.direction} {codecs} {agreed.ptime_ms}ms{flags}"


def key_source() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda length: bytes([next(numbers)] * length)


def give(machine: OfferAnswer, offer: str, prefer: tuple[Codec, ...]) -> str:
    try:
        machine.receive_offer(offer.encode())
    except SdpRefused as refused:
        return f"=> {refused.status} {refused.warning_code} {refused.warning_text}"
    answer, agreed = machine.answer(prefer)
    assert answer.decode().count("\r\n") == answer.decode().count("\n")
    return answer.decode().replace("\r\n", "\n") + describe(agreed)


def take(machine: OfferAnswer, answer: str) -> str:
    try:
        return describe(machine.receive_answer(answer.encode()))
    except SdpRefused as refused:
        return f"=> {refused.status} {refused.warning_code} {refused.warning_text}"


def machine_for(golden: Golden) -> OfferAnswer:
    assert len(golden.offers) == len(golden.answers) > 0
    return OfferAnswer(golden.settings, LocalMedia(golden.local, 20000, 20001), 1000, random_bytes=key_source())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_offer_is_answered_to_the_letter(path: Path) -> None:
    golden = read_golden(path)
    machine = machine_for(golden)
    for offer, answer in zip(golden.offers, golden.answers, strict=True):
        assert give(machine, offer, golden.prefer) == answer


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_we_offer_to_the_letter_and_take_the_answer(path: Path) -> None:
    golden = read_golden(path)
    machine = machine_for(golden)
    for offer, answer in zip(golden.offers, golden.answers, strict=True):
        text, _, outcome = answer.rpartition("=> ")
        assert machine.offer(golden.prefer, only=golden.only, far_hz=golden.far_hz).decode().replace("\r\n", "\n") == offer
        assert take(machine, text) == f"=> {outcome}"


def test_the_vectors_are_there() -> None:
    assert len(FILES) >= 60 and len(OURS) >= 8
