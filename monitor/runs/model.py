"""The registered reward ensembles, as the API and the console show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from monitor.runs.result import PairMetrics


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    version: str
    sha256: str
    created_at: datetime
    job_id: int | None  # None for a model the settings named
    metrics: PairMetrics | None  # on held-out pairs; None where it was never judged


@dataclass(frozen=True, slots=True)
class Models:
    """The reward ensembles: who scores now, who did before, who waits."""

    champion: RegisteredModel | None
    previous: RegisteredModel | None
    candidates: tuple[RegisteredModel, ...]  # newest first
    promoted_at: datetime | None
    promoted_by: str | None
