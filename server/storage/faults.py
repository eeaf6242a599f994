"""Whose fault it is that something could not be written: the row's, or the database's. Only the first is a reason to give a row up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

# SQLSTATE classes (PostgreSQL manual, appendix A): data exception, integrity constraint violation, program limit exceeded (an index
# entry or a field that is too large). Everything else is the server's state: starting up (57), read only (25), too many
# connections (53), out of disk (53), not reachable (08), a table that is not there yet (42) ...
_CONTENT_CLASSES = ("22", "23", "54")
_CONTENT_SQLITE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
_CONTENT_PYTHON = (ValueError, TypeError, OverflowError)  # a value that the driver cannot even send


def is_refused_for_content(error: BaseException) -> bool:
    """Whether this row would be refused on a database in the best of health."""
    for cause in _causes(error):
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str) and state:
            return state[:2] in _CONTENT_CLASSES
    return any(isinstance(cause, _CONTENT_PYTHON) or type(cause) in _CONTENT_SQLITE for cause in _causes(error))


def told(error: BaseException) -> str:
    """What the database or the system says, without the statement and its values."""
    origin = getattr(error, "orig", None) or error
    return (str(origin) or type(origin).__name__).splitlines()[0][:300]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """It, and what it was made from: SQLAlchemy wraps its driver's errors, and asyncpg's once more."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [getattr(cause, "orig", None) if isinstance(cause, SQLAlchemyError) else None, cause.__cause__]
