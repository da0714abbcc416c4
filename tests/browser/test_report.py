"""The drift report in a real browser: the alarms' verdict stands at its top, and no label from outside may run."""

from __future__ import annotations

import re
import warnings
from itertools import cycle
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from monitor.drift.report import observation_frame
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from tests.commands import Run
from tests.hostile import names
from tests.traces import drifting, trace
from tests.watched import watch

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

NAMES = names()
TRACES = [
    trace(number, policy_model=name, cohort={"dataset": name}, output_tokens=plain.output_tokens)
    for number, (plain, name) in enumerate(zip(drifting(600, change=300), cycle(NAMES), strict=False))
]


def test_a_model_named_in_html_runs_nothing_in_the_report(
    run: Run, postgres_url: str, page: Page, tmp_path: Path
) -> None:
    watch(postgres_url, TRACES, baseline=300)
    report = tmp_path / "report.html"
    assert run("drift", "report", "--out", report, POSTGRES__URL=postgres_url).code == 0
    page.goto(report.as_uri())
    expect(page.get_by_text("policy_model").first).to_be_visible()
    details = page.get_by_role("button", name="Detail panel visibility toggle")
    for place in range(details.count()):  # a column's labels are drawn when its details are opened
        details.nth(place).click()
    expect(page.get_by_text("svg onload").first).to_be_visible()
    assert page.evaluate("window.owned") is None
    assert page.title() != "owned"
    assert page.locator("svg[onload], img[onerror]").count() == 0


def test_a_true_alarm_is_told_where_evidently_would_say_that_the_data_set_has_not_drifted(
    run: Run, postgres_url: str, page: Page, tmp_path: Path
) -> None:
    watch(postgres_url, drifting(600, change=300), baseline=300)
    report = tmp_path / "report.html"
    assert run("drift", "report", "--out", report, POSTGRES__URL=postgres_url).code == 0
    page.goto(report.as_uri())
    expect(page.get_by_text("Distance").first).to_be_visible()
    verdict = page.locator("#verdict")
    expect(verdict.get_by_role("heading", name="What the alarms say")).to_be_visible()
    expect(
        verdict.get_by_text(re.compile(r"response_length in \*: since .* UTC: 1\d\d -> .* tokens \(\+"))
    ).to_be_visible()
    said = page.locator("body").inner_text().lower()
    assert "data drift" not in said
    assert "detected" not in said
    assert "Dataset Drift is NOT detected" in headline_of_evidently(postgres_url), "what the page said before"


def headline_of_evidently(postgres_url: str) -> str:
    """Return what Evidently's preset says of the same two windows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        engine = create_engine_for(postgres_url)
        store = PostgresFoldStore(engine)
        frames = [observation_frame(store.window(*window)) for window in ((300, 600), (0, 300))]
        engine.dispose()
        numbers = [name for name in frames[0].columns if name not in {"cohort", "policy_model"}]
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=["cohort", "policy_model"])
        sides = [Dataset.from_pandas(frame.reset_index(drop=True), data_definition=definition) for frame in frames]
        return str([widget.params for widget in Report([DataDriftPreset()]).run(*sides)._widgets])
