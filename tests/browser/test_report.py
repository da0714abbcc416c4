"""The drift report in a real browser: its labels come from outside, and none of them may run."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

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
