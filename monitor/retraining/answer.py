"""Whether jobs have answered an alarm, and for how long their failures hold the next one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from monitor.domain.job import LIVE, Hold, JobState
from monitor.retraining.records import AlarmFact, JobFact

LONGEST = timedelta(days=7)
FAILURES = {
    JobState.FAILED: "failed",
    JobState.FAILED_GATE: "failed its gate",
    JobState.ROLLED_BACK: "was rolled back",
}
MAX_DOUBLINGS = 20  # from a second on a week is reached by then


def backoff(failures: int, *, first: timedelta) -> timedelta:
    """Return for how long *failures* in a row, at least one, hold: *first*, twice that, and so on; a week at most.

    >>> [backoff(failures, first=timedelta(hours=6)).total_seconds() / 3600 for failures in (1, 2, 3, 9)]
    [6.0, 12.0, 24.0, 168.0]
    """
    doubled: timedelta = min(first, LONGEST) * 2 ** min(failures - 1, MAX_DOUBLINGS)
    return min(doubled, LONGEST)


def hold_backoff(jobs: Sequence[JobFact], *, first: timedelta, now: datetime) -> Hold | None:
    """Say until when failures hold the next job, where *jobs*, the newest first, end with some.

    What an operator has cancelled says nothing of the next one.
    """
    ended = [job for job in jobs if job.state not in LIVE and job.state is not JobState.CANCELLED]
    failed = list(takewhile(lambda job: job.state in FAILURES, ended))
    if not failed:
        return None
    until = failed[0].moved_at + backoff(len(failed), first=first)
    in_a_row = f", {len(failed)} in a row" if len(failed) > 1 else ""
    detail = f"job {failed[0].job_id} {FAILURES[failed[0].state]}{in_a_row}: the next may start"
    return Hold("backoff", f"{detail} from {told(until)} on", until) if now < until else None


def hold_answered(alarm: AlarmFact, jobs: Sequence[JobFact], *, first: timedelta, now: datetime) -> Hold | None:
    """Say how the last of *jobs* that is about *alarm* has answered it, if it has; a live job is told elsewhere.

    A cancelled job answers for good: whoever cancelled it did not want one for this incident. A promoted one does
    while it bakes, and after that unless the alarm's stream still comes: it drifts on in spite of the new model.
    """
    about = [job for job in jobs if job.is_about(alarm)]
    last = about[0] if about else None
    if last is None or last.state in LIVE:
        return None
    if last.state is JobState.CANCELLED:
        return Hold("alarm_answered", f"{alarm.name}: job {last.job_id} was cancelled; a new incident starts another")
    if last.state is not JobState.PROMOTED:
        return hold_backoff(about, first=first, now=now)
    if last.is_baking:
        return Hold("baking", f"{alarm.name}: the candidate of job {last.job_id} is in its bake window")
    settled_at = last.baked_at or last.moved_at
    if alarm.seen_at is not None and alarm.seen_at > settled_at:
        return None
    return Hold("alarm_answered", f"{alarm.name}: job {last.job_id} was promoted, and its stream has not come since")


def told(at: datetime) -> str:
    """Return a time for people."""
    return at.isoformat(timespec="seconds")
