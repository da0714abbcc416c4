"""The page on promotions shows how to check a signature, and a card shows nothing of strangers as markup."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from monitor.domain.job import Check
from monitor.domain.telling import sign, verify
from monitor.domain.text import for_markdown
from monitor.retraining.card import adopted_card, model_card
from monitor.runs.artifact import Artifact
from tests.integration.released import METRICS, VERDICT, policy_result, reward_result
from tests.real_kafka import ROOT

ARTIFACT = Artifact("v2", "/models/v2", "a" * 64)


@pytest.fixture(scope="module")
def is_genuine() -> Callable[[str, bytes, str], bool]:
    """The function that docs/promotion.md shows, as somebody would copy it."""
    page = (ROOT / "docs" / "promotion.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(shown, names)  # noqa: S102 - it is ours
    found: Callable[[str, bytes, str], bool] = names["is_genuine"]
    return found


def test_the_page_s_function_takes_what_is_signed_and_nothing_else(
    is_genuine: Callable[[str, bytes, str], bool],
) -> None:
    body, now = b'{"id": 1}', int(time.time())
    signature = sign("secret", body, at=now)
    verify("secret", body, signature, now=now)
    assert is_genuine("secret", body, signature)
    assert not is_genuine("another", body, signature)
    assert not is_genuine("secret", body + b" ", signature)
    assert not is_genuine("secret", body, signature.replace(f"t={now}", f"t={now + 1}"))
    assert not is_genuine("secret", body, sign("secret", body, at=now - 600))
    assert not is_genuine("secret", body, "")


def test_a_card_tells_the_verdict_with_its_margins_and_where_the_model_comes_from() -> None:
    card = model_card(policy_result(ARTIFACT, "v1"), VERDICT, job_id=7, reason="refusals rose")
    assert card.startswith("# Policy model v2\n\nMade by job 7, which was started because of: refusals rose.")
    assert "| win_rate | yes | 0.61 | 0.39 | 0.03 |" in card
    assert r"- implicit reward accuracy on held-out pairs: 0.660 \[0.57, 0.74\]" in card
    for told in ("- champion it was judged against: v1", "- preferences: " + "d" * 64, "- beta: 0.1", "- trl: 0.24"):
        assert told in card
    reward = model_card(reward_result(ARTIFACT), None, job_id=7, reason="by hand")
    assert rf"- held-out accuracy: {METRICS.accuracy:.3f} \[0.72, 0.88\]" in reward
    assert "The run told none." in reward
    assert "Its traces name it chat-1." in adopted_card(ARTIFACT, "policy", "chat-1")


def test_a_card_shows_what_strangers_wrote_as_text() -> None:
    hostile = Check("a|b", False, 0.1, None, 0.0, "<img src=x> [here](http://e.org) `x`\n| new | row |")
    card = model_card(
        policy_result(ARTIFACT, None),
        replace(VERDICT, passed=False, checks=(hostile,)),
        job_id=7,
        reason="*loud*\x1b[2J",
        history=("promoted by eve: <script>",),
    )
    assert "## Verdict: failed" in card
    assert for_markdown("<img src=x>") == r"\<img src=x\>"
    unescaped = re.sub(r"\\.", "", card)
    assert not set("<>[]`") & set(unescaped)
    (row,) = [line for line in card.splitlines() if "here" in line]
    assert len(re.sub(r"\\.", "", row).split("|")) == 8, "six cells, whatever is in them"
    assert "\x1b" not in card
