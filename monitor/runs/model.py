"""The registered models, as the API, the console and the commands show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.runs.calibration import ScorerCalibration
from monitor.runs.lineage import Lineage
from monitor.runs.result import PairMetrics


class ModelRole(StrEnum):
    """What a model is for; the registry names one of each."""

    REWARD = "reward"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    version: str
    sha256: str
    created_at: datetime
    job_id: int | None  # None for a model the settings named
    metrics: PairMetrics | None  # on held-out pairs; None where it was never judged, and of a policy
    role: ModelRole = ModelRole.REWARD
    served_as: str | None = None  # a policy's policy_model in traces; None for one that was never promoted


@dataclass(frozen=True, slots=True)
class ModelDetail:
    """A model with where it comes from."""

    model: RegisteredModel
    path: str  # of its files
    lineage: Lineage | None  # None for a model the settings named, and for one of an earlier release
    card: str | None  # Markdown
    calibration: ScorerCalibration | None = None  # of a reward ensemble, by the run that made it


@dataclass(frozen=True, slots=True)
class Models:
    """The models of one role: who serves now, who did before, who waits."""

    champion: RegisteredModel | None
    previous: RegisteredModel | None
    candidates: tuple[RegisteredModel, ...]  # newest first
    promoted_at: datetime | None
    promoted_by: str | None
    role: ModelRole = ModelRole.REWARD
