"""Moments as the log keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from monitor.domain.observation import micros_of, moment_of


def test_every_microsecond_until_the_year_9999_comes_back() -> None:
    rng = np.random.default_rng(1)
    ends = [datetime(year, 1, 1, tzinfo=UTC) for year in (1970, 2000, 2026, 9999)]
    micros = rng.integers(0, int(ends[-1].timestamp()) * 1_000_000, 20_000).tolist()
    moments = [*ends, *(moment_of(at) for at in micros)]
    wanted = [(at - ends[0]) // timedelta(microseconds=1) for at in moments]
    assert micros_of(moments).tolist() == wanted
    assert micros_of([at.astimezone(timezone(timedelta(hours=5))) for at in moments]).tolist() == wanted


def test_no_moments_are_an_empty_array_of_integers() -> None:
    assert micros_of([]).dtype == np.int64
