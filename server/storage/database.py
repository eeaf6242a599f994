"""Opening the database and bringing its tables up to date."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from config.settings import Settings
from server.storage.files import make_private_database, make_private_directory
from server.storage.lists import Lists
from server.storage.reader import Reader
from server.storage.writer import Writer

MIGRATIONS = Path(__file__).parent / "migrations"
DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}  # whatever else a URL says, or when it says none


class StorageError(Exception):
    """The database cannot be used; the text is for the operator."""


class Database:
    """The database of a running server: migrated, with its writer and reader. `start` before use, `stop` at the end."""

    def __init__(self, settings: Settings) -> None:
        """StorageError when storage.url cannot be used."""
        if settings.server.state_dir:
            with _operators_fault("server.state_dir", settings.server.state_dir):
                make_private_directory(Path(settings.server.state_dir))
        self.engine = open_database(settings.storage.url)
        self.writer = Writer(self.engine, settings.storage, settings.server.instance_id)
        self.reader = Reader(self.engine)
        self.lists = Lists(self.engine)

    async def start(self) -> None:
        """StorageError when there is no database, or another program's."""
        try:
            await migrate(self.engine)
            await self.writer.start()
        except BaseException:
            await self.engine.dispose()
            raise

    async def stop(self) -> None:
        await self.writer.stop()
        await self.engine.dispose()


def open_database(url: str, *, read_only: bool = False) -> AsyncEngine:
    """An engine for `storage.url`. Nothing is connected yet.

    read_only: for tools beside a running server. SQLite then opens the file as it is and never makes one.
    Raises:
        StorageError: the URL is none, its driver is missing, or (read_only) there is no such file.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StorageError(
            f'storage.url "{url}" is not a database URL; write for example "postgresql+asyncpg://user:password@host/name"'
        ) from None
    backend = parsed.get_backend_name()
    sqlite = backend == "sqlite"
    if backend in DRIVERS:
        parsed = parsed.set(drivername=f"{backend}+{DRIVERS[backend]}")
    if sqlite and parsed.database not in (None, "", ":memory:"):
        file = Path(str(parsed.database))
        if read_only:
            if not file.is_file():
                raise StorageError(f"there is no database at {file} yet: the server makes it when it first runs (storage.url)")
            parsed = parsed.set(database=f"file:{file}", query={"mode": "ro", "uri": "true"})
        else:
            with _operators_fault("storage.url", str(file)):
                if not file.parent.exists():
                    make_private_directory(file.parent)
                make_private_database(file)
    try:
        engine = (
            create_async_engine(parsed)
            if sqlite
            else create_async_engine(parsed, **_POSTGRESQL, connect_args=_arguments(parsed, read_only))
        )
    except ModuleNotFoundError as error:
        raise StorageError(
            f"storage.url {parsed.render_as_string()} needs the package {error.name}, which is not installed"
            + ('; it comes with dialplane\'s extra "postgresql"' if error.name == "asyncpg" else "")
        ) from None
    except SQLAlchemyError as error:
        raise StorageError(f"storage.url {parsed.render_as_string()} cannot be used: {error}") from None
    if sqlite:
        event.listen(engine.sync_engine, "connect", _prepare_sqlite_read_only if read_only else _prepare_sqlite)
    return engine


# A connection is looked at before it is used, and is not used for ever, so that a change of the primary is noticed. The writer takes
# one, who looks at calls the others; more at once only wait for each other.
_POSTGRESQL: dict[str, Any] = {"pool_pre_ping": True, "pool_recycle": 600, "pool_size": 3, "max_overflow": 2, "pool_timeout": 10}
CONNECT_LIMIT_S, COMMAND_LIMIT_S = 10.0, 30.0


def _arguments(url: URL, read_only: bool) -> dict[str, Any]:
    """For asyncpg, unless the URL says otherwise. Of several hosts (`?host=a:5432&host=b:5432`) the primary is taken."""
    wanted = {
        "timeout": CONNECT_LIMIT_S,
        "command_timeout": COMMAND_LIMIT_S,
        "target_session_attrs": "any" if read_only else "read-write",
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


@contextlib.contextmanager
def _operators_fault(setting: str, place: str) -> Iterator[None]:
    """What the system refuses is told with the setting that leads there."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{setting}: {place} cannot be made: {error.strerror or error}") from None


def _prepare_sqlite(connection: Any, record: Any) -> None:
    """Readers beside one writer (WAL); a commit survives the program's death, and a power cut loses at most the last ones."""
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _prepare_sqlite_read_only(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=5000").close()


async def migrate(engine: AsyncEngine) -> None:
    """Bring the tables to this program's version, in one transaction.

    Raises:
        StorageError: the database cannot be reached, or was written by a newer program.
    """
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except CommandError as error:
        raise StorageError(f"the database {_shown(engine)} does not fit this program: {error}; was it written by a newer one?") from None
    except (SQLAlchemyError, OSError) as error:
        raise StorageError(f"the database {_shown(engine)} cannot be used: {getattr(error, 'orig', None) or error}") from None


async def check_version(engine: AsyncEngine) -> None:
    """For readers, who do not migrate: StorageError when the tables are not this program's."""
    try:
        async with engine.connect() as connection:
            version = await connection.run_sync(_version)
    except (SQLAlchemyError, OSError) as error:
        raise StorageError(f"the database {_shown(engine)} cannot be read: {getattr(error, 'orig', None) or error}") from None
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if version != head:
        raise StorageError(
            f"the database {_shown(engine)} is of version {version}, this program reads {head}: start the server once to bring it up"
        )


def _shown(engine: AsyncEngine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
