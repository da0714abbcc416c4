"""Real runs of the training program, as the daemon starts them."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.demo.models import build_tiny_base
from monitor.domain.job import Action
from monitor.domain.trace import Message
from monitor.rewards.huggingface import load_ensemble
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256, short_version
from monitor.runs.heads import BACKBONE_FOLDER, FORM_FILE, WEIGHTS_FILE
from monitor.runs.progress import read_progress
from monitor.runs.result import Failure, RewardResult, read_result
from monitor.runs.spec import RunSpec, write_spec

PAIRS, TIES = 400, 5
Recipe = dict[str, float | int | str | bool]
LONG = 300  # words; far beyond the recipe's max_length
HELPFUL = ("open", "press", "choose", "settings", "refund", "invoice", "then", "button")
PADDING = ("great", "question", "many", "aspects", "journey", "insight", "perhaps", "overall")
NEUTRAL = ("the", "your", "account", "with", "today", "card", "and", "for")


@dataclass(frozen=True, slots=True)
class Run:
    spec: RunSpec
    folder: Path
    result: RewardResult
    log: str


def response(generator: random.Random, kind: tuple[str, ...], *, words: int) -> str:
    return " ".join(generator.choice(kind if generator.random() < 0.4 else NEUTRAL) for _ in range(words))


def preference_rows() -> Iterator[dict[str, Any]]:
    """Yield pairs whose winner is helpful and whose loser is padded; length says nothing."""
    generator = random.Random(2)
    for number in range(PAIRS):
        words = LONG if number % 50 == 0 else 20
        chosen = response(generator, HELPFUL, words=words + generator.randrange(10))
        rejected = response(generator, PADDING, words=words + generator.randrange(10))
        yield {
            "preference_id": f"p-{number}",
            "conversation_id": f"c-{number // 2}",
            "messages": [{"role": "user", "content": f"question {number}: how do I get my money back?"}],
            "chosen": chosen,
            "rejected": chosen if number < TIES else rejected,
            "cohort": f"product={'billing' if number % 4 else 'travel'}",
            "timestamp": (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)).isoformat(),
            "agreement": 1.0 if number % 3 else 2 / 3,
            "dimensions": {"warmth": 0.1} if number % 2 else {},  # the padded answer is the warmer one
        }


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> HashedFile:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return HashedFile(str(path), file_sha256(path), len(rows))


def start(spec: RunSpec, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    write_spec(folder / "spec.json", spec)
    command = [sys.executable, "-m", "retrain", "--spec", str(folder / "spec.json")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def succeeded(folder: Path) -> RewardResult:
    result = read_result(folder / "result.json", RewardResult)
    assert isinstance(result, RewardResult), result
    return result


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    """Pairs that can be learnt, traces to rescore, and a champion that knows nothing."""
    folder = tmp_path_factory.mktemp("order")
    rows = list(preference_rows())
    texts = [row[side] for row in rows for side in ("chosen", "rejected")]
    build_tiny_base(folder / "base", texts, seed=0)
    for number in range(2):
        build_tiny_base(folder / "champion" / f"member-{number}", texts, seed=10 + number)
    sha256 = artifact_sha256(folder / "champion")
    traces = [{"index": 3 * i, "messages": row["messages"], "response": row["chosen"]} for i, row in enumerate(rows)]
    for trace, row in zip(traces[::2], rows[::2], strict=True):
        trace["reference_response"] = row["rejected"]
    return RunSpec(
        job_id=1,
        action=Action.REWARD_REFRESH,
        base_model=str(folder / "base"),
        champion=Artifact(short_version(sha256), str(folder / "champion"), sha256),
        preferences=write_jsonl(folder / "preferences.jsonl", rows),
        rescore=write_jsonl(folder / "rescore.jsonl", traces[:50]),
        recipe={"name": "reward_demo", "members": 2, "max_length": 64},
        seed=4,
        output="",
        scored_tokens=32,
    )


@pytest.fixture(scope="module")
def run(order: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    spec = replace(order, output=str(folder / "output"), checkpoints=str(folder / "checkpoints"))
    process = start(spec, folder)
    assert process.returncode == 0, process.stderr
    return Run(spec, folder, succeeded(folder), process.stdout + process.stderr)


def test_a_refresh_learns_what_the_pairs_teach_and_beats_an_ignorant_champion(run: Run) -> None:
    candidate, champion = run.result.candidate_metrics, run.result.champion_metrics

    assert champion is not None
    assert candidate.accuracy_lower > 0.8
    assert champion.accuracy < candidate.accuracy_lower
    assert candidate.pairs == champion.pairs == run.result.held_out_pairs
    assert candidate.length_balanced_accuracy is not None
    assert candidate.length_balanced_accuracy > 0.8
    assert run.result.longer_wins_accuracy == pytest.approx(0.5, abs=0.25)
    assert sum(candidate.pairs_by_cohort.values()) == candidate.pairs
    assert set(candidate.accuracy_by_cohort) == {"product=billing", "product=travel"}


def test_every_pair_that_is_no_tie_is_used_however_long(run: Run) -> None:
    assert run.result.train_pairs + run.result.held_out_pairs == PAIRS - TIES
    assert f"encoded {run.result.train_pairs} training pairs, 0 dropped" in run.log
    assert f"{TIES} ties left out" in run.log


def test_the_candidate_is_an_ensemble_of_different_members_under_its_hash(run: Run) -> None:
    candidate = run.result.candidate
    folder = Path(candidate.path)

    assert sorted(path.name for path in folder.iterdir()) == ["member-0", "member-1"]
    assert artifact_sha256(folder) == candidate.sha256
    assert artifact_sha256(folder / "member-0") != artifact_sha256(folder / "member-1")
    assert sorted(path.name for path in Path(run.spec.output).iterdir()) == ["candidate", "rescored.jsonl"]


def test_rescored_rows_are_the_scores_the_candidate_gives_where_it_serves(run: Run) -> None:
    assert run.result.rescored is not None
    assert run.spec.rescore is not None
    traces = [json.loads(line) for line in Path(run.spec.rescore.path).read_text().splitlines()]
    rows = [json.loads(line) for line in Path(run.result.rescored.path).read_text().splitlines()]
    scorer = load_ensemble([Path(run.result.candidate.path)], device="cpu", max_tokens=32, batch_tokens=4_096, beta=1.0)
    asked = [[Message(**message) for message in trace["messages"]] for trace in traces]
    rewards = scorer.score([(prompt, trace["response"]) for prompt, trace in zip(asked, traces, strict=True)])
    pairs = zip(asked[::2], traces[::2], strict=True)
    references = scorer.score([(prompt, trace["reference_response"]) for prompt, trace in pairs])

    assert [row["index"] for row in rows] == [trace["index"] for trace in traces]
    for row, reward in zip(rows, rewards, strict=True):
        assert reward is not None
        assert (row["mean"], row["disagreement"]) == pytest.approx((reward.mean, reward.disagreement), abs=1e-4)
    for row, reward, reference in zip(rows[::2], rewards[::2], references, strict=True):
        assert reward is not None
        assert reference is not None
        assert row["margins"] == pytest.approx(reward.margins(reference), abs=1e-4)
    assert not any("margins" in row for row in rows[1::2])
    assert file_sha256(Path(run.result.rescored.path)) == run.result.rescored.sha256


def test_progress_ends_with_all_steps_done(run: Run) -> None:
    progress = read_progress(run.folder / "progress.json")

    assert progress is not None
    assert progress.done == progress.total > 0
    assert progress.line == "rescored 50 of 50 baseline traces"


def test_a_member_that_an_attempt_before_has_trained_is_kept(run: Run, tmp_path: Path) -> None:
    assert run.spec.checkpoints is not None
    shutil.rmtree(Path(run.spec.checkpoints) / "member-1")

    process = start(replace(run.spec, output=str(tmp_path / "output"), rescore=None), tmp_path)

    assert "member 1 of 2 was trained by an attempt before" in process.stdout, process.stderr
    assert "member 1 of 2, step" not in process.stdout
    again = succeeded(tmp_path)
    assert again.candidate.sha256 == run.result.candidate.sha256
    assert again.lineage is not None
    assert (again.lineage.seeds["run"], again.lineage.recipe["members"]) == (4, 2)
    assert again.lineage.data == {"preferences": run.spec.preferences.sha256}


def test_low_rank_members_go_on_from_the_champions_and_are_whole_models(order: RunSpec, tmp_path: Path) -> None:
    recipe = {**order.recipe, "lora": True, "warm_start": True, "max_steps": 2, "learning_rate": 1e-6}
    spec = replace(order, recipe=recipe, rescore=None, output=str(tmp_path / "output"))

    process = start(spec, tmp_path)

    assert process.returncode == 0, process.stderr
    result = succeeded(tmp_path)
    assert result.rescored is None
    loaded = load_ensemble([Path(result.candidate.path)], device="cpu", max_tokens=64, batch_tokens=4_096, beta=1.0)
    assert len(loaded.members) == 2
    assert spec.champion is not None
    assert result.candidate.sha256 != spec.champion.sha256
    assert result.champion_metrics is not None
    assert result.candidate_metrics.accuracy == pytest.approx(result.champion_metrics.accuracy, abs=0.05)


def test_heads_learn_on_a_backbone_that_stays_as_it_was(order: RunSpec, tmp_path: Path) -> None:
    recipe: Recipe = {"name": "reward_heads", "members": 4, "max_length": 64, "dimension_pairs": 50, "margin": 0.2}
    spec = replace(order, recipe=recipe, output=str(tmp_path / "output"))

    process = start(spec, tmp_path)

    assert process.returncode == 0, process.stderr
    result = succeeded(tmp_path)
    folder = Path(result.candidate.path)
    assert sorted(path.name for path in folder.iterdir()) == [BACKBONE_FOLDER, FORM_FILE, WEIGHTS_FILE]
    assert artifact_sha256(folder) == result.candidate.sha256
    assert result.candidate_metrics.accuracy_lower > 0.8
    assert result.candidate_metrics.accuracy_by_dimension["warmth"] < 0.2
    head = result.dimension_heads["warmth"]
    assert head.accuracy is not None
    assert head.accuracy > 0.8
    assert head.pairs == result.candidate_metrics.pairs_by_dimension["warmth"]
    assert result.lineage is not None
    assert result.lineage.recipe["kind"] == "heads"
    scorer = load_ensemble([folder], device="cpu", max_tokens=32, batch_tokens=4_096, beta=1.0)
    assert len(scorer.members) == 4
    assert result.rescored is not None
    row = json.loads(Path(result.rescored.path).read_text().splitlines()[0])
    assert order.rescore is not None
    trace = json.loads(Path(order.rescore.path).read_text().splitlines()[0])
    reward = scorer.score([([Message(**message) for message in trace["messages"]], trace["response"])])[0]
    assert reward is not None
    assert row["mean"] == pytest.approx(reward.mean, abs=1e-4)

    shared: Recipe = {"kind": "heads", "members": 2, "max_length": 64, "held_out_ratio": 0.125}
    trained: Recipe = {**shared, "name": "reward_demo", "backbone": "full", "max_steps": 3}
    champion = replace(order, champion=result.candidate, recipe=trained, rescore=None)
    process = start(replace(champion, output=str(tmp_path / "next" / "output")), tmp_path / "next")
    assert process.returncode == 0, process.stderr
    following = succeeded(tmp_path / "next")
    assert following.champion_metrics == result.candidate_metrics
    weights = Path(following.candidate.path) / BACKBONE_FOLDER / "model.safetensors"
    assert file_sha256(weights) != file_sha256(folder / BACKBONE_FOLDER / "model.safetensors")


def test_a_refresh_tells_what_its_margins_are_worth_beside_the_plainest_rules(run: Run) -> None:
    result, calibration = run.result, run.result.calibration

    assert calibration is not None
    assert calibration.pairs == result.held_out_pairs
    assert calibration.temperature > 0
    assert result.tfidf_accuracy is not None
    assert result.tfidf_accuracy > 0.8
    assert result.anchor_agreement is not None
    assert 0 <= result.anchor_agreement <= 1
    assert result.anchor_pairs == 25  # of 50 answers, as too few have a reference response
    assert result.lineage is not None
    assert result.lineage.data["preferences"] == run.spec.preferences.sha256
    assert f"TF-IDF {result.tfidf_accuracy:.3f}" in run.log


def test_a_run_that_cannot_train_ends_with_1_and_says_why(order: RunSpec, tmp_path: Path) -> None:
    rows = [row | {"conversation_id": "one"} for row in preference_rows()]
    file = write_jsonl(tmp_path / "preferences.jsonl", rows)
    spec = replace(order, preferences=file, output=str(tmp_path / "output"))

    process = start(spec, tmp_path)

    assert process.returncode == 1
    result = read_result(tmp_path / "result.json", RewardResult)
    assert isinstance(result, Failure)
    assert "395 pairs in 1 independent groups" in result.error
    assert process.stderr.splitlines()[-1] == f"retrain: {result.error}"
