"""The registered models, as the API, the console and the commands show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from monitor.runs.calibration import ScorerCalibration
from monitor.runs.lineage import Lineage
from monitor.runs.result import PairMetrics


class ModelRole(StrEnum):
    """What a model is for; the registry names one of each."""

    REWARD = "reward"
    POLICY = "policy"
    REFUSAL = "refusal"  # the weights that read refusals


class ModelState(StrEnum):
    """Where a model stands in its role."""

    CHAMPION = "champion"  # it serves
    PREVIOUS = "previous"  # it served before; a roll-back puts it back
    CANDIDATE = "candidate"  # any other


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    version: str
    sha256: str
    created_at: datetime
    job_id: int | None  # None for a model the settings named
    metrics: PairMetrics | None  # on held-out pairs; None where it was never judged, and of a policy
    role: ModelRole = ModelRole.REWARD
    served_as: str | None = None  # a policy's policy_model in traces; the version in the series of weights
    state: ModelState = ModelState.CANDIDATE
    promoted_at: datetime | None = None  # of a champion; None for others
    promoted_by: str | None = None


@dataclass(frozen=True, slots=True)
class ModelDetail:
    """A model with where it comes from."""

    model: RegisteredModel
    path: str  # of its files
    lineage: Lineage | None  # None for a model the settings named, and for one of an earlier release
    card: str | None  # Markdown
    calibration: ScorerCalibration | None = None  # of a reward ensemble, by the run that made it


@dataclass(frozen=True, slots=True)
class ModelQuery:
    """Which models are looked for; all of them without a role and states."""

    role: ModelRole | None = None
    states: frozenset[ModelState] = frozenset()

    def admits(self, model: RegisteredModel) -> bool:
        return self.role in {None, model.role} and (not self.states or model.state in self.states)


class ModelPlace(NamedTuple):
    """Where a model stands in a listing; ascending as models were registered."""

    created_at: datetime
    version: str

    @classmethod
    def of(cls, model: RegisteredModel) -> ModelPlace:
        return cls(model.created_at, model.version)
