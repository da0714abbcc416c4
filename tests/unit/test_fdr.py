"""e-BH and e-LOND against their papers' definitions, and a day's verdict."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alarm import Direction
from monitor.domain.stream import StreamKey
from monitor.drift.daily import DayEvidence, judge_day
from monitor.stats.fdr import ELond, gamma, rejected

e_values = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e7)), max_size=40)
levels = st.floats(0.01, 0.5)


def logs(values: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with np.errstate(divide="ignore"):
        return np.log(np.array(values, dtype=np.float64))


def e_bh(values: list[float], level: float) -> list[bool]:
    """Wang and Ramdas, definition 3: reject the k* largest, k* = max{k: k e_[k] / K >= 1 / alpha}."""
    ordered = sorted(values, reverse=True)
    best = max((k for k, e in enumerate(ordered, 1) if k * e / len(values) >= 1 / level), default=0)
    return [best > 0 and e >= ordered[best - 1] for e in values]


@given(e_values, levels)
def test_one_batch_is_e_bh(values: list[float], level: float) -> None:
    assert rejected(logs(values), level).tolist() == e_bh(values, level)


@given(e_values, levels)
def test_batches_of_one_are_e_lond(values: list[float], level: float) -> None:
    """Xu and Ramdas: alpha_t = alpha gamma_t (R_(t-1) + 1), and hypothesis t is rejected where e_t >= 1 / alpha_t."""
    state, found = ELond(level), 0
    for number, value in enumerate(values, 1):
        wanted = value * level * gamma(number) * (found + 1) >= 1.0
        mask, state = state.test(logs([value]))
        assert mask.tolist() == [wanted]
        found += wanted
    assert state == ELond(level, batches=len(values), found=found)


def test_what_was_found_before_makes_the_next_finding_easier() -> None:
    e = logs([4000.0, 1.0])
    assert not ELond(0.1, batches=9, found=0).test(e)[0].any()
    assert ELond(0.1, batches=9, found=9).test(e)[0].tolist() == [True, False]


def test_the_shares_of_all_batches_sum_to_no_more_than_one() -> None:
    stop = 200_000
    total = sum(map(gamma, range(1, stop)))
    root = math.sqrt(math.log(stop))
    tail = 0.07720838 * 2.0 * math.exp(-root) * (root**3 + 3 * root**2 + 6 * root + 6)  # the integral from there on
    assert 0.97 < total + tail <= 1.0


def evidence(cohort: str, e: float) -> DayEvidence:
    return DayEvidence(StreamKey("refusal", cohort, "m", "-"), date(2026, 11, 1), 100, math.log(e), Direction.UP)


def test_a_day_tells_of_the_streams_with_most_evidence_and_says_which_hold_over_all_days() -> None:
    rows = [evidence("a", 400.0), evidence("b", 5e5), evidence("c", 600.0), evidence("d", 2.0)]
    moved, state = judge_day(rows, 100, 0.1, ELond(0.1, batches=29))
    told = [(row.evidence.stream.cohort, row.on_the_day, row.over_days) for row in moved]
    assert told == [("b", True, False), ("c", True, False), ("a", True, False)]
    assert (state.batches, state.found) == (30, 0)
    moved, state = judge_day(rows, 100, 0.1, ELond(0.1))
    assert [row.over_days for row in moved] == [True, False, False]
    assert (state.batches, state.found) == (1, 1)


def test_little_evidence_is_never_told_of_however_many_streams_share_it() -> None:
    rows = [evidence(f"c{number}", 9.0) for number in range(50)]
    assert judge_day(rows, 50, 0.5, ELond(0.5, found=900))[0] == []
    assert judge_day([], 0, 0.1, ELond(0.1))[0] == []
