"""What a run of a policy reports, as tests hand it around."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from monitor.runs.artifact import Artifact
from monitor.runs.policy import MEASURES, Comparison, PolicyResult, TrainingReport

# The champion's side of each measure, and the half width of a usual interval on 200 replayed prompts or 100 probes.
USUAL = {
    "win_rate": (0.5, 0.045),
    "win_rate_length_controlled": (0.5, 0.045),
    "win_rate_human": (0.5, 0.08),
    "length": (4.6, 0.08),
    "refusal": (0.02, 0.02),
    "over_refusal": (0.06, 0.04),
    "harmful_compliance": (0.1, 0.04),
    "sycophancy": (0.1, 0.06),
    "repetition": (0.01, 0.015),
    "format": (0.03, 0.02),
    "capability": (0.4, 0.05),
    "perplexity": (1.2, 0.02),
}
PROBED = {"over_refusal", "harmful_compliance", "sycophancy", "capability"}
TRAINING = TrainingReport(
    method="dpo",
    examples=400,
    by_models=0,
    held_out=120,
    implicit_accuracy=0.63,
    implicit_lower=0.54,
    implicit_upper=0.71,
    accuracy_before=0.51,
    steps=200,
    loss=0.61,
)


def compared(name: str, difference: float = 0.0, **changes: Any) -> Comparison:
    """Return a measure by which the candidate is ahead of the champion by *difference*, with a usual interval."""
    champion, half = USUAL[name]
    usual = Comparison(
        name=name,
        cohort=None,
        items=100 if name in PROBED else 200,
        candidate=champion + difference,
        champion=1.0 - champion - difference if name.startswith("win_rate") else champion,
        difference=difference,
        lower=difference - half,
        upper=difference + half,
    )
    return replace(usual, **changes)


def an_equal_candidate(*changed: Comparison, without: Iterable[str] = ()) -> PolicyResult:
    """Return a result in which nothing differs but what is *changed*: a measure's, or a cohort's more."""
    whole = {found.name: found for found in changed if found.cohort is None}
    kept = tuple(whole.get(name, compared(name)) for name in MEASURES if name not in set(without))
    return PolicyResult(
        candidate=Artifact("v2", "/models/v2", "00"),
        seconds=60.0,
        rescored=None,
        training=TRAINING,
        comparisons=kept + tuple(found for found in changed if found.cohort is not None),
        action="dpo",
    )
