"""Log lines: for people and for machines, redacted, one line each."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from config.settings import ServerSettings
from server.observability.logs import set_up_logging

Start = Callable[..., io.StringIO]


@pytest.fixture
def start() -> Iterator[Start]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()

    def begin(**knobs: str) -> io.StringIO:
        set_up_logging(ServerSettings.model_validate(knobs), stream)
        return stream

    yield begin
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_machines_get_one_json_object_a_line(start: Start) -> None:
    stream = start(log_format="auto")  # no terminal
    logging.getLogger("server.app").info("call_ended", extra={"call_sid": "CA1", "cause": "busy", "level": "x", "duration_ms": 5})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    expected = {"level": "info", "logger": "server.app", "event": "call_ended", "call_sid": "CA1", "cause": "busy", "fact_level": "x"}
    assert line == expected | {"duration_ms": 5}


def test_people_get_a_readable_line(start: Start) -> None:
    stream = start(log_format="human")
    logging.getLogger("server.app").warning("peer_odd", extra={"peer": "192.0.2.1:5060", "why": "two words"})
    assert stream.getvalue()[12:] == ' WARNING server.app peer_odd peer=192.0.2.1:5060 why="two words"\n'


def test_peer_cannot_forge_a_line(start: Start) -> None:
    stream = start(log_format="human")
    logging.getLogger("x").error("bad", extra={"text": "a\r\n12:00:00.000 ERROR x forged \x1b[0m"})
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("form", ["human", "json"])
def test_numbers_and_secrets_are_hidden(start: Start, form: str) -> None:
    stream = start(log_format=form)
    logging.getLogger("x").info("e", extra={"to": "+12223334455", "password": "hunter", "url": "http://u:hunter@h/"})
    assert "2223334" not in stream.getvalue()
    assert "hunter" not in stream.getvalue()
    assert "+***455" in stream.getvalue()


def test_operator_may_want_numbers_in_full(start: Start) -> None:
    stream = start(log_format="human", log_redact="none")
    logging.getLogger("x").info("e", extra={"to": "+12223334455"})
    assert "to=+12223334455" in stream.getvalue()


def test_level_holds_and_chatty_libraries_are_quiet(start: Start) -> None:
    stream = start(log_level="info")
    logging.getLogger("x").debug("no")
    logging.getLogger("alembic.runtime.migration").info("no")
    assert stream.getvalue() == ""
    logging.getLogger("alembic").warning("yes")
    assert "yes" in stream.getvalue()


@pytest.mark.parametrize("form", ["human", "json"])
def test_fault_comes_with_its_trace(start: Start, form: str) -> None:
    stream = start(log_format=form)
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("x").exception("internal_error")
    assert "ValueError: inside" in stream.getvalue()
