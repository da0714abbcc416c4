"""What an alarm's effect is measured on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """The number whose mean an alarm compares with the baseline's."""

    unit: str
    channel: int | None = None  # the mean of this channel; None: of the signal's values within their bounds
    size: float = 1.0  # of the channel's range, in `unit`
