from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.job import Action
from monitor.errors import InvalidInput
from monitor.runs.artifact import Artifact, HashedFile, file_sha256
from monitor.runs.result import Failure, RewardResult, read_result
from monitor.runs.spec import RunSpec, write_spec
from retrain.__main__ import is_disk_full, main
from retrain.preferences import load_pairs
from retrain.recipe import load_recipe
from retrain.spec import load_spec

ROW = {
    "preference_id": "p-0",
    "conversation_id": None,
    "messages": [{"role": "user", "content": "why?"}],
    "chosen": "because",
    "rejected": "no",
    "cohort": "none",
    "timestamp": "2026-01-01T00:00:00Z",
}


def preferences(folder: Path, *rows: dict[str, Any]) -> HashedFile:
    path = folder / "preferences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return HashedFile(str(path), file_sha256(path), len(rows))


@pytest.fixture
def spec(tmp_path: Path) -> RunSpec:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    return RunSpec(
        job_id=1,
        action=Action.REWARD_REFRESH,
        base_model=str(tmp_path / "base"),
        champion=None,
        preferences=preferences(tmp_path, ROW),
        rescore=None,
        recipe={},
        seed=1,
        output=str(tmp_path / "output"),
    )


def refusal(spec: RunSpec, folder: Path) -> str:
    write_spec(folder / "spec.json", spec)
    with pytest.raises(InvalidInput) as refused:
        load_spec(folder / "spec.json")
    return str(refused.value)


def test_an_order_whose_files_are_as_it_says_is_taken(spec: RunSpec, tmp_path: Path) -> None:
    write_spec(tmp_path / "spec.json", spec)

    assert load_spec(tmp_path / "spec.json") == spec


def test_preferences_that_changed_since_the_order_are_refused(spec: RunSpec, tmp_path: Path) -> None:
    Path(spec.preferences.path).write_text("{}\n")

    assert "the spec wants" in refusal(spec, tmp_path)


def test_a_champion_that_changed_since_the_order_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    champion = Artifact("v1", str(tmp_path / "base"), "00" * 32)

    assert "champion: " in refusal(replace(spec, champion=champion), tmp_path)


def test_a_base_model_that_is_not_there_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    assert "base_model = '/nowhere'" in refusal(replace(spec, base_model="/nowhere"), tmp_path)


def test_an_output_folder_with_something_in_it_is_refused(spec: RunSpec, tmp_path: Path) -> None:
    assert "is not empty" in refusal(replace(spec, output=str(tmp_path)), tmp_path)


def test_a_dpo_run_without_a_policy_s_inputs_ends_with_2_and_says_so(
    spec: RunSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_spec(tmp_path / "spec.json", replace(spec, action=Action.DPO))

    assert main(["--spec", str(tmp_path / "spec.json")]) == 2

    assert "policy = None: dpo wants prompts to compare on" in capsys.readouterr().err
    assert isinstance(read_result(tmp_path / "result.json", RewardResult), Failure)


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        pytest.param({"name": "rewrad"}, "recipe.name = 'rewrad'; wanted one of reward, reward_demo", id="its name"),
        pytest.param({"membres": 3}, "recipe.membres = 3", id="a misspelt key"),
        pytest.param({"members": 0}, "recipe.members = 0", id="a value out of range"),
        pytest.param({"warm_start": "yes"}, "recipe.warm_start = 'yes'", id="a wrong type"),
        pytest.param({"kind": "head"}, "recipe.kind = 'head'", id="an unknown kind"),
    ],
)
def test_a_broken_recipe_is_refused_by_key(recipe: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load_recipe(recipe)
    assert named in str(refused.value)


def test_a_spec_changes_the_recipe_it_names() -> None:
    assert load_recipe({}).kind == "lora"
    assert load_recipe({"name": "reward_demo"}).kind == "full"
    assert load_recipe({"name": "reward_heads"}).kind == "heads"
    assert load_recipe({"name": "reward_demo", "members": 5, "learning_rate": 1}).members == 5


@pytest.mark.parametrize(("lora", "kind"), [(True, "lora"), (False, "full")])
def test_a_recipe_of_an_earlier_release_says_its_kind_by_lora(lora: bool, kind: str) -> None:
    assert load_recipe({"name": "reward_demo", "lora": lora}).kind == kind
    assert load_recipe({"lora": lora, "kind": "heads"}).kind == "heads"


def test_ties_are_left_out_and_counted(tmp_path: Path) -> None:
    same = ROW | {"preference_id": "p-1", "rejected": ROW["chosen"]}
    tied = ROW | {"preference_id": "p-2", "tie": True}

    loaded = load_pairs(preferences(tmp_path, ROW, same, tied))

    assert [pair.preference_id for pair in loaded.pairs] == ["p-0"]
    assert loaded.ties == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"chosen": None}, "chosen = None; wanted text", id="no chosen response"),
        pytest.param({"messages": "why?"}, "messages = 'why?'", id="a prompt that is no list"),
        pytest.param({"timestamp": "2026-01-01"}, "timestamp = '2026-01-01'", id="a time without its zone"),
        pytest.param({"cohort": {"a": "b"}}, "cohort = {'a': 'b'}; wanted text", id="labels in place of a cohort"),
        pytest.param({"preference_id": "p-0"}, "'p-0' is there twice", id="a pair that is there twice"),
    ],
)
def test_a_broken_pair_is_named_by_file_line_and_field(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    file = preferences(tmp_path, ROW, ROW | {"preference_id": "p-1"} | change)

    with pytest.raises(InvalidInput, match=r"preferences\.jsonl:2") as refused:
        load_pairs(file)

    assert named in str(refused.value)


def of_library() -> Exception:
    """As safetensors tells of a full disk: no errno, and another error above it."""
    try:
        try:
            raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
        except RuntimeError as cause:
            raise ValueError("the model could not be saved") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "full"),
    [
        pytest.param(OSError(28, "No space left on device"), True, id="the system's own error"),
        pytest.param(of_library(), True, id="a library's words, below another error"),
        pytest.param(OSError(2, "No such file or directory"), False, id="a missing file"),
        pytest.param(RuntimeError("CUDA out of memory"), False, id="another memory that is full"),
    ],
)
def test_a_full_disk_is_told_apart_from_what_another_attempt_may_mend(error: Exception, full: bool) -> None:
    assert is_disk_full(error) is full
