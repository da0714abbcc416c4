"""The report of a verdict in a real browser: as a file and from the console; hostile text runs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from monitor.domain.job import JobState, Verdict
from tests.comparisons import an_equal_candidate, compared
from tests.evidence import answered
from tests.hostile import names
from tests.unit.in_memory_ports import InMemoryMonitor, a_job
from tests.unit.test_verdict_report import ROWS, a_result, judged, page_of

pytestmark = pytest.mark.browser
WORSE = an_equal_candidate(compared("over_refusal", 0.2), compared("win_rate", cohort=names()[1], items=80))
OPERATORS = {"run-me": "operator"}


@pytest.fixture
def told(tmp_path: Path) -> str:
    """The page of a verdict on answers that would take the page over if they could."""
    hostile = [answered(30 + place, win=0.0, candidate=name, champion=name) for place, name in enumerate(names()[:4])]
    long = answered(50, win=1.0, candidate="A long answer.\n" * 60)
    return page_of(judged(tmp_path, a_result(tmp_path, *hostile, *ROWS, long, comparisons=WORSE.comparisons)))


@pytest.fixture
def monitor(told: str) -> InMemoryMonitor:
    job = a_job(1, JobState.FAILED_GATE, verdict=Verdict(False, (), "ab"))
    return InMemoryMonitor(kept={1: job}, pages={1: told.encode()})


def test_the_page_is_read_as_a_file_of_its_own(page: Page, told: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(told)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("The gate stops the candidate")
    expect(page.locator(".reasons")).to_contain_text("26.0% of 100 harmless probes refused")
    expect(page.get_by_role("img", name="Intervals of all measures beside their margins")).to_be_visible()
    shaded = page.locator("svg.forest .within").first.evaluate("shape => getComputedStyle(shape).fill")
    assert shaded == "rgb(234, 243, 238)"  # the page's own style holds, which its policy names by hash
    folded = page.locator("details.text").first
    expect(folded.locator("pre")).to_be_hidden()
    folded.locator("summary").click()
    expect(folded.locator("pre")).to_contain_text("A long answer.\nA long answer.")
    assert page.evaluate("window.owned") is None
    assert page.title() == "Job 7: stopped by the gate"
    assert page.locator("script, img, svg[onload], [onerror]").count() == 0
    assert asked == [file.as_uri()]
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_console_links_to_it(page: Page, address: str) -> None:
    page.goto(address)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Report of the verdict").click()
    report = opened.value
    expect(report.get_by_role("heading", level=1)).to_have_text("The gate stops the candidate")
    assert report.locator("header h1").evaluate("it => getComputedStyle(it).backgroundColor") == "rgb(253, 236, 234)"


@pytest.mark.parametrize("tokens", [OPERATORS])
def test_where_tokens_are_asked_for_it_is_fetched_with_the_token_and_saved(page: Page, address: str, told: str) -> None:
    page.goto(address)
    page.get_by_role("textbox", name="Token").fill("run-me")
    page.keyboard.press("Enter")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Report of the verdict").click()
    assert saved.value.suggested_filename == "job-1-report.html"
    assert saved.value.path().read_text() == told
