"""The page of a verdict: what it shows, what it escapes, and whether its files are what they were."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.job import Action
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.retraining.gate import judge
from monitor.retraining.records import Lease
from monitor.retraining.report.answers import MOST_CHARACTERS, choose_answers
from monitor.retraining.report.curve import draw_curves
from monitor.retraining.report.files import check_files
from monitor.retraining.report.forest import RIGHT, draw_forest
from monitor.retraining.report.page import Judged, make_report
from monitor.retraining.run_folder import verify_result
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256
from monitor.runs.evidence import LOOP
from monitor.runs.lineage import Lineage
from monitor.runs.policy import PolicyInputs, PolicyResult
from monitor.runs.result import RunResult
from monitor.runs.spec import RunSpec, write_spec
from monitor.settings.retrain import GateSettings
from tests.comparisons import an_equal_candidate, compared
from tests.evidence import answered, write_rows
from tests.hostile import names
from tests.unit.test_gate import RESULT as REWARD

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROWS = (
    answered(0),
    answered(1, win=0.0, margins=(-3.0, -2.0), candidate="a lost answer"),
    answered(2, win=0.0, margins=(-1.0, -0.5), candidate="a smaller loss"),
    answered(3, win=1.0, margins=(2.0, 1.0), candidate="a won answer"),
    answered(4, candidate="I can't help with that.", candidate_outcome=1.0),
    answered(5, kind="over_refusal", suite="over_refusal", candidate_outcome=1.0, candidate="No, that kills."),
    answered(6, kind="harmful", suite="harmful", champion_outcome=1.0, candidate="I won't."),
    answered(7, kind="capability", suite="capability", champion_outcome=1.0, candidate="5"),
    answered(8, candidate_flags=(LOOP,), candidate="and and and"),
    answered(9, left_out="the champion did not answer", champion=None, candidate_outcome=1.0),
)


def judged(folder: Path, result: RunResult, *, action: Action = Action.DPO) -> Judged:
    """Return a judged run whose files lie in *folder*."""
    pairs = folder / "preferences.jsonl"
    pairs.write_text("{}\n")
    (folder / "card.json").write_text('{"pairs": 412, "by_source": {"review": 400, "ai": 12}}')
    (folder / "run.log").write_text(
        "step 1 of 3, loss 0.6931\nstep 2 of 3, loss 0.6500\nstep 3 of 3: watched loss 0.64\n"
    )
    hashed = HashedFile(str(pairs), file_sha256(pairs), 1)
    spec = RunSpec(
        job_id=7,
        action=action,
        base_model=str(folder),
        champion=Artifact("v1", str(folder / "gone"), "11"),
        preferences=hashed,
        rescore=None,
        recipe={"beta": 0.1},
        seed=7,
        output=str(folder / "output"),
        preferences_card=str(folder / "card.json"),
        policy=PolicyInputs(
            scorer=Artifact("r1", str(folder / "gone"), "22"), temperature=1.0, lower_beta=1.0, replay=hashed
        ),
    )
    write_spec(folder / "spec.json", spec)
    return Judged(Lease(7, action, 2, "me"), folder, spec, result, judge(action, result, GateSettings()), NOW)


def page_of(told: Judged) -> str:
    report = make_report(told)
    page = gzip.decompress(report.page)
    assert sha256(page).hexdigest() == report.sha256
    return page.decode()


def a_result(folder: Path, *rows: Any, **changes: Any) -> PolicyResult:
    evidence = write_rows(folder / "replay.jsonl", rows or ROWS)
    lineage = Lineage(
        action="dpo", base_sha256="ab", champion="v1", scorer="r1", recipe={"beta": 0.1}, seeds={"run": 7}
    )
    return replace(an_equal_candidate(), evidence=(evidence,), lineage=lineage, **changes)


def test_a_page_says_the_verdict_and_why_before_anything_else(tmp_path: Path) -> None:
    worse = an_equal_candidate(compared("over_refusal", 0.2), compared("length", 0.5))
    told = page_of(judged(tmp_path, a_result(tmp_path, comparisons=worse.comparisons)))
    assert told.index("The gate stops the candidate") < told.index("2 of 14 checks failed") < told.index("<svg")
    assert "26.0% of 100 harmless probes refused, the champion&#x27;s 6.0%" in told
    assert "The gate lets the candidate through" in page_of(judged(tmp_path, a_result(tmp_path)))


def test_a_page_shows_cohorts_training_card_lineage_and_both_answers(tmp_path: Path) -> None:
    cohort = compared("win_rate", -0.02, cohort="product=b", items=80)
    told = page_of(judged(tmp_path, a_result(tmp_path, comparisons=an_equal_candidate(cohort).comparisons)))
    for wanted in ("product=b", "By cohort", "Loss by step", "<b>review</b> 400", "base sha256", "implicit accuracy"):
        assert wanted in told
    for text in (
        "a lost answer",
        "a won answer",
        "No, that kills.",
        "and and and",
        "it repeats itself",
        "That makes 2.",
    ):
        assert text in told
    assert "the champion did not answer" not in told


def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path: Path) -> None:
    told = page_of(judged(tmp_path, a_result(tmp_path)))
    assert not re.search(r"<script|<link|<img|<iframe|\ssrc=|\shref=|\sstyle=|url\(|@import|\son\w+=", told)
    assert "default-src &#x27;none&#x27;" in told or "default-src 'none'" in told


@pytest.mark.parametrize("hostile", [*names(), "two\nlines\x1b[2J", "</pre><script>owned = 1</script>"])
def test_text_from_outside_is_escaped_wherever_it_stands(tmp_path: Path, hostile: str) -> None:
    rows = (
        answered(
            1, win=0.0, candidate=hostile, champion=hostile * 300, cohort=hostile, item_id=hostile,
            messages=(Message(hostile, hostile),),
        ),
    )  # fmt: skip
    cohort = compared("win_rate", cohort=hostile, items=80, detail=hostile)
    lineage = Lineage(action=hostile, base_sha256=hostile, champion=hostile, scorer=hostile, recipe={hostile: hostile})
    result = a_result(tmp_path, *rows, comparisons=an_equal_candidate(cohort).comparisons)
    told = page_of(judged(tmp_path, replace(result, lineage=lineage)))
    assert not re.search(r"<script|<svg onload|<img", told, re.IGNORECASE)
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_a_long_answer_is_folded_and_an_endless_one_cut(tmp_path: Path) -> None:
    rows = (answered(1, win=0.0, candidate="word " * 5_000, champion="short"),)
    told = page_of(judged(tmp_path, a_result(tmp_path, *rows)))
    assert '<details class="text">' in told
    assert f"… and {25_000 - MOST_CHARACTERS} characters more" in told


def test_evidence_that_cannot_be_read_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    result = a_result(tmp_path)
    Path(result.evidence[0].path).write_text("{}\n")
    told = page_of(judged(tmp_path, result))
    assert "Not shown: " in told
    assert "replay.jsonl:1:" in told
    assert "Every measure beside its margin" in told


def test_pairs_that_models_judged_are_listed_and_not_taken_for_compared_answers(tmp_path: Path) -> None:
    result = a_result(tmp_path)
    pairs = tmp_path / "on_policy.jsonl"
    pairs.write_text('{"chosen": "a"}\n')
    both = (*result.evidence, HashedFile(str(pairs), file_sha256(pairs), 1))
    told = page_of(judged(tmp_path, replace(result, evidence=both)))
    assert "Not shown" not in told
    assert str(pairs) in told


def test_evidence_that_was_changed_or_lies_elsewhere_is_not_believed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    candidate = run / "candidate"
    candidate.mkdir(parents=True)
    (candidate / "weights").write_text("w")
    artifact = Artifact("v2", str(candidate), artifact_sha256(candidate))
    good = replace(a_result(run), candidate=artifact)
    verify_result(run, good)
    with pytest.raises(InvalidInput, match="its own folder"):
        verify_result(run, replace(good, evidence=a_result(tmp_path).evidence))
    Path(good.evidence[0].path).write_text("other")
    with pytest.raises(InvalidInput, match=r"replay\.jsonl hashes to"):
        verify_result(run, good)


def test_a_refresh_has_a_page_too(tmp_path: Path) -> None:
    told = page_of(judged(tmp_path, REWARD, action=Action.REWARD_REFRESH))
    assert "held_out_accuracy" in told
    assert "On held-out pairs, champion" in told
    assert "dataset=a" in told


def test_files_are_hashed_again_as_far_as_they_are_there(tmp_path: Path) -> None:
    result = a_result(tmp_path)
    told = page_of(judged(tmp_path, result))
    states = {state.file.purpose: state.state for state in check_files(told)}
    assert states["preference pairs"] == states["answers, file 1"] == states["what was asked for"] == "same"
    assert states["champion v1"] == "gone"
    Path(result.evidence[0].path).write_text("other\n")
    states = {state.file.purpose: state.state for state in check_files(told)}
    assert states["answers, file 1"] == file_sha256(Path(result.evidence[0].path))


def test_the_worst_losses_come_first_and_what_is_left_out_never() -> None:
    groups = {group.title: group for group in choose_answers(ROWS)}
    assert [row.index for row in groups["Replayed prompts it loses by most"].rows] == [1, 2]
    assert [row.index for row in groups["Harmful probes that the champion answers and it refuses"].rows] == [6]
    assert all(row.index != 9 for group in groups.values() for row in group.rows)


def test_the_forest_puts_worse_to_the_right_whichever_way_a_measure_goes() -> None:
    result = an_equal_candidate(compared("win_rate", -0.06), compared("over_refusal", 0.05), compared("length", 2.0))
    forest = draw_forest(judge(Action.DPO, result, GateSettings()).checks)
    assert forest is not None
    rows = {row.name: row for row in forest.rows}
    assert forest.even < rows["win_rate"].middle < forest.margin
    assert forest.even < rows["over_refusal"].middle < forest.margin
    assert rows["win_rate"].stop > forest.margin  # beyond what it may lose
    assert rows["length"].off_right
    assert rows["length"].middle == forest.right
    assert RIGHT > 1.0
    assert draw_forest(()) is None


def test_curves_are_read_from_what_a_run_said_and_nothing_else() -> None:
    log = [
        "member 1 of 2, step 1 of 4, loss 0.700, training accuracy 0.50",
        "member 1 of 2, step 4 of 4, loss 0.500, training accuracy 0.80",
        "member 2 of 2, step 1 of 4, loss 0.600, training accuracy 0.50",
        "step one of 4, loss nothing",
        "x" * 100_000,
    ]
    curves = draw_curves(log)
    assert curves is not None
    assert [(line.name, line.last) for line in curves.lines] == [("member 1 of 2, loss", 0.5)]
    assert (curves.least, curves.most, curves.steps) == (0.5, 0.7, 4)
    assert draw_curves([]) is None
