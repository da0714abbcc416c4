"""Settings of watching for drift."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from monitor.settings.part import Part
from monitor.settings.reference import ReferenceSettings


class ToleranceSettings(Part):
    share: float = Field(0.0, ge=0, lt=1, description="of what the signal was in the baseline")
    points: float = Field(
        0.0,
        ge=0,
        description="a change in the signal's unit; of a reward or disagreement, in spreads of the baseline's values",
    )


class DriftSettings(Part):
    average_run_length: float | None = Field(
        None,
        ge=10,
        description="A of every stream: observations between false alerts, on average at least; null: from the budget",
    )
    false_page_days: float = Field(
        30.0, gt=0, description="budget: all streams together raise one false alert in so many days, or fewer"
    )
    baseline_traces: int = Field(
        2000, ge=0, description="freeze the first baseline from this many traces; 0 waits for an operator"
    )
    standard_errors: float = Field(1.0, ge=0, le=10, description="z: half-width of the roll-up's null interval")
    cohort_standard_errors: float = Field(2.0, ge=0, le=10, description="the same of a single cohort's")
    tolerance: dict[str, ToleranceSettings] = Field(
        default_factory=dict,
        description="the largest change that nobody must be called for, by signal: the larger of two."
        " Default: a length's share is 0.1, a rate's share a third and points 0.01, a reward's points 0.1",
    )
    fold_seconds: float = Field(1.0, gt=0, le=60, description="pause between two folds")
    recovery_observations: int = Field(
        2000,
        ge=1,
        description="a warning is looked at again after so many; it has recovered where its evidence has fallen",
    )
    incident_seconds: float = Field(
        86_400.0,
        gt=0,
        le=2_592_000,
        description="alarms that began before so long had passed since the page are its incident's; none is taken"
        " after seven times as long",
    )
    moved_false_share: float = Field(
        0.1, gt=0, le=0.5, description="of the streams told to have moved on a day, how many have not, in the mean"
    )
    detectors: dict[str, str] = Field(
        default_factory=dict, description="what follows a signal, by name, from the next baseline on; e_detector"
    )
    reference: ReferenceSettings = ReferenceSettings()

    @field_validator("tolerance", mode="before")
    @classmethod
    def _no_bare_number(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for name, accepted in given.items():
                if not isinstance(accepted, dict | ToleranceSettings):
                    raise ValueError(
                        f"{name}: {accepted!r} has no unit any more; write {{share: 0.1}} for a tenth of what the"
                        " signal was, {points: 0.01} for a change in its own unit, or both for the larger of them"
                    )
        return given
