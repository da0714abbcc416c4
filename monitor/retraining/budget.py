"""What runs may cost in a week, and the hours in which nothing is started."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from monitor.domain.job import Hold, JobState
from monitor.retraining.answer import told
from monitor.retraining.records import JobStep, RunTime
from monitor.settings.retrain import BudgetSettings

WEEK = timedelta(days=7)
_HOUR = timedelta(hours=1)


def run_times(steps: Iterable[JobStep]) -> tuple[RunTime, ...]:
    """Return when runs were under way, by their jobs' *steps* in order: attempts that failed or were lost too."""
    begun: dict[int, datetime] = {}
    times = []
    for step in steps:
        if step.state is JobState.RUNNING:
            begun.setdefault(step.job_id, step.at)  # a run that is taken up again is the same one
        elif step.job_id in begun:
            times.append(RunTime(begun.pop(step.job_id), step.at))
    return (*times, *(RunTime(started_at, None) for started_at in begun.values()))


def gpu_hours(runs: Iterable[RunTime], *, gpus: int, now: datetime) -> float:
    """Return what *runs* took of *gpus* each, in the seven days before *now*."""
    since = now - WEEK
    taken = (min(run.ended_at or now, now) - max(run.started_at, since) for run in runs)
    return gpus * sum(max(time, timedelta(0)) / _HOUR for time in taken)


def hold_budget(budget: BudgetSettings, runs: Sequence[RunTime], now: datetime) -> Hold | None:
    """Say that the week's GPU hours are spent, and when enough of them lie a week back, to a second."""
    allowed, gpus = budget.gpu_hours_a_week, budget.gpus_a_run
    if allowed is None or (used := gpu_hours(runs, gpus=gpus, now=now)) < allowed:
        return None
    ended = [replace(run, ended_at=run.ended_at or now) for run in runs]
    ahead = range(int(WEEK.total_seconds()) + 1)
    seconds = bisect_left(
        ahead, True, key=lambda second: gpu_hours(ended, gpus=gpus, now=now + timedelta(seconds=second)) < allowed
    )
    until = now + timedelta(seconds=seconds)
    detail = f"{used:.1f} GPU hours in seven days; wanted fewer than {allowed:g}: so from {told(until)} on"
    return Hold("budget", detail, until)


def quiet_until(hours: str, now: datetime) -> datetime | None:
    """Return when the quiet *hours* that *now* lies in end, None outside them; "22:00-06:00" holds over midnight.

    >>> quiet_until("22:00-06:00", datetime(2026, 11, 21, 23, tzinfo=UTC)).isoformat()
    '2026-11-22T06:00:00+00:00'
    """
    first, last = map(time.fromisoformat, hours.split("-"))
    now = now.astimezone(UTC)
    at = now.time()
    if not (first <= at < last if first < last else at >= first or at < last):
        return None
    end = datetime.combine(now.date(), last, tzinfo=UTC)
    return end if end > now else end + timedelta(days=1)


def hold_quiet(budget: BudgetSettings, now: datetime) -> Hold | None:
    until = None if budget.quiet_hours is None else quiet_until(budget.quiet_hours, now)
    return None if until is None else Hold("quiet_hours", f"{budget.quiet_hours} UTC: until {told(until)}", until)
