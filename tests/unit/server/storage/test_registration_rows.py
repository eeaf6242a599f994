"""Registrations in the database: the last row of a phone counts, and what has expired goes (behaviour 8)."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

from config.load import load
from config.settings import StorageSettings
from server.storage.database import Database
from server.storage.housekeeping import clean_up
from server.storage.rows import RegistrationRow

NOW = datetime.datetime(2026, 5, 26, 17, 59, 16, tzinfo=datetime.UTC)
SOON = NOW + datetime.timedelta(minutes=10)
ENDS = ("udp", "192.0.2.1", 5060, "198.51.100.7", 40123)
ALICE = RegistrationRow("RG1", "alice", "sip:alice@10.0.0.5", "c1", 2**31 - 1, *ENDS, 1, "urn:x", 2**31 - 1, "Phone", NOW, SOON)


async def opened(tmp_path: Path, instance: str) -> Database:
    environ = {"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__INSTANCE_ID": instance}
    database = Database(load(environ=environ))
    await database.start()
    return database


async def test_what_was_written_last_counts_also_within_one_batch(tmp_path: Path) -> None:
    database = await opened(tmp_path, "ID" + "1" * 32)
    bob = replace(ALICE, sid="RG2", client="bob")
    for row in (
        ALICE,
        bob,
        replace(ALICE, cseq=9),
        replace(bob, expires_at=NOW),
        replace(bob, expires_at=SOON, cseq=7),
        replace(ALICE, cseq=8),
    ):
        database.writer.put(row)
    await database.writer.flush()
    assert await database.reader.registrations(NOW) == [replace(ALICE, cseq=8), replace(bob, cseq=7)]
    database.writer.put(replace(bob, expires_at=NOW))
    await database.writer.flush()
    assert await database.reader.registrations(NOW) == [replace(ALICE, cseq=8)]
    await database.stop()


async def test_each_server_has_its_own(tmp_path: Path) -> None:
    first, second = "ID" + "1" * 32, "ID" + "2" * 32
    database = await opened(tmp_path, first)
    database.writer.put(ALICE)
    await database.writer.flush()
    assert await database.reader.registrations(NOW, first) == [ALICE]
    assert await database.reader.registrations(NOW, second) == []
    await database.stop()


async def test_what_has_expired_goes_whatever_is_kept_of_calls(tmp_path: Path) -> None:
    database = await opened(tmp_path, "ID" + "1" * 32)
    database.writer.put(ALICE)
    database.writer.put(replace(ALICE, sid="RG2", expires_at=NOW))
    await database.writer.flush()
    later = NOW + datetime.timedelta(seconds=1)
    forever = StorageSettings(retention_days=0, recording_retention_days=0)
    assert await clean_up(database.engine, forever, later) == {"registrations": 1}
    assert await database.reader.registrations(NOW) == [ALICE]
    await database.stop()
