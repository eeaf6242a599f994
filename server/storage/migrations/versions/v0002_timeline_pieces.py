"""Timelines in a few large rows a call; what `timeline` holds stays there and is read as before, until it is too old to be kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "timeline_pieces",
        sa.Column("call_sid", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("last_at", sa.DateTime, nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("encoding", sa.String(16), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("call_sid", "number", name="pk_timeline_pieces"),
    )
    op.create_index("ix_timeline_pieces_last_at", "timeline_pieces", ["last_at"])


def downgrade() -> None:
    op.drop_table("timeline_pieces")
