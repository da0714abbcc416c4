"""The files between the daemon and a run: read back as written, and refused by name where they are broken."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.job import Action
from monitor.errors import InvalidInput
from monitor.runs.action import ACTIONS, ActionKind
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256
from monitor.runs.calibration import MarginBound, ScorerCalibration
from monitor.runs.result import DimensionHead, Failure, PairMetrics, RewardResult, read_result, write_result
from monitor.runs.spec import RunSpec, read_spec, write_spec

SPEC = RunSpec(
    job_id=7,
    action=Action.REWARD_REFRESH,
    base_model="/models/base",
    champion=Artifact("v1", "/models/champion", "ab" * 32),
    preferences=HashedFile("/run/preferences.jsonl", "cd" * 32, 120),
    rescore=None,
    recipe={"members": 3, "learning_rate": 1e-4, "lora": False, "name": "reward"},
    seed=11,
    output="/run/output",
)
METRICS = PairMetrics(40, 0.8, 0.65, 0.9, {"dataset=koala": 0.75}, {"dataset=koala": 20}, None, 0, 0.04, 1.3, -0.1)
RESULT = RewardResult(
    candidate=Artifact("v2", "/run/output/candidate", "ef" * 32),
    candidate_metrics=METRICS,
    champion_metrics=None,
    longer_wins_accuracy=0.55,
    train_pairs=300,
    held_out_pairs=40,
    rescored=SPEC.preferences,
    seconds=12.5,
)
DEEPER = replace(
    RESULT,
    tfidf_accuracy=0.6,
    anchor_agreement=0.9,
    anchor_pairs=64,
    dimension_heads={"tone": DimensionHead(train_pairs=90, pairs=12, accuracy=0.75)},
    calibration=ScorerCalibration(
        temperature=0.7,
        pairs=40,
        error_before=0.2,
        error_after=0.05,
        error_rate=0.1,
        pooled=MarginBound(pairs=40, quantile=1.5, beyond=0.3),
        by_cohort={"dataset=koala": MarginBound(pairs=20, quantile=None)},
    ),
)
# as the first release wrote it: one type for all actions, a failure with a success's fields
FIRST_RELEASE: dict[str, Any] = {
    "status": "succeeded",
    "error": None,
    "candidate": {"version": "v2", "path": "/run/output/candidate", "sha256": "ef" * 32},
    "candidate_metrics": {"pairs": 40, "accuracy": 0.8, "accuracy_lower": 0.65, "accuracy_upper": 0.9},
    "champion_metrics": None,
    "longer_wins_accuracy": 0.55,
    "train_pairs": 300,
    "held_out_pairs": 40,
    "rescored": None,
    "seconds": 12.5,
}
NOTHING = {"candidate": None, "candidate_metrics": None, "longer_wins_accuracy": None}


def read(path: Path) -> Any:
    return read_result(path, RewardResult)


def test_a_spec_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_spec(tmp_path / "spec.json", SPEC)
    assert read_spec(tmp_path / "spec.json") == SPEC


@pytest.mark.parametrize(
    "result",
    [RESULT, DEEPER, Failure("no held-out pairs", 0.5)],
    ids=["a success", "a success with all that is told", "a failure"],
)
def test_a_result_reads_back_as_it_was_written(tmp_path: Path, result: RewardResult | Failure) -> None:
    write_result(tmp_path / "result.json", result)
    assert read(tmp_path / "result.json") == result


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"job_id": "7"}, "job_id = '7': Expected `int`, got `str`", id="a wrong type"),
        pytest.param({"job_id": True}, "job_id = True: Expected `int`", id="a boolean where a number belongs"),
        pytest.param({"action": "sft"}, "action = 'sft': Invalid enum value", id="an unknown action"),
        pytest.param(
            {"champion": {"version": "v1"}},
            "champion = {'version': 'v1'}: Object missing required field `path`",
            id="a missing field inside a value",
        ),
        pytest.param(
            {"recipe": {"members": None}}, "{'members': None}: Expected `bool | int | float | str`", id="in a mapping"
        ),
        pytest.param({"sede": 1}, "sede = 1: unknown field; expected RunSpec's: job_id, action", id="a misspelt field"),
        pytest.param(
            {"champion": {"version": "v", "path": "p", "sha256": "s", "sha": 1}},
            "champion.sha = 1: unknown field",
            id="a misspelt field inside a value",
        ),
    ],
)
def test_a_broken_spec_is_refused_by_file_field_value_and_what_was_expected(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    path = tmp_path / "spec.json"
    write_spec(path, SPEC)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInput, match=r"spec\.json") as refusal:
        read_spec(path)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"action": "dpo"}, "action = 'dpo'", id="another action's result"),
        pytest.param({"status": "ok"}, "status = 'ok'", id="an unknown status"),
        pytest.param({"candidate": None}, "candidate = None", id="a success without a candidate"),
    ],
)
def test_a_result_that_is_not_of_its_action_s_kind_is_refused(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    path = tmp_path / "result.json"
    write_result(path, RESULT)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInput) as refusal:
        read(path)
    assert named in str(refusal.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\0"], ids=["empty", "half", "a list", "zeros"])
def test_what_is_no_json_object_is_refused_by_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"result\.json"):
        read(tmp_path / "result.json")


def test_a_number_that_is_none_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    broken = PairMetrics(40, float("nan"), 0.65, 0.9)
    write_result(tmp_path / "result.json", replace(RESULT, candidate_metrics=broken))
    with pytest.raises(InvalidInput, match=r"candidate_metrics\.accuracy = None: Expected `float`"):
        read(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"error": None}, RewardResult, id="a success"),
        pytest.param({"status": "failed", "error": "no pairs", **NOTHING}, Failure, id="a failure"),
    ],
)
def test_what_a_run_of_the_first_release_left_is_still_read(
    tmp_path: Path, change: dict[str, Any], expected: type
) -> None:
    (tmp_path / "result.json").write_text(json.dumps(FIRST_RELEASE | change))
    assert type(read(tmp_path / "result.json")) is expected


@pytest.mark.parametrize("kind", ACTIONS.values(), ids=list(ACTIONS))
def test_an_action_that_can_be_started_can_be_trained_and_judged(kind: ActionKind) -> None:
    assert find_spec(kind.training) is not None  # not loaded here: its libraries take seconds
    assert callable(import_module(kind.gate).judge)


def test_an_artifacts_hash_follows_names_and_bytes_but_not_its_place(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name / "member-0").mkdir(parents=True)
        (tmp_path / name / "member-0" / "model.bin").write_bytes(b"weights")
    first = artifact_sha256(tmp_path / "here")
    assert artifact_sha256(tmp_path / "there") == first

    (tmp_path / "there" / "member-0").rename(tmp_path / "there" / "member-1")
    assert artifact_sha256(tmp_path / "there") != first
    (tmp_path / "here" / "member-0" / "model.bin").write_bytes(b"weightz")
    assert artifact_sha256(tmp_path / "here") != first
