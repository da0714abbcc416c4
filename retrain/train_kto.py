"""A policy trained on thumbs, from its spec to its result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from monitor.runs.policy import PolicyResult
from monitor.runs.spec import RunSpec
from retrain.policy_recipe import load_kto_recipe
from retrain.progress import Progress
from retrain.train_policy import check_spec, train_policy


def plan(spec: RunSpec) -> Callable[[Progress], PolicyResult]:
    """Return the work that *spec* asks for; raise `InvalidInput` where its recipe is none."""
    check_spec(spec)
    return partial(train_policy, spec, load_kto_recipe(spec.recipe))
