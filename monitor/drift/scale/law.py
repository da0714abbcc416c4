"""What a scale knows of a signal's window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
REACH = 2.0  # spreads: a residual further out counts as this far, so that one value cannot decide
STEPS: Floats = np.linspace(-8.0, 8.0, 321)  # shifts in spreads, at which means are tabled
NODES = 16  # residuals that stand for all of them where a mean has to be summed


@dataclass(frozen=True, slots=True)
class WindowLaw:
    """The quantiles of the window's values, and of its residuals from what was expected, in spreads."""

    grid: Floats  # at `quantile.QUANTILES`; empty for a scale that needs none
    residuals: Floats  # ascending, equally likely
    levels: Floats  # their cumulative shares
    mean_reach: Floats  # at STEPS: the mean of a residual scaled to 0..1 over its REACH, when all are so far away
    mean_rank: Floats  # at STEPS: the mean rank of a residual, likewise
    nodes: Floats  # (NODES,)

    @classmethod
    def of(cls, grid: Floats, residuals: Floats) -> WindowLaw:
        levels = (np.arange(len(residuals)) + 0.5) / max(len(residuals), 1)
        moved = residuals[:, None] + STEPS if len(residuals) else np.zeros((1, len(STEPS))) + STEPS
        rank = np.interp(moved, residuals, levels, left=0.0, right=1.0) if len(residuals) else np.full_like(moved, 0.5)
        parts = np.array_split(residuals, min(NODES, max(len(residuals), 1)))
        return cls(
            grid=grid,
            residuals=residuals,
            levels=levels,
            mean_reach=within_reach(moved).mean(axis=0),
            mean_rank=rank.mean(axis=0),
            nodes=np.array([part.mean() if len(part) else 0.0 for part in parts]),
        )

    def rank(self, residuals: Floats) -> Floats:
        """Return each residual's rank among the window's, 0 to 1."""
        return np.interp(residuals, self.residuals, self.levels, left=0.0, right=1.0)


def within_reach(residuals: Floats) -> Floats:
    """Scale *residuals* from -REACH..REACH to 0..1."""
    return np.clip(0.5 + residuals / (2.0 * REACH), 0.0, 1.0)
