"""The tables. Their history is in `migrations/versions`; a test holds both equal."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})


def naive_utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    """As the columns of a `UtcDateTime` hold it."""
    return None if moment is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """Aware datetimes, kept as UTC without a zone, so that every database orders them alike."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        return naive_utc(value)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        return None if value is None else value.replace(tzinfo=datetime.UTC)


# SQLite numbers rows by itself only for a column that is exactly INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")


def columns_of_rows(table: Table) -> list[Column[Any]]:
    """The columns that `rows` knows, in the order of its fields: whose row it is stays here."""
    return [column for column in table.columns if column.name != "instance_id"]


calls = Table(
    "calls",
    metadata,
    Column("sid", String(64), primary_key=True),
    Column("parent_sid", String(64), nullable=False),
    Column("account_sid", String(64), nullable=False),
    Column("instance_id", String(64), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("from_user", Text, nullable=False),
    Column("to_user", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("duration_s", Integer, nullable=False),
    Column("ring_duration_s", Integer, nullable=False),
    Column("cause", String(16), nullable=False),
    Column("ended_by", String(16), nullable=False),
    Column("sip_status", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("sip_call_id", Text, nullable=False),
    Index(None, "parent_sid"),
    Index(None, "created_at"),
    Index(None, "sip_call_id"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=True),
    Column("call_sid", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("leg", String(64), nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "call_sid"),
    Index(None, "at"),
)

# What a call's timeline is written to; `timeline` holds what was written before there were pieces.
# number: of a piece within its call, growing, so that one that is written twice stays one. data: see `packing`, by `encoding`.
timeline_pieces = Table(
    "timeline_pieces",
    metadata,
    Column("call_sid", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("encoding", String(16), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index(None, "last_at"),
)

notifications = Table(
    "notifications",
    metadata,
    Column("sid", String(64), primary_key=True),
    Column("call_sid", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("code", Integer, nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Index(None, "call_sid"),
    Index(None, "at"),
)

# state: see `server.applications.deliveries.State`.
events = Table(
    "events",
    metadata,
    Column("sid", String(64), primary_key=True),
    Column("call_sid", String(64), nullable=False),
    Column("instance_id", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("url", Text, nullable=False),
    Column("method", String(8), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("status", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "call_sid"),
    Index(None, "at"),
    Index(None, "state"),
)

# Where clients are. A row is written anew with each REGISTER, and has expired when its phone is gone.
registrations = Table(
    "registrations",
    metadata,
    Column("sid", String(64), primary_key=True),
    Column("instance_id", String(64), nullable=False),
    Column("client", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("cseq", BigInteger, nullable=False),
    Column("transport", String(16), nullable=False),
    Column("local_host", String(64), nullable=False),
    Column("local_port", Integer, nullable=False),
    Column("remote_host", String(64), nullable=False),
    Column("remote_port", Integer, nullable=False),
    Column("hops", Integer, nullable=False),
    Column("urn", Text, nullable=False),
    Column("reg_id", BigInteger, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("heard_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
)

recordings = Table(
    "recordings",
    metadata,
    Column("sid", String(64), primary_key=True),
    Column("call_sid", String(64), nullable=False),
    Column("account_sid", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "call_sid"),
    Index(None, "created_at"),
)
