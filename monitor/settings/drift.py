"""Settings of watching for drift."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from monitor.settings.part import Part
from monitor.settings.reference import ReferenceSettings
from monitor.signals.table import SIGNALS


class DriftSettings(Part):
    average_run_length: float = Field(
        10_000.0, ge=10, description="A: observations between false alarms, on average at least, per stream"
    )
    baseline_traces: int = Field(
        2000, ge=0, description="freeze the first baseline from this many traces; 0 waits for an operator"
    )
    standard_errors: float = Field(1.0, ge=0, le=10, description="z: half-width of the roll-up's null interval")
    cohort_standard_errors: float = Field(2.0, ge=0, le=10, description="the same of a single cohort's")
    tolerance: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=dict, description="smallest shift anyone would act on, per signal, on the channel's 0..1"
    )
    fold_seconds: float = Field(1.0, gt=0, le=60, description="pause between two folds")
    recovery_observations: int = Field(
        2000, ge=1, description="an alert has recovered when so many observations did not bring it about again"
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

    @model_validator(mode="after")
    def _known_signals(self) -> DriftSettings:
        for field, names in (("tolerance", self.tolerance), ("detectors", self.detectors)):
            for name in names:
                if name not in SIGNALS:
                    raise ValueError(f"{field} names the signal {name!r}; known are {', '.join(SIGNALS)}")
        return self
