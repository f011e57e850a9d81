"""Evaluated data sets keep their rows, and the samples of one question are found by an index."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Makes what is not there."""
    op.create_table(
        "dataset_rows",
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_samples_run_question", "samples", ["run_id", "question"], if_not_exists=True)
