"""Jobs as the metrics count them."""

from __future__ import annotations

from sqlalchemy import Engine, text

from monitor.domain.job import Action, JobState
from monitor.postgres.engine import transaction


def job_counts(engine: Engine) -> dict[tuple[Action, JobState], int]:
    """Return how many jobs there are, by action and state."""
    query = text("select action, state, count(*) as jobs from job group by action, state")
    with transaction(engine) as connection:
        return {(Action(row.action), JobState(row.state)): row.jobs for row in connection.execute(query)}
