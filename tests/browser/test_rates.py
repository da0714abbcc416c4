"""What labels tell, on the console."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from monitor.domain.text import visible
from monitor.labels.agreement import AgreementLine, AgreementReport, AnnotatorCheck, By
from monitor.labels.estimate import Bounds
from monitor.labels.report import BlockCounts
from monitor.stats.agreement import Agreement, Share
from tests.hostile import LABELS
from tests.reports import NO_NUMBER, a_report, an_estimate, weeks_before
from tests.unit.in_memory_ports import InMemoryMonitor

pytestmark = pytest.mark.browser
HOSTILE = LABELS["overrides of direction"] + LABELS["an element with an event"]
ALL = an_estimate(0.412)
FEW = an_estimate(cohort=HOSTILE, traces=40, **NO_NUMBER)


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


def test_a_win_rate_stands_beside_what_the_labels_alone_would_say_and_too_few_labels_give_none(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    controlled = replace(ALL, signal="win_rate_lc", estimate=0.388)
    past = (*weeks_before(ALL, [0.5, None, 0.45]), *weeks_before(FEW, [None, None]))
    refusals = an_estimate(0.06, signal="refusal_rate", bounds=Bounds(0.03, 0.1), anytime=None, opinion=0.021)
    monitor.told_of_labels = [
        a_report(ALL, controlled, FEW, past=past, blocks=BlockCounts(40, 10, 0, None)),
        a_report(refusals, signal="refusal_rate"),
    ]
    raw, kappa = Agreement(0.85, 0.7, 0.93, 40, 2), Agreement(0.7, 0.5, 0.9, 40, 2)
    line = AgreementLine("preference", By.CRITERIA, HOSTILE, 80, raw, kappa, None)
    first = AnnotatorCheck("", Share(0.52, 0.4, 0.63, 80), None)
    monitor.agreed = AgreementReport((line,), (first,), HOSTILE, line, None)
    page.goto(address)
    rows = page.locator("#rates-rows tr")
    expect(rows).to_have_count(2)
    whole, second = rows.first, rows.last
    expect(whole.locator("[data-part=rate]")).to_have_text("41.2 %")
    expect(whole.locator("[data-part=interval]")).to_have_text("36.2 to 46.2")
    expect(whole.locator("[data-part=controlled]")).to_have_text("38.8 % length-controlled")
    expect(whole.locator("[data-part=classical]")).to_have_text("31.2 to 51.2")
    expect(whole.locator("[data-part=worth]")).to_have_text("as good as 154; 240 more halve the interval")
    expect(second.locator("[data-part=cohort]")).to_have_text(visible(HOSTILE))
    expect(second.locator("[data-part=rate]")).to_have_text("\u2013")
    expect(second.locator("[data-part=reason]")).to_have_text("12 labels; an estimate takes at least 30")
    expect(second.locator("svg")).to_have_count(2)
    expect(second.locator("svg:visible")).to_have_count(0)
    expect(page.locator("#rates-notes")).to_contain_text("40 of the last seven days counted and 10 dropped (20 %)")
    expect(page.locator("#rates-notes")).to_contain_text("81 counted, 12 wait for the rest of their blocks")
    expect(page.locator("#rates-notes")).to_contain_text("Not counted: 5 not drawn by the review queue.")
    expect(page.locator("#rates-agreement")).to_have_text(
        "2 annotators agree on 85.0 % of 40 items judged twice"
        f" by criteria {visible(HOSTILE)}: Cohen\u2019s kappa 0.70."
        " What stood first was chosen in 52.0 % of 80 choices."
    )
    page.locator("#rates-signal").select_option("refusal_rate")
    expect(rows).to_have_count(1)
    expect(rows.locator("[data-part=rate]")).to_have_text("6.0 %")
    expect(rows.locator("[data-part=controlled]")).to_have_text("2.1 % by the model alone")
    page.locator("#rates-window").select_option("day")
    expect(rows).to_have_count(0)


def test_where_there_is_no_rate_the_console_says_what_it_takes(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("#rates-empty")).to_contain_text("It takes traces with a reference response")
    expect(page.locator("#rates-table")).to_be_hidden()
