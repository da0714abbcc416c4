"""A policy trained on thumbs, from its spec to its result."""

from __future__ import annotations

from collections.abc import Callable

from monitor.errors import InvalidInput
from monitor.runs.policy import PolicyResult
from monitor.runs.spec import RunSpec
from retrain.progress import Progress


def plan(spec: RunSpec) -> Callable[[Progress], PolicyResult]:
    """Return the work that *spec* asks for; raise `InvalidInput` where its recipe is none."""
    raise InvalidInput(f"action {spec.action} is not available in this version")
