"""Days of UTC, by which the database counts what was stored and answered: a test must not see two of them."""

from __future__ import annotations

from datetime import datetime, timedelta

LONGEST_TEST = timedelta(minutes=2)


def wait_seconds(now: datetime) -> float:
    """Return for how long a test waits that begins at *now*, in UTC, so that midnight does not fall into it."""
    rest = timedelta(days=1) - (now - now.replace(hour=0, minute=0, second=0, microsecond=0))
    return rest.total_seconds() if rest <= LONGEST_TEST else 0.0
