"""When the periodic refresh is due."""

from __future__ import annotations

from datetime import UTC, datetime

from apscheduler.triggers.cron import CronTrigger

from monitor.domain.job import Action, Hold, Launch
from monitor.errors import InvalidSetting
from monitor.retraining.trigger import FactSource, hold_learning
from monitor.settings.retrain import RaterSettings


def parse_cron(text: str) -> CronTrigger:
    """Read a crontab line in UTC; raise `InvalidSetting` naming it."""
    try:
        return CronTrigger.from_crontab(text, timezone=UTC)
    except ValueError as error:
        raise InvalidSetting(
            f"retrain.refresh_cron = {text!r}: {error}; wanted five crontab fields, say '0 3 * * sun'"
        ) from None


def due(cron: str, last: datetime, now: datetime) -> bool:
    """Say whether a fire time lies after *last* and not after *now*; many missed ones are one."""
    fires_at = parse_cron(cron).get_next_fire_time(last, last)
    return fires_at is not None and fires_at <= now


def decide_refresh(cron: str, *, last_started: datetime, live_job: bool, now: datetime) -> Launch | Hold:
    """Say whether the periodic refresh wants to start now.

    *last_started* is the creation of the latest refresh, or the leader's own
    start where there is none. A fire time that finds a job running is kept: it
    is due again when that job has ended, unless that job was created after it.
    """
    if not due(cron, last_started, now):
        return Hold("not_due")
    if live_job:
        return Hold("job_running", f"a {Action.REWARD_REFRESH} job is not finished")
    return Launch(Action.REWARD_REFRESH, alarm_id=None, needs_approval=False)


def plan_refresh(
    cron: str, *, facts: FactSource, since: datetime, wanted: RaterSettings, now: datetime
) -> Launch | Hold:
    """Decide the refresh; it wants one new pair. *since* stands for the last one where there was none."""
    known = facts.trigger_facts(Action.REWARD_REFRESH)
    last = known.last_started or since
    decision = decide_refresh(cron, last_started=last, live_job=known.live_job, now=now)
    if isinstance(decision, Hold):
        return decision
    learning = facts.learning_facts(Action.REWARD_REFRESH)
    return hold_learning(learning, min_new_pairs=1, wanted=wanted) or decision
