from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.artifact import artifact_sha256
from monitor.domain.job import Action
from monitor.domain.run import Artifact, HashedFile, PairMetrics, RunResult, RunSpec
from monitor.domain.run_file import read_result, read_spec, write_result, write_spec
from monitor.errors import InvalidInput

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
RESULT = RunResult("succeeded", None, SPEC.champion, METRICS, None, 0.55, 300, 40, SPEC.preferences, 12.5)


def test_a_spec_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_spec(tmp_path / "spec.json", SPEC)
    assert read_spec(tmp_path / "spec.json") == SPEC


def test_a_result_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_result(tmp_path / "result.json", RESULT)
    assert read_result(tmp_path / "result.json") == RESULT


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"job_id": "7"}, "job_id = '7'; wanted int", id="a wrong type"),
        pytest.param({"job_id": True}, "job_id = True; wanted int", id="a boolean where a number belongs"),
        pytest.param({"action": "sft"}, "action = 'sft'; wanted 'reward_refresh' or 'dpo'", id="an unknown action"),
        pytest.param({"champion": {"version": "v1"}}, "champion.path", id="a missing field inside a value"),
        pytest.param({"recipe": {"members": None}}, "recipe.members = None", id="a wrong type inside a mapping"),
        pytest.param({"sede": 1}, "sede = 1; wanted only", id="a misspelt field"),
    ],
)
def test_a_broken_spec_is_refused_by_file_and_field(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    path = tmp_path / "spec.json"
    write_spec(path, SPEC)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(InvalidInput, match=r"spec\.json") as refusal:
        read_spec(path)

    assert named in str(refusal.value)


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
