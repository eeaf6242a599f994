"""One OfferAnswer for tests, descriptions for it, and what is asked of its own."""

from __future__ import annotations

import pytest

from media import engine
from media.sdp.description import parse_description
from media.sdp.offer_answer import LocalMedia, OfferAnswer, SdpRefused
from media.settings import MediaSettings

HEAD = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"


NARROW = ["PCMU", "PCMA", "telephone-event"]


PCMA = engine.Codec(payload_type=8, name="pcma")


OPUS = engine.Codec(payload_type=96, name="opus", clock_rate_hz=48_000, channels=2)


G729 = engine.Codec(payload_type=18, name="G729")


def machine(local: LocalMedia | None = None, **settings: object) -> OfferAnswer:
    settings = {"codecs": NARROW, **settings}
    return OfferAnswer(MediaSettings.model_validate(settings), local or LocalMedia("192.0.2.10", 20000, 20001), 1000)


def sdp(*media: str, head: str = HEAD) -> bytes:
    return (head + "".join(f"{line}\r\n" for line in media)).encode()


def version(text: bytes) -> int:
    return int(parse_description(text).origin.version)


def formats(text: bytes) -> list[tuple[str, ...]]:
    return [media.formats for media in parse_description(text).media]


def expect_refusal(refused: pytest.ExceptionInfo[SdpRefused], status: int, code: int) -> None:
    assert (refused.value.status, refused.value.warning_code) == (status, code)
