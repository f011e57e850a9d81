"""Stored runs get today's words: level instead of rung, invalid instead of void, background instead of needle."""

import sqlalchemy as sa
from alembic import op

from vqa.store.version1 import renamed_plan, renamed_result

revision, down_revision = "0003", "0002"

_runs = sa.table("runs", sa.column("id", sa.String), sa.column("plan", sa.JSON), sa.column("result", sa.JSON))
_samples = sa.table("samples", sa.column("arm", sa.String))


def upgrade() -> None:
    """Writes plans, results and names of arms anew; what users, models and servers wrote stays as it is."""
    connection = op.get_bind()
    # One run at a time: the result of a long one is large.
    for key in connection.execute(sa.select(_runs.c.id)).scalars().all():
        plan, result = connection.execute(sa.select(_runs.c.plan, _runs.c.result).where(_runs.c.id == key)).one()
        new = {"plan": renamed_plan(plan), "result": renamed_result(result)}
        if new != {"plan": plan, "result": result}:
            values = new if result is not None else {"plan": new["plan"]}  # None would be JSON's null, not SQL's
            connection.execute(sa.update(_runs).where(_runs.c.id == key).values(**values))
    arm = _samples.c.arm
    renamed = sa.func.replace(arm, "needle", "background")
    connection.execute(sa.update(_samples).where(sa.or_(arm == "needle", arm.like("%/needle"))).values(arm=renamed))
