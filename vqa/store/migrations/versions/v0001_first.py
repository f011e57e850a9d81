"""The tables of version 0.1, which kept no number of its own: a database without one is of this kind or earlier."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Makes the tables that are not there."""
    stamp = sa.DateTime(timezone=True)
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created_at", stamp, nullable=False),
        sa.Column("finished_at", stamp),
        sa.Column("header", sa.JSON, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        if_not_exists=True,
    )
    op.create_table(
        "answers",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "samples",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("arm", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("question", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("seed", sa.BigInteger),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("answer", sa.String(64), sa.ForeignKey("answers.sha256")),
        sa.Column("measured", sa.JSON),
        sa.Column("error", sa.JSON),
        if_not_exists=True,
    )
    op.create_table(
        "summaries",
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("samples", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "images",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("mime", sa.String(64), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("given_name", sa.Text, nullable=False),
        sa.Column("given_format", sa.String(16), nullable=False),
        sa.Column("given_bytes", sa.Integer, nullable=False),
        sa.Column("given_width", sa.Integer, nullable=False),
        sa.Column("given_height", sa.Integer, nullable=False),
        sa.Column("notes", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "chats",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("visitor", sa.String(64), nullable=False),
        sa.Column("created_at", stamp, nullable=False),
        sa.Column("updated_at", stamp, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "chat_messages",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("chat_id", sa.String(64), sa.ForeignKey("chats.id"), nullable=False),
        sa.Column("parent", sa.Integer),
        sa.Column("message", sa.JSON, nullable=False),
        sa.Column("created_at", stamp, nullable=False),
        if_not_exists=True,
    )
    for table, column in (
        ("runs", "kind"), ("runs", "created_at"), ("samples", "run_id"), ("samples", "answer"),
        ("chats", "visitor"), ("chats", "updated_at"), ("chat_messages", "chat_id"),
    ):  # fmt: skip
        op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)
