"""The drift report: what the alarms say, and a picture of the baseline against the current traces by Evidently."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from monitor.domain.observation import ObservationBatch
from monitor.domain.text import for_html
from monitor.drift.sentence import ToldAlarm
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


def write_report(
    path: Path, *, baseline: pd.DataFrame, current: pd.DataFrame, told: Sequence[ToldAlarm], about: str
) -> None:
    """Write a self-contained HTML page: what the alarms *told* say, then Evidently's tables.

    *about* says which windows are compared. Signals that one side lacks are left out of the tables.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # evidently's own, about its dependencies
        from monitor.drift.report_evidently import evidently_page  # noqa: PLC0415 - takes seconds to import

        labels = [COHORT, POLICY_MODEL]
        signals = [name for name in current.columns if name in baseline.columns and name not in labels]
        shared = [name for name in signals if current[name].notna().any() and baseline[name].notna().any()]
        page = evidently_page(baseline, current, numbers=shared, labels=labels)
    before, body, after = page.partition("<body>")  # no label comes before it
    if not body:
        raise InvalidInput("evidently writes no page: `pip install 'rlhf-monitor[report]'` brings one that does")
    try:
        path.write_text(f"{before}{body}\n{head_of(told, about)}{after}", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out {path}: {error.strerror}; name a file that can be written") from None


def head_of(told: Sequence[ToldAlarm], about: str) -> str:
    """Return the top of the page: the program's own verdict, an alarm a line, escaped."""
    items = "".join(f"<li>{_item(alarm)}</li>\n" for alarm in told)
    found = f"<ol>\n{items}</ol>" if told else "<p><b>No alarm is live.</b></p>"
    return f"""<section id="verdict" style="font-family:sans-serif;max-width:60em;margin:2em auto;line-height:1.5">
<h1>Drift report</h1>
<p>{for_html(about)}</p>
<h2>What the alarms say</h2>
{found}
<h2>The values</h2>
<p>The tables below are Evidently's: a picture beside the alarms. They decide nothing. An alarm may be true where
hardly any column looks otherwise: it reads what was asked, cohort by cohort, and since when.</p>
</section>
"""


def _item(told: ToldAlarm) -> str:
    alarm = told.stored.alarm
    where = f"alarm {told.stored.alarm_id} ({alarm.severity}, {told.stored.state})"
    verdicts = [
        f"{by}: {verdict.replace('_', ' ')}. {note}".strip()
        for by, verdict, note in (
            ("The released policy, asked again", told.stored.reference_verdict, told.stored.reference_note),
            ("The anchor set, scored again", told.stored.scorer_verdict, told.stored.scorer_note),
        )
        if verdict is not None
    ]
    lines = [f"{alarm.stream.signal} in {alarm.stream.cohort}: {told.sentence}", *verdicts]
    return "<br>".join([f"<b>{for_html(where)}</b>", *map(for_html, lines)])
