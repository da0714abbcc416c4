"""The annotator's page in a real browser, against the real server and a real queue."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import Engine

from monitor.app.ports import ports_of
from monitor.domain.label import PREFERENCE, REFUSAL
from monitor.domain.review import Answer, AnswerGiven, Selection
from monitor.domain.trace import Message
from monitor.postgres.engine import create_engine_for
from monitor.settings.load import load_settings
from monitor.web.app import Ports
from tests.hostile import LABELS, unseen
from tests.integration.reviewing import POLICY, rows_of, store_items

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

TOKENS = {"annotator": "label-me", "operator": "run-me"}
VERDICT = ("item_id", "answer", "value", "policy_first", "note")
TWO_WANTED = Selection(PREFERENCE, 0.5, 0.1, selected=True, wanted=2)
JUDGED_ALONE = Selection(REFUSAL, 0.5, 0.1, selected=True)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url, pool_size=4)
    yield engine
    engine.dispose()


@pytest.fixture
def ports(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Ports:
    monkeypatch.setenv("MONITOR_POSTGRES__URL", "postgresql://unused")
    return ports_of(engine, load_settings())


@pytest.fixture
def tokens() -> dict[str, str]:
    return {token: role for role, token in TOKENS.items()}


def log_in(page: Page, address: str, *, role: str = "annotator") -> None:
    page.goto(address)
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()
    page.keyboard.type(TOKENS[role])
    page.keyboard.press("Enter")


def policy_stands_first(page: Page) -> bool:
    return (page.locator(".answer").first.text_content() or "").startswith(f"First{POLICY}")


def expect_item(page: Page, number: int) -> None:
    expect(page.locator("#messages li").last).to_have_text(f"userQuestion {number}?")
    expect(page.locator("#question")).to_be_focused()


def test_the_console_sends_an_annotator_to_the_queue_and_asks_for_nothing_else(
    page: Page, address: str, engine: Engine
) -> None:
    store_items(engine, [0])
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).path))
    log_in(page, f"{address}/")
    expect(page).to_have_url(f"{address}/review")
    expect(page.locator("#who")).to_contain_text("(annotator)")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    data = {path for path in asked if not path.startswith("/static/")}
    assert data == {"/", "/review", "/api/v1/whoami", "/api/v1/review/next"}


def test_answers_by_keyboard_alone_are_stored_as_the_policy_s_own_wherever_it_stood(
    page: Page, address: str, engine: Engine
) -> None:
    store_items(engine, range(8))
    store_items(engine, [8], JUDGED_ALONE)
    log_in(page, f"{address}/review")
    expect(page.locator("#question")).to_be_focused()
    expect(page.locator("#criteria-text")).to_contain_text("Judge in this order")
    wanted: list[tuple[int, str, float | None, bool | None]] = []
    for done, key in enumerate("1212 0"):
        expect_item(page, done)
        first = policy_stands_first(page)
        said = {"1": float(first), "2": float(not first), "0": 0.5, " ": None}[key]
        wanted.append((done + 1, "skip" if key == " " else "label", said, first))
        page.keyboard.press("Space" if key == " " else key)
        expect(page.locator("#said")).to_contain_text(f"{done + 1} item")
    assert {first for *_, first in wanted} == {True, False}
    expect(page.locator("#answered")).to_have_text("6 answered today")
    expect_item(page, 6)
    shown = page.locator("#answers").text_content()
    page.keyboard.press("1")
    page.keyboard.press("u")  # at once, with its answer on its way
    expect(page.locator("#back")).to_be_visible()
    expect(page.locator("#answers")).to_have_text(shown or "")
    page.keyboard.press("f")
    page.keyboard.type("1 0 2 u? cut off")
    page.keyboard.press("Enter")
    expect_item(page, 7)
    page.keyboard.press("2")
    expect_item(page, 8)
    expect(page.locator("#question")).to_have_text("Does the answer refuse?")
    page.keyboard.press("3")
    expect(page.locator("#empty")).to_contain_text("Nothing to judge now")
    expect(page.locator("#answered")).to_have_text("9 answered today")
    assert rows_of(engine, "review_verdict", "value", "dimensions")[-1] == (1.0, {"full": 0})

    stands = [row for row in rows_of(engine, "review_verdict", *VERDICT, "undone_at") if row[-1] is None]
    assert [row[:4] for row in stands[:6]] == wanted
    assert [(*row[:3], row[4]) for row in stands[6:]] == [
        (7, "flag", None, "1 0 2 u? cut off"),
        (8, "label", float(stands[7][3] is False), ""),
        (9, "label", 1.0, ""),
    ]
    assert len(rows_of(engine, "review_verdict", "item_id")) == 10  # with the one that was taken back
    labels = rows_of(engine, "label", "value", "kind", "withdrawn_at")
    assert sorted(value for value, _, withdrawn in labels if withdrawn is None) == sorted(
        value for _, answer, value, *_ in stands if answer == "label"
    )
    assert all(0 < seconds < 60 for (seconds,) in rows_of(engine, "review_verdict", "seconds"))


def test_what_was_answered_without_a_network_is_sent_once_and_in_order(
    page: Page, address: str, engine: Engine
) -> None:
    def lose_the_reply(route: Route) -> None:
        route.fetch()
        route.abort()

    page.on("dialog", lambda dialog: dialog.accept())  # leaving with answers on their way is asked about
    store_items(engine, range(6))
    log_in(page, f"{address}/review")
    expect(page.locator("#question")).to_be_focused()
    page.route("**/review/answers", lose_the_reply)
    page.keyboard.press("1")
    expect(page.locator("#sending")).to_have_text("1 answer kept here, to be sent again")
    page.unroute_all()
    expect(page.locator("#sending")).to_be_hidden()
    page.route("**/review/*", lambda route: route.abort())
    for key in "122":
        page.keyboard.press(key)
    page.keyboard.press("u")  # never sent, so it can be taken back
    expect(page.locator("#sending")).to_contain_text("2 answers kept here")
    expect(page.locator("#lost")).to_contain_text("The monitor does not answer")
    assert rows_of(engine, "review_verdict", "item_id") == [(1,)]
    page.reload()
    expect(page.locator("#sending")).to_contain_text("2 answers kept here")
    page.unroute_all()
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator("#answered")).to_have_text("3 answered today")
    expect(page.locator("#lost")).to_be_hidden()
    expect_item(page, 3)
    assert [item for (item,) in rows_of(engine, "review_verdict", "item_id")] == [1, 2, 3]


def test_an_answer_that_came_too_late_is_told_kindly_and_the_next_item_stands_there(
    page: Page, address: str, engine: Engine, ports: Ports
) -> None:
    store_items(engine, range(2), TWO_WANTED)
    log_in(page, address, role="operator")
    page.get_by_role("link", name="Review", exact=True).click()
    expect(page.locator("#question")).to_be_focused()
    (item,) = ports.reviews.next_items("somebody-else", limit=1).items
    ports.reviews.answer("somebody-else", AnswerGiven(item.item_id, Answer.FLAG))
    page.keyboard.press("1")
    expect(page.locator("#told")).to_contain_text("came too late to count, and that is no fault of yours: ")
    expect_item(page, 1)
    page.keyboard.press("0")
    expect(page.locator("#answered")).to_have_text("1 answered today")
    expect(page.locator("#told")).to_be_hidden()
    assert rows_of(engine, "label", "value") == [(0.5,)]


def test_hostile_and_endless_text_is_shown_as_it_was_written_and_does_nothing(
    page: Page, address: str, engine: Engine
) -> None:
    hostile = "\n".join(LABELS.values())
    store_items(
        engine,
        [0],
        messages=(Message(hostile, hostile),),
        response=hostile,
        reference_response="y" * 1_000_000 + hostile,
    )
    page.set_viewport_size({"width": 390, "height": 800})
    log_in(page, f"{address}/review")
    expect(page.locator(".answer")).to_have_count(2)
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_role("button", name="Show more")).to_contain_text("characters are left")
    for text in page.locator("body, body *").all_text_contents():
        assert set(unseen(text)) <= {ascii(blank) for blank in "\t\u3000\u00a0"}
    assert r"user\u202eliame\u202c \u2066x\u2069\u200fy" in (page.locator("#messages").text_content() or "")
    assert page.evaluate("window.owned") is None
    expect(page).to_have_title("Review · rlhf-monitor")
    assert page.locator("main img, main svg, main script, main b b, main a").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first, second = (page.locator(".answer").nth(place).bounding_box() for place in (0, 1))
    assert first is not None
    assert second is not None
    assert second["y"] >= first["y"] + first["height"]  # one under the other where there is no room for both
