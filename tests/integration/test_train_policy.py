"""Real trainings of a tiny policy by DPO and KTO, as the daemon starts them."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from monitor.domain.job import Action
from monitor.errors import InvalidInput
from monitor.runs.policy import PolicyResult
from monitor.runs.progress import PROGRESS_FILE, read_progress
from monitor.runs.spec import RunSpec
from retrain.preferences import load_pairs
from retrain.progress import Progress
from retrain.split import split_pairs
from tests.policies import (
    REPLAYED,
    TAUGHT,
    artifact_of,
    carry_out,
    command,
    policy_order,
    preference_rows,
    write_rows,
)

DPO: dict[str, float | int | str | bool] = {"name": "dpo_demo", "save_steps": 10}


@dataclass(frozen=True, slots=True)
class Run:
    folder: Path
    result: PolicyResult
    log: str


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    """Pairs and thumbs that prefer short answers, and a policy that gives short and long ones."""
    return replace(policy_order(tmp_path_factory.mktemp("order")), recipe=DPO)


@pytest.fixture(scope="module")
def run(order: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("run")
    result, log = carry_out(replace(order, output=str(folder / "output")), folder)
    return Run(folder, result, log)


def train_here(spec: RunSpec, folder: Path, **recipe: Any) -> Run:
    """Run in this process, which has the libraries loaded by now."""
    from retrain import train_dpo, train_kto

    said = io.StringIO()
    spec = replace(spec, recipe={**spec.recipe, **recipe}, output=str(folder / "output"))
    (folder / "output").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL's and Transformers' own, of what they will rename
        module = train_kto if spec.action is Action.KTO else train_dpo
        result = module.plan(spec)(Progress(folder / PROGRESS_FILE, said))
    return Run(folder, result, said.getvalue())


def test_dpo_learns_what_people_prefer(run: Run, order: RunSpec) -> None:
    found = run.result.training
    assert found.accuracy_before is not None
    assert found.implicit_accuracy is not None
    assert found.implicit_lower is not None
    assert found.accuracy_before < 0.7 < found.implicit_lower <= found.implicit_accuracy
    assert found.length_change is not None
    assert found.length_change < -0.1
    assert found.kl is not None
    assert 0 < found.kl < 0.5
    assert sum(found.pairs_by_cohort.values()) == found.held_out
    assert set(found.implicit_by_cohort) == {"product=billing", "product=travel"}
    assert run.result.candidate.sha256 != artifact_of(Path(order.base_model)).sha256
    assert {one.name for one in run.result.comparisons} >= {"win_rate", "length"}
    assert not (run.folder / "output" / "work").exists()
    names = {path.name for path in Path(run.result.candidate.path).iterdir()}
    assert names == {path.name for path in Path(order.base_model).iterdir()}


def test_a_run_tells_its_progress_and_what_it_was_made_of(run: Run, order: RunSpec) -> None:
    progress = read_progress(run.folder / PROGRESS_FILE)
    assert progress is not None
    assert (progress.done, progress.total) == (run.result.training.steps, run.result.training.steps)
    assert progress.rate is not None
    assert progress.phase == "evaluating"
    assert f"step {progress.total} of {progress.total}, loss" in run.log
    lineage = run.result.lineage
    assert lineage is not None
    assert lineage.base_sha256 == artifact_of(Path(order.base_model)).sha256
    assert (lineage.recipe["beta"], lineage.seeds, lineage.devices) == (0.1, {"run": 3, "split": 0}, "1 x CPU")
    assert lineage.data["preferences"] == order.preferences.sha256
    assert lineage.libraries["trl"]


def test_pairs_of_the_policy_s_own_answers_are_marked_capped_and_kept_as_evidence(run: Run) -> None:
    found = run.result.training
    assert found.by_models > 0
    assert found.examples + found.held_out == 240 + found.by_models
    (file,) = [file for file in run.result.evidence if file.path.endswith("on_policy.jsonl")]
    rows = [json.loads(line) for line in Path(file.path).read_text().splitlines()]
    assert len(rows) == file.rows == found.by_models
    assert all(row["margin"] >= row["margin_lower"] > 0 and row["by"] == "ai" for row in rows)
    assert "a-0" not in {row["trace_id"] for row in rows}
    assert "on-policy: 25 prompts, 1 like held-out or replayed ones, 0 not readable" in run.log


def test_prompts_that_it_learnt_from_are_none_of_those_it_is_judged_by(run: Run, order: RunSpec) -> None:
    split = split_pairs(load_pairs(order.preferences).pairs, held_out_ratio=0.15, seed=0)
    taught = {pair.preference_id for pair in split.train} & {f"p-{number}" for number in range(TAUGHT)}
    (file,) = [file for file in run.result.evidence if file.path.endswith("replay.jsonl")]
    replayed = [json.loads(line)["item_id"] for line in Path(file.path).read_text().splitlines()]
    held_out = {f"p-{number}" for number in range(TAUGHT)} - taught
    assert replayed[: len(held_out)] == sorted(held_out, key=lambda name: int(name[2:]))
    assert len(replayed) == REPLAYED
    assert taught
    assert f"{len(taught)} of {TAUGHT + REPLAYED} prompts are like those it learnt from: left out" in run.log


def test_a_run_that_was_killed_goes_on_from_its_last_whole_checkpoint_to_the_same_bytes(
    run: Run, order: RunSpec, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    spec = replace(order, checkpoints=str(checkpoints), output=str(tmp_path / "first" / "output"))
    first = subprocess.Popen(
        command(spec, tmp_path / "first"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    deadline = time.monotonic() + 120
    while not (found := [path for path in checkpoints.glob("trainer/*/complete") if "-20" in str(path)]):
        assert time.monotonic() < deadline
        assert first.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    half = checkpoints / "trainer" / "checkpoint-1000"  # killed while it saved
    half.mkdir()
    shutil.copy(found[0].with_name("model.safetensors"), half)

    result, log = carry_out(replace(spec, output=str(tmp_path / "second" / "output")), tmp_path / "second")

    resumed = result.training.resumed_from
    assert resumed is not None
    assert resumed >= 20
    assert f"goes on from step {resumed}, where an attempt before was ended" in log
    assert "the data is there" in log
    assert result.training.steps == run.result.training.steps
    assert result.training.loss == run.result.training.loss
    assert result.candidate.sha256 == run.result.candidate.sha256

    again = train_here(spec, tmp_path / "third")
    assert "the policy is trained already" in again.log
    assert again.result.candidate.sha256 == run.result.candidate.sha256


def test_kto_learns_from_thumbs_and_is_not_judged_by_their_prompts(order: RunSpec, tmp_path: Path) -> None:
    kto = replace(order, action=Action.KTO, recipe={"name": "kto_demo"})
    run = train_here(kto, tmp_path)
    assert "prompts are like those it learnt from: left out" in run.log
    found = run.result.training
    assert (found.method, run.result.action) == ("kto", "kto")
    assert found.implicit_accuracy is not None
    assert found.accuracy_before is not None
    assert found.implicit_accuracy > max(found.accuracy_before, 0.9)
    assert found.margin is not None
    assert found.margin > 0
    assert "one up weighs 1.000, one down 0.5" in run.log


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [
        pytest.param({"lora": True, "learning_rate": 1e-2, "patience": 1, "watch": "accuracy"}, 15, id="low rank"),
        pytest.param({"loss": "ipo", "precompute_reference": False, "max_steps": 3}, 3, id="ipo"),
        pytest.param({"loss": "sigmoid_norm", "ld_alpha": 0.5, "beta": 2.0, "max_steps": 3}, 3, id="by token"),
        pytest.param({"loss": "robust", "label_smoothing": 0.2, "max_steps": 3}, 3, id="robust"),
    ],
)
def test_every_loss_trains_and_patience_ends(
    recipe: dict[str, Any], steps: int, order: RunSpec, tmp_path: Path
) -> None:
    few = write_rows(tmp_path / "few.jsonl", list(preference_rows(80)))
    spec = replace(order, preferences=few, recipe={"name": "dpo_demo", "length_prompts": 0, "on_policy_ratio": 0.0})
    run = train_here(spec, tmp_path, save_steps=3, **recipe)
    found = run.result.training
    assert found.implicit_accuracy is not None
    assert found.implicit_accuracy > 0.5
    assert found.kl is not None
    assert found.kl > 0
    assert found.stopped_early == ("patience" in recipe)
    assert found.steps <= steps


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "low rank"])
def test_a_policy_that_is_kept_in_bfloat16_is_trained_and_stays_so(lora: bool, order: RunSpec, tmp_path: Path) -> None:
    base = shutil.copytree(order.base_model, tmp_path / "base")
    policy = LlamaForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    policy.save_pretrained(base)
    few = write_rows(tmp_path / "few.jsonl", list(preference_rows(80)))
    spec = replace(order, base_model=str(base), champion=artifact_of(base), preferences=few)
    run = train_here(spec, tmp_path, lora=lora, learning_rate=1e-2 if lora else 5e-5, max_steps=12, on_policy_ratio=0.0)
    found = run.result.training
    assert found.implicit_lower is not None
    assert found.implicit_lower > 0.5
    weights = load_file(Path(run.result.candidate.path) / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


def test_pairs_that_cannot_be_split_are_refused_with_their_numbers(order: RunSpec, tmp_path: Path) -> None:
    rows = [row | {"conversation_id": "one"} for row in preference_rows(30)]
    spec = replace(order, preferences=write_rows(tmp_path / "p.jsonl", rows))
    with pytest.raises(InvalidInput, match="30 pairs in 1 independent groups"):
        train_here(spec, tmp_path)
