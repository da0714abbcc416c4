"""When the calendar asks for a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from apscheduler.triggers.cron import CronTrigger

from monitor.domain.job import Hold
from monitor.errors import InvalidSetting
from monitor.retraining.answer import told
from monitor.settings.retrain import PeriodicRule, RetrainSettings

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY_OF_WEEK = 4  # of a crontab line's fields
_SPAN = re.compile(r"(?P<any>\*)|(?P<first>[0-7])(?:-(?P<last>[0-7]))?")


def periodic_rules(settings: RetrainSettings) -> Mapping[str, PeriodicRule]:
    """Return the rules of the calendar by the setting that names each one's crontab."""
    rules = {f"retrain.periodic[{number}].cron": rule for number, rule in enumerate(settings.periodic)}
    if settings.refresh_cron is not None:
        return {"retrain.refresh_cron": PeriodicRule(cron=settings.refresh_cron), **rules}
    return rules


def parse_cron(line: str, *, setting: str) -> CronTrigger:
    """Read a crontab line in UTC; raise `InvalidSetting` naming it."""
    fields = line.split()
    if len(fields) > _DAY_OF_WEEK:
        fields[_DAY_OF_WEEK] = ",".join(map(_named_days, fields[_DAY_OF_WEEK].split(",")))
    try:
        return CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
    except ValueError as error:
        raise InvalidSetting(f"{setting} = {line!r}: {error}; wanted five crontab fields, say '0 3 * * sun'") from None


def _named_days(part: str) -> str:
    """Return days of the week by their names: APScheduler's numbers count from Monday, a crontab's from Sunday.

    >>> _named_days("5-7"), _named_days("*/3"), _named_days("sun-tue"), _named_days("1#2")
    ('fri,sat,sun', 'sun,wed,sat', 'sun,mon,tue', '1#2')
    """
    days, _, step = part.lower().partition("/")
    for number, name in enumerate(_DAYS):
        days = days.replace(name, str(number))
    span = _SPAN.fullmatch(days)
    if part == "*" or span is None or not (step or "1").isdecimal() or step == "0":
        return part  # for APScheduler to read, or to refuse
    first, last = (0, 6) if span["any"] else (int(span["first"]), int(span["last"] or span["first"]))
    return ",".join(_DAYS[day % 7] for day in range(first, last + 1, int(step or 1))) or part


def next_fire(cron: str, after: datetime, *, setting: str = "cron") -> datetime | None:
    """Return the first fire time after *after*; None where there never is one, as on the 31st of February."""
    fires_at: datetime | None = parse_cron(cron, setting=setting).get_next_fire_time(after, after)
    return fires_at


def hold_not_due(cron: str, *, last: datetime, now: datetime, setting: str = "cron") -> Hold | None:
    """Say when *cron* fires next, unless it has since *last*; many missed fires are one.

    *last* is the creation of the action's latest job, or when the calendar was first read with this line. A fire time
    that something else holds is kept: it is due until a job was created after it.
    """
    fires_at = next_fire(cron, last, setting=setting)
    if fires_at is not None and fires_at <= now:
        return None
    return Hold("not_due", "never" if fires_at is None else f"next at {told(fires_at)}", fires_at)
