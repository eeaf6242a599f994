"""Whose fault it is: only a row that is bad by itself is given up."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from server.storage.faults import is_refused_for_content, told


class FromPostgresql(Exception):
    """As asyncpg's errors are, once SQLAlchemy has wrapped them."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"state {sqlstate}")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "content"),
    [
        ("22021", True),  # NUL in a text
        ("22001", True),  # too long for its column
        ("22003", True),  # out of range
        ("23505", True),  # a key that is there
        ("23502", True),  # null
        ("54000", True),  # an index entry that is too large
        ("57P03", False),  # starting up
        ("57P01", False),  # shut down by the administrator
        ("25006", False),  # read only, after a fail-over
        ("53300", False),  # too many connections
        ("53100", False),  # disk full
        ("08006", False),  # connection lost
        ("40001", False),  # serialization
        ("40P01", False),  # deadlock
        ("42P01", False),  # a table that is not there (yet)
        ("28P01", False),  # password
        ("XX000", False),
    ],
)
def test_of_postgresql_the_sqlstate_decides__postgresql_appendix_a(state: str, content: bool) -> None:
    assert is_refused_for_content(DBAPIError("INSERT", {}, FromPostgresql(state))) is content
    assert is_refused_for_content(FromPostgresql(state)) is content  # from connecting it comes as it is


@pytest.mark.parametrize(
    ("error", "content"),
    [
        (sqlite3.IntegrityError("NOT NULL constraint failed"), True),
        (sqlite3.DataError("string or blob too big"), True),
        (sqlite3.InterfaceError("Error binding parameter 3"), True),
        (sqlite3.OperationalError("database is locked"), False),
        (sqlite3.OperationalError("database or disk is full"), False),
        (sqlite3.OperationalError("attempt to write a readonly database"), False),
        (sqlite3.DatabaseError("database disk image is malformed"), False),
    ],
)
def test_of_sqlite_the_kind_of_error_decides(error: sqlite3.Error, content: bool) -> None:
    assert is_refused_for_content(DBAPIError("INSERT", {}, error)) is content


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), OSError("no route"), InterfaceError("x", {}, Exception("closed"))]
)
def test_what_is_not_known_to_be_the_rows_fault_is_waited_for(error: Exception) -> None:
    assert not is_refused_for_content(error)


def test_a_value_that_the_driver_cannot_send_is_the_rows_fault() -> None:
    assert is_refused_for_content(OverflowError("int too big to convert"))


def test_what_is_told_holds_no_statement() -> None:
    said = told(OperationalError("INSERT INTO calls ... 'secret'", {}, sqlite3.OperationalError("database is locked")))
    assert said == "database is locked"
    assert told(TimeoutError()) == "TimeoutError"
