"""The one shell of pure tests: it carries out what call control asks for, into stand-ins, and keeps what it says.

`Bench` (events written by hand) and `World` (whole SIP endpoints over a wire) are built on it, and take their policy from `policy`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import Any

from config.settings import DialSettings, ServerSettings
from media import engine
from media.settings import MediaSettings
from rcml.settings import RcmlSettings
from server.calls.effects import Discard, Fetch, Fetched, Forgotten, Log, Note, Notification, Prepare, Prepared, Synthesize
from server.calls.outbox import Action
from server.calls.policy import MediaAddress, Policy
from server.calls.records import CallRecord, RecordingRecord
from server.calls.registry import Registry
from sip.core import commands
from tests.support.virtual import FakeEngine, FakeWeb


def policy(rng: random.Random, address: str, **changes: Any) -> Policy:
    """As the settings have it by default, for a server at `address`. changes: fields of the policy."""
    dial, server = DialSettings(), ServerSettings()
    fields: dict[str, Any] = {
        "account_sid": "AC" + "0" * 32,
        "instance_id": "ID" + "0" * 32,
        "public_url": "http://server:8080",
        "media": MediaSettings(),
        "rcml": RcmlSettings(),
        "wall_iso": lambda at: f"2026-01-01T00:00:00.{int(at) % 1000:03d}Z",
        "wall_rfc2822": lambda at: "Thu, 01 Jan 2026 00:00:00 +0000",
        "random_bytes": rng.randbytes,
        "media_v4": MediaAddress(address, address),
        "media_v6": MediaAddress("::1", "::1"),
        "media_places": OnePlace(MediaAddress(address, address)),
        "recordings_dir": "/recordings",
        "recording_channels": 1,
        "answer_delay": dial.answer_delay,
        "early_media": dial.early_media,
        "ringback_country": dial.ringback,
        "no_branch_code_500": dial.no_branch_code == "500",
        "operator_completed_is_completed": dial.rest_completed_status == "completed",
        "settle_s": 1.0,
        "recording_wait_s": dial.recording_wait_s,
        "conference_time_limit_s": dial.conference_time_limit_s,
        "media_open_s": dial.media_open_s,
        "final_status_wait_s": dial.final_status_wait_s,
        "media_timeout_ends_call": dial.media_timeout_ends_call,
        "media_timeout_ask_s": dial.media_timeout_ask_s,
        "transferor_s": dial.transferor_s,
        "max_calls": server.max_calls,
        "max_passages": dial.max_passages,
        "use_to": server.use_to,
        "session_headers": server.session_headers,
        "recording_query": lambda sid, now: "",
        "sip_refusal": lambda host: None,
        "international": lambda text: f"+{text}" if len(text) == 11 and text.isdigit() else text,
    }
    return Policy(**{**fields, **changes})


class OnePlace:
    """Media on one address, whoever calls."""

    def __init__(self, address: MediaAddress) -> None:
        self._address = address

    def came_by(self, local: str, remote: str) -> MediaAddress:
        return self._address

    def leaves_for(self, host: str, transport: str) -> MediaAddress:
        return self._address


class Shell(ABC):
    """registry: set by whoever builds on this. Time is `now`, moved by assignment."""

    registry: Registry

    def __init__(self, now: float, media: FakeEngine, web: FakeWeb) -> None:
        self.now = now
        self.engine = media
        self.web = web
        self.notes: list[Note] = []
        self.notifications: list[Notification] = []
        self.records: list[CallRecord] = []
        self.recordings: list[RecordingRecord] = []
        self.logs: list[Log] = []
        self.forgotten: list[str] = []
        self.discarded: list[str] = []

    @abstractmethod
    def command(self, command: commands.Command) -> None:
        """A command for the SIP core."""

    def act(self, actions: list[Action]) -> None:
        """What the real shell does with call control's actions, in their order."""
        for action in actions:
            match action:
                case Fetch():
                    self.web.fetch(action, self.now)
                case Prepare() | Synthesize():
                    self.web.prepare(action, self.now)
                case Note():
                    self.notes.append(action)
                case Notification():
                    self.notifications.append(action)
                case CallRecord():
                    self.records.append(action)
                case RecordingRecord():
                    self.recordings.append(action)
                case Log():
                    self.logs.append(action)
                case Discard(path):
                    self.discarded.append(path)
                case Forgotten():
                    assert action.call_sid not in self.registry.calls
                    self.forgotten.append(action.call_sid)
                case engine.Hello() | engine.List() | engine.Shutdown():
                    raise AssertionError(f"not call control's business: {action}")
                case _:
                    if isinstance(action, commands.Command):
                        self.command(action)
                    else:
                        self.engine.send(action, self.now)

    def hear(self) -> None:
        """What the web and the media engine have to say by now."""
        for answer in self.web.due(self.now):
            self.act(self._answered(answer))

    def media(self) -> None:
        while events := self.engine.due(self.now):
            for event in events:
                self.act(self.registry.media_event(event, self.now))

    def _answered(self, answer: Fetched | Prepared) -> list[Action]:
        match answer:
            case Fetched():
                return self.registry.fetched(answer, self.now)
            case Prepared():
                return self.registry.prepared(answer, self.now)
