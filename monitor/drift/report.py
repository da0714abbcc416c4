"""An Evidently report of the baseline against the current traces: a picture beside the alarm, not its ground."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from monitor.domain.observation import ObservationBatch
from monitor.domain.text import for_html
from monitor.errors import InvalidInput
from monitor.extra import needed
from monitor.signals.set import DEFAULT, SignalSet

with needed("report", "a drift report"):
    import pandas as pd

MAX_ROWS = 50_000  # of either side; the latest are kept
COHORT, POLICY_MODEL = "cohort", "policy_model"


def observation_frame(batches: Iterable[ObservationBatch], signals: SignalSet = DEFAULT) -> pd.DataFrame:
    """Return a row per trace, ordered by place: cohort, policy model, and a column per signal.

    What labels tell of traces is left out: its values stand for a rate in their mean alone.
    The two labels are escaped for HTML: Evidently writes them into a script of its page as they are.
    """
    shown = signals.at_once
    parts = [
        pd.DataFrame(
            {
                "place": batch.places,
                COHORT: [for_html(name) for name in batch.cohort_names()],
                POLICY_MODEL: for_html(batch.series.policy_model),
                "signal": batch.series.signal,
                "value": batch.values,
            }
        )
        for batch in batches
        if batch.series.signal in shown
    ]
    if not parts:
        raise InvalidInput(
            "one of the two windows holds no observation, so there is nothing to compare: wait for more traces"
        )
    long = pd.concat(parts, ignore_index=True)
    wide = long.pivot_table(index=["place", COHORT, POLICY_MODEL], columns="signal", values="value", aggfunc="last")
    return wide.reset_index([COHORT, POLICY_MODEL]).sort_index().tail(MAX_ROWS)


def write_report(path: Path, *, baseline: pd.DataFrame, current: pd.DataFrame) -> None:
    """Write a self-contained HTML page; signals that one side lacks are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # evidently's own, about its dependencies
        with needed("report", "a drift report"):
            from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415 - takes seconds to import
            from evidently.presets import DataDriftPreset  # noqa: PLC0415

        labels = [COHORT, POLICY_MODEL]
        signals = [name for name in current.columns if name in baseline.columns and name not in labels]
        shared = [name for name in signals if current[name].notna().any() and baseline[name].notna().any()]
        definition = DataDefinition(numerical_columns=shared, categorical_columns=labels)
        sides = [
            Dataset.from_pandas(frame[[*labels, *shared]].reset_index(drop=True), data_definition=definition)
            for frame in (current, baseline)
        ]
        try:
            Report([DataDriftPreset()]).run(*sides).save_html(str(path))
        except OSError as error:
            raise InvalidInput(f"--out {path}: {error.strerror}; name a file that can be written") from None
