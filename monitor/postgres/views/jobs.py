"""Jobs as the metrics show them."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine, text

from monitor.domain.job import Action, JobState, RunProgress
from monitor.postgres.engine import transaction


def job_counts(engine: Engine) -> dict[tuple[Action, JobState], int]:
    """Return how many jobs there are, by action and state."""
    query = text("select action, state, count(*) as jobs from job group by action, state")
    with transaction(engine) as connection:
        return {(Action(row.action), JobState(row.state)): row.jobs for row in connection.execute(query)}


def running_progress(engine: Engine) -> dict[Action, RunProgress]:
    """Return how far the runs that are under way have come, by action; what has told nothing is left out."""
    query = text("select action, progress_detail from job where state = 'running' and progress_detail is not null")
    with transaction(engine) as connection:
        return {
            Action(row.action): msgspec.convert(row.progress_detail, RunProgress, strict=False)
            for row in connection.execute(query)
        }
