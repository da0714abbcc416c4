"""Means over a window, from the counters of what the streams have folded."""

from __future__ import annotations

from dashboards.panel import HERE


def windowed_mean(selected: str, by: str) -> str:
    """Return the mean over `$window` of the streams that the matchers *selected* choose, one for each *by*.

    It is the rate of the sum over the rate of the count: counters never fall, so what values below zero take off is
    counted apart. A stream without observations in the window has no mean, and no zero.
    """
    added, taken = (
        f'sum by ({by}) (rate(monitor_stream_sum_total{{{selected},sign="{sign}"}}[$window]))'
        for sign in ("added", "taken")
    )
    count = f"sum by ({by}) (rate(monitor_stream_observations_total{{{selected}}}[$window]))"
    return f"({added} - {taken}) / ({count} > 0)"


def mean_of(signal: str) -> str:
    """Return the mean of *signal* over `$window`, by cohort."""
    return windowed_mean(f'{HERE},signal="{signal}",cohort=~"$cohort",model=~"$model"', "job, cohort")
