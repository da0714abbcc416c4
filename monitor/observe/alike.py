"""A candidate's scores beside the champion's, over all traces and by cohort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.domain.shadow import Shadow, ShadowLine, ShadowScores
from monitor.stats.alike import alikeness

MAX_COHORTS = 20  # told apart: those with the most traces


def sum_up_shadow(scores: ShadowScores) -> Shadow:
    cohorts = np.array(scores.cohorts)
    columns = np.array(
        [
            scores.champion_means,
            scores.candidate_means,
            scores.champion_disagreements,
            scores.candidate_disagreements,
        ],
        dtype=np.float64,
    )
    names, counts = np.unique(cohorts, return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")][:MAX_COHORTS]
    return Shadow(
        job_id=scores.job_id,
        version=scores.version,
        champion=scores.champion,
        traces=len(cohorts),
        overall=_line(columns),
        by_cohort={str(name): _line(columns[:, cohorts == name]) for name in largest},
    )


def _line(columns: NDArray[np.float64]) -> ShadowLine:
    champion, candidate, before, after = columns[:, np.isfinite(columns).all(axis=0)]
    found = alikeness(champion, candidate)
    if found is None:
        return ShadowLine(len(champion))
    return ShadowLine(
        traces=found.count,
        correlation=found.correlation,
        rank_agreement=found.rank_agreement,
        mean_difference=found.mean_difference,
        champion_disagreement=float(before.mean()),
        candidate_disagreement=float(after.mean()),
    )
