"""What the members of an ensemble say together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.domain.score import Reward


class MissingScore(Exception):
    """A member has no finite score for a row; the message names both."""


def combine_members(
    scores: NDArray[np.float64], *, members: Sequence[str], scorer_version: str, beta: float
) -> list[Reward]:
    """Turn scores of shape (members, rows) into one reward a row.

    `lower` lies *beta* standard deviations over members below the mean; the
    standard deviation is the population's, so one member never disagrees.
    A score that is not finite raises `MissingScore`: a mean over the members
    that happened to answer is a different scorer's value.
    """
    if scores.ndim != 2 or scores.shape[0] != len(members) or not members:
        raise ValueError(f"scores have shape {scores.shape}; wanted ({len(members)} members, rows)")
    missing = np.argwhere(~np.isfinite(scores))
    if missing.size:
        member, row = missing[0]
        raise MissingScore(
            f"member {members[member]!r} has no finite score for row {row}; {len(missing)} scores are missing in all"
        )
    means = scores.mean(axis=0)
    spreads = scores.std(axis=0)
    return [
        Reward(
            scorer_version=scorer_version,
            members=tuple(map(float, row)),
            mean=float(mean),
            lower=float(mean - beta * spread),
            disagreement=float(spread),
        )
        for row, mean, spread in zip(scores.T, means, spreads, strict=True)
    ]


def combine_complete(
    scores: NDArray[np.float64], *, members: Sequence[str], scorer_version: str, beta: float
) -> list[Reward | None]:
    """As `combine_members`; None for each row that a member could not score."""
    complete = np.flatnonzero(np.isfinite(scores).all(axis=0))
    combined = combine_members(scores[:, complete], members=members, scorer_version=scorer_version, beta=beta)
    rewards: list[Reward | None] = [None] * scores.shape[1]
    for index, reward in zip(complete, combined, strict=True):
        rewards[index] = reward
    return rewards
