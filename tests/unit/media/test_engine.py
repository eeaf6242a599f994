"""The golden frames of the port to the media worker, as the worker's own test reads them (media/worker/tests/frames.rs)."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from media.engine import Command, Event

FRAMES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "vectors" / "media" / "frames.json").read_text("utf-8"))
UNION = {"command": Command, "event": Event}


@pytest.mark.parametrize("golden", FRAMES, ids=[golden["name"] for golden in FRAMES])
def test_a_golden_frame_says_what_its_json_says_and_is_written_the_same(golden: dict[str, Any]) -> None:
    frame = bytes.fromhex(golden["hex"])
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    message = msgspec.msgpack.decode(frame[4:], type=UNION[golden["kind"]])
    assert msgspec.to_builtins(message) == golden["json"]
    assert msgspec.msgpack.encode(msgspec.convert(golden["json"], type=UNION[golden["kind"]])) == frame[4:]


@pytest.mark.parametrize("kind", UNION)
def test_every_message_has_a_golden_frame(kind: str) -> None:
    messages = typing.get_args(UNION[kind])
    assert {golden["json"]["t"] for golden in FRAMES if golden["kind"] == kind} == {m.__struct_config__.tag for m in messages}
