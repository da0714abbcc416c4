from __future__ import annotations

import random

import pytest

from monitor.rewards.packing import BatchLimits, plan_batches


def padded_tokens(lengths: list[int], batch: list[int]) -> int:
    return len(batch) * max(lengths[index] for index in batch)


@pytest.mark.parametrize("seed", range(5))
def test_every_row_appears_once_and_no_batch_passes_either_limit(seed: int) -> None:
    generator = random.Random(seed)
    lengths = [generator.randint(1, 400) for _ in range(300)]
    limits = BatchLimits(max_tokens=2_000, max_rows=16)

    batches = list(plan_batches(lengths, limits))

    assert sorted(index for batch in batches for index in batch) == list(range(300))
    assert all(len(batch) <= 16 and padded_tokens(lengths, batch) <= 2_000 for batch in batches)


def test_rows_of_like_length_share_a_batch() -> None:
    batches = list(plan_batches([10, 500, 11, 490], BatchLimits(max_tokens=1_000, max_rows=8)))

    assert batches == [[1, 3], [2, 0]]


def test_a_row_longer_than_the_budget_goes_alone() -> None:
    batches = list(plan_batches([5, 5_000, 6], BatchLimits(max_tokens=100, max_rows=8)))

    assert batches == [[1], [2, 0]]


def test_no_rows_make_no_batches() -> None:
    assert list(plan_batches([], BatchLimits(max_tokens=100, max_rows=8))) == []
