"""What is kept is for the server's own user."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from config.load import load
from server.storage.database import Database, StorageError, open_database
from server.storage.files import make_private_directory
from server.storage.rows import CallRow


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def database(state: Path) -> Database:
    return Database(load(environ={"DIALPLANE_STATE": str(state), "DIALPLANE_STORAGE__RETENTION_DAYS": "0"}))


async def test_state_is_for_the_servers_user_alone(tmp_path: Path) -> None:
    state = tmp_path / "some" / "state"
    made = database(state)
    await made.start()
    await made.reader.recent_calls()
    try:
        assert {path.name: mode(path) for path in (state.parent, state)} == {"some": 0o700, "state": 0o700}
        files = [path for path in state.iterdir() if path.is_file()]
        assert {path.name for path in files} >= {"dialplane.db", "dialplane.db-wal", "dialplane.db-shm"}
        assert {path.name: mode(path) for path in files if mode(path) != 0o600} == {}
    finally:
        await made.stop()


async def test_what_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(0o755)
    for name in ("dialplane.db", "dialplane.db-wal"):
        (state / name).touch(0o644)
    made = database(state)
    await made.start()
    try:
        assert (mode(state), mode(state / "dialplane.db"), mode(state / "dialplane.db-wal")) == (0o700, 0o600, 0o600)
        assert isinstance(await made.reader.recent_calls(), list)
    finally:
        await made.stop()


def test_a_directory_that_others_use_is_left_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)  # whatever the umask
    open_database(f"sqlite+aiosqlite:///{shared}/x.db")
    assert (mode(shared), mode(shared / "x.db")) == (0o755, 0o600)


def test_stricter_modes_stay(tmp_path: Path) -> None:
    strict = tmp_path / "strict"
    strict.mkdir(0o500)
    make_private_directory(strict)
    assert mode(strict) == 0o500


def test_a_place_that_cannot_be_made_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"server\.state_dir: .*file/state cannot be made: Not a directory"):
        database(tmp_path / "file" / "state")
    with pytest.raises(StorageError, match=r"storage\.url: "):
        open_database(f"sqlite+aiosqlite:///{tmp_path}/file/x.db")


def test_rows_are_the_tables_columns_in_their_order() -> None:
    """The writer sends values by their places."""
    from server.storage import schema

    columns = [column.name for column in schema.calls.columns if column.name != "instance_id"]
    assert columns == list(CallRow.__dataclass_fields__)
