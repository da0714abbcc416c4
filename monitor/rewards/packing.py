"""Packing encoded traces into GPU batches under a padded-token budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    max_tokens: int  # padded: rows x longest row
    max_rows: int

    def admits(self, rows: int, longest: int) -> bool:
        return rows <= self.max_rows and rows * longest <= self.max_tokens


def plan_batches(lengths: Iterable[int], limits: BatchLimits) -> Iterator[list[int]]:
    """Yield lists of indices, each within *limits*; every index appears once.

    Rows are taken longest first, so a batch's padding is set by its first row.
    A row longer than the whole budget is yielded alone: truncating is the
    tokenizer's decision, and holding it back would stall every row behind it.
    """
    lengths = list(lengths)
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        longest = lengths[batch[0]] if batch else lengths[index]
        if batch and not limits.admits(len(batch) + 1, longest):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
