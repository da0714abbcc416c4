"""Which part of a stream's past is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from monitor.domain.stream import StreamKey

FINE, COARSE = 300, 3600  # seconds: the widths of roll-ups
MAX_MARKS = 100
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class HistoryRange(StrEnum):
    HOURS = "6h"
    DAY = "1d"
    DAYS = "3d"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"

    @property
    def span(self) -> timedelta:
        unit = timedelta(hours=1) if self.value[-1] == "h" else timedelta(days=1)
        return int(self.value[:-1]) * unit

    @property
    def width_seconds(self) -> int:
        """The width of a point: 72 to 240 of them make the range."""
        return _WIDTHS[self]

    @property
    def read_seconds(self) -> int:
        """The width of the roll-ups that the points are made of."""
        return COARSE if self.width_seconds >= COARSE else FINE

    def until(self, at: datetime) -> datetime:
        """Return the end of the point that *at* lies in; of a time that no trace can have, the nearest that can."""
        at = min(max(at, EARLIEST), LATEST)
        return datetime.fromtimestamp((int(at.timestamp()) // self.width_seconds + 1) * self.width_seconds, UTC)


_WIDTHS = {
    HistoryRange.HOURS: FINE,
    HistoryRange.DAY: 3 * FINE,
    HistoryRange.DAYS: 6 * FINE,
    HistoryRange.WEEK: COARSE,
    HistoryRange.MONTH: 3 * COARSE,
    HistoryRange.QUARTER: 12 * COARSE,
}


@dataclass(frozen=True, slots=True)
class StreamName:
    stream_id: int
    key: StreamKey
