"""Evidently's tables of two windows, without its own verdicts: its share of moved columns decides nothing here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.errors import InvalidInput
from monitor.extra import needed

with needed("report", "a drift report"):
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

TITLE = "How the values lay, baseline against current"
_VERDICT_COLUMN = "data_drift"
_RENAMED = {
    "reference_distribution": "Baseline",
    "current_distribution": "Current",
    "stattest_name": "Measure of distance",
    "drift_score": "Distance",
}


class Distributions(DataDriftPreset):  # type: ignore[misc]  # evidently has no types
    """The preset's table of distributions alone.

    Its headline ("Dataset Drift is NOT detected") counts the columns that moved, and its column says
    "Not Detected" by a threshold of its own. Both may contradict an alarm that is true.
    """

    def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
        tables = [widget for widget in super().render(context, child_widgets) if widget.type == "big_table"]
        for table in tables:
            table.title = TITLE
            shown = [column for column in table.params["columns"] if column["field"] != _VERDICT_COLUMN]
            table.params["columns"] = [
                column | {"title": _RENAMED.get(column["field"], column["title"])} for column in shown
            ]
            for row in table.params["data"]:
                row.pop(_VERDICT_COLUMN, None)
                for part in row["details"]["parts"]:
                    part["title"] = part["title"].replace("DATA DRIFT", "CURRENT VALUES")
        if not tables:
            raise InvalidInput("evidently renders no table: `pip install 'rlhf-monitor[report]'` brings one that does")
        return tables


def evidently_page(
    baseline: pd.DataFrame, current: pd.DataFrame, *, numbers: Sequence[str], labels: Sequence[str]
) -> str:
    """Return a self-contained HTML page of the columns *numbers* and *labels*; what they hold is escaped already."""
    definition = DataDefinition(numerical_columns=list(numbers), categorical_columns=list(labels))
    sides = [
        Dataset.from_pandas(frame[[*labels, *numbers]].reset_index(drop=True), data_definition=definition)
        for frame in (current, baseline)
    ]
    page: str = Report([Distributions()]).run(*sides).get_html_str(as_iframe=False)
    return page
