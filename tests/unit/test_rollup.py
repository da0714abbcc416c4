"""Roll-ups: what a stream came to by five minutes and by hour, however the log is cut."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.cohort import ALL, UNLABELLED
from monitor.domain.history import COARSE, FINE, HistoryRange
from monitor.domain.observation import Series, batch_of
from monitor.drift.history import points_of
from monitor.drift.rollup import Bucket, BucketKey, Seen, roll_up
from monitor.stats.quantile_sketch import ACCURACY, codes_of, merge, quantiles

LENGTH = Series("response_length", "chat-2", "1")
NOON = 1_780_000_800 // COARSE * COARSE
SHARES = (0.1, 0.5, 0.9, 0.99)


def seen(rows: Sequence[tuple[int, str, float]], series: Series = LENGTH) -> Seen:
    """Return a batch of *rows*: seconds after noon, cohort, value."""
    batch = batch_of(series, [(place, cohort, value) for place, (_, cohort, value) in enumerate(rows)])
    return Seen(batch, np.array([(NOON + after) * 1_000_000 + 999_999 for after, _, _ in rows], np.int64))


def told(bucket: Bucket) -> tuple[int, float, float, list[int], list[int]]:
    return bucket.count, bucket.low, bucket.high, bucket.codes.tolist(), bucket.counts.tolist()


def joined(parts: Sequence[dict[BucketKey, Bucket]]) -> dict[BucketKey, Bucket]:
    def add(all_: dict[BucketKey, Bucket], part: dict[BucketKey, Bucket]) -> dict[BucketKey, Bucket]:
        return all_ | {key: all_[key].merged(bucket) if key in all_ else bucket for key, bucket in part.items()}

    return reduce(add, parts, {})


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_quantile_lies_within_the_stated_share_of_the_value_of_its_rank(values: list[float]) -> None:
    array = np.array(values)
    codes, counts = merge(codes_of(array), np.ones(len(array), np.int64))
    found = quantiles(codes, counts, SHARES, low=array.min(), high=array.max())
    exact = np.quantile(array, SHARES, method="inverted_cdf")
    assert np.all(np.abs(found - exact) <= ACCURACY * np.abs(exact) * 1.000001 + 1e-9)


def test_of_zeros_and_ones_both_are_told_exactly() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    codes, counts = merge(codes_of(values), np.ones(5, np.int64))
    assert quantiles(codes, counts, (0.1, 0.5, 0.9), low=0.0, high=1.0) == [0.0, 1.0, 1.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 7200), st.sampled_from(["a", "b"]), st.floats(-1e3, 1e3)), min_size=2, max_size=60
    ),
    st.integers(1, 59),
)
def test_wherever_the_log_is_cut_the_buckets_are_the_same(rows: list[tuple[int, str, float]], cut: int) -> None:
    whole = roll_up([seen(rows)])
    parts = joined([roll_up([seen(part)]) for part in (rows[:cut], rows[cut:]) if part])
    assert {key: told(bucket) for key, bucket in parts.items()} == {key: told(bucket) for key, bucket in whole.items()}
    for key, bucket in whole.items():
        assert parts[key].total == pytest.approx(bucket.total, abs=1e-6)


def test_each_observation_counts_once_in_its_cohort_and_once_in_the_roll_up_by_both_widths() -> None:
    found = roll_up([seen([(0, "a", 1.0), (299, "b", 3.0), (300, "a", 5.0), (3599, UNLABELLED, 7.0)])])
    counts = {(key.stream.cohort, key.width_seconds, key.start - NOON): bucket.count for key, bucket in found.items()}
    assert counts == {
        ("a", FINE, 0): 1,
        ("a", FINE, 300): 1,
        ("b", FINE, 0): 1,
        (ALL, FINE, 0): 2,
        (ALL, FINE, 300): 1,
        (ALL, FINE, 3300): 1,
        ("a", COARSE, 0): 2,
        ("b", COARSE, 0): 1,
        (ALL, COARSE, 0): 4,
    }
    hour = next(bucket for key, bucket in found.items() if (key.stream.cohort, key.width_seconds) == (ALL, COARSE))
    assert (hour.total, hour.low, hour.high) == (16.0, 1.0, 7.0)


def test_what_is_older_than_is_kept_and_what_is_no_number_is_left_out() -> None:
    rows = [(0, "a", 1.0), (600, "a", float("nan")), (601, "a", 2.0)]
    found = roll_up([seen(rows)], since=NOON + 300)
    assert {key.start - NOON for key in found if key.width_seconds == FINE} == {600}
    assert [bucket.count for bucket in found.values()] == [1, 1, 1, 1]
    assert roll_up([seen(rows)], since=NOON + 10_000) == {}


def test_points_are_of_even_width_and_a_rate_has_an_interval_even_where_all_were_alike() -> None:
    rows = [(0, "a", 0.0), (400, "a", 0.0), (900, "a", 1.0), (5000, "a", 0.0)]
    found = roll_up([seen(rows)])
    fine = sorted(
        (key.start, one) for key, one in found.items() if (key.width_seconds, key.stream.cohort) == (FINE, ALL)
    )
    points = points_of([(datetime.fromtimestamp(start, UTC), one) for start, one in fine], 900)
    assert [(int(point.start.timestamp()) - NOON, point.observations, point.mean) for point in points] == [
        (0, 2, 0.0),
        (900, 1, 1.0),
        (4500, 1, 0.0),
    ]
    assert [point.p50 for point in points] == [None, None, None]
    assert points[0].lower == 0.0
    assert points[0].upper == pytest.approx(0.6576, abs=1e-3)  # Wilson's of 0 of 2
    longer = points_of([(datetime.fromtimestamp(start, UTC), one) for start, one in fine[:1]], 900)
    assert longer[0].p50 is None
    counted = roll_up([seen([(0, "a", 2.0), (1, "a", 4.0)])])
    told = points_of([(datetime.fromtimestamp(NOON, UTC), one) for key, one in counted.items()][:1], 900)
    assert (told[0].p10, told[0].p99, told[0].lower) == (2.0, 4.0, None)


@pytest.mark.parametrize("chosen", list(HistoryRange))
def test_a_range_ends_with_a_whole_point_even_at_the_ends_of_time(chosen: HistoryRange) -> None:
    for at in (datetime(year, 12, 31, 12, 0, 1, tzinfo=UTC) for year in (1, 2026, 9999)):
        until = chosen.until(at)
        assert until.timestamp() % chosen.width_seconds == 0
        assert (until - chosen.span).timestamp() % chosen.read_seconds == 0
    assert chosen.span.total_seconds() / chosen.width_seconds in range(72, 241)
