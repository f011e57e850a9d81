"""The tables of the store, as SQLAlchemy sees them."""

import sqlalchemy as sa

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False, default=""),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.Column("header", sa.JSON, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.Text),
)

answers = sa.Table(
    "answers",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

samples = sa.Table(
    "samples",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.ForeignKey("runs.id"), nullable=False, index=True),
    sa.Column("arm", sa.String(64), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("question", sa.Integer, nullable=False, default=0),
    sa.Column("started_at", sa.Float, nullable=False, default=0.0),
    sa.Column("seed", sa.BigInteger),
    sa.Column("concurrency", sa.Integer, nullable=False, default=1),
    sa.Column("answer", sa.ForeignKey("answers.sha256"), index=True),
    sa.Column("measured", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Index("ix_samples_run_question", "run_id", "question"),
)

summaries = sa.Table(
    "summaries",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("samples", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""What was computed from a long run's samples, so that opening it does not read them all again."""

dataset_rows = sa.Table(
    "dataset_rows",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
)
"""The rows of an evaluated data set: question, expected answers, options, and what its pictures are called."""

images = sa.Table(
    "images",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("mime", sa.String(64), nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("given_name", sa.Text, nullable=False, default=""),
    sa.Column("given_format", sa.String(16), nullable=False, default=""),
    sa.Column("given_bytes", sa.Integer, nullable=False, default=0),
    sa.Column("given_width", sa.Integer, nullable=False, default=0),
    sa.Column("given_height", sa.Integer, nullable=False, default=0),
    sa.Column("notes", sa.JSON, nullable=False, default=list),
)

chats = sa.Table(
    "chats",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, default=""),
    sa.Column("visitor", sa.String(64), nullable=False, default="", index=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, index=True),
)

chat_messages = sa.Table(
    "chat_messages",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("chat_id", sa.ForeignKey("chats.id"), nullable=False, index=True),
    sa.Column("parent", sa.Integer),
    sa.Column("message", sa.JSON, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
)
