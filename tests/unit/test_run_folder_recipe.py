"""What a run is given: a policy's recipe, unless it has its own, and the weights that labels correct."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.domain.job import Action
from monitor.errors import InvalidInput
from monitor.retraining.run_folder import RunFolders
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256
from monitor.settings.policy import OnPolicySettings, PolicySettings
from monitor.settings.retrain import RetrainSettings
from monitor.signals.refusal.weights import SHIPPED


class InMemoryMaterial:
    """No pairs, no baseline, and a champion."""

    def __init__(self, sha256: str = "ab" * 32) -> None:
        self._sha256 = sha256

    def export(self, path: Path, card: Path | None = None) -> HashedFile:
        path.touch()
        return HashedFile(str(path), file_sha256(path), 0)

    def champion(self, role: str) -> Artifact:
        return Artifact("v1", f"/models/{role}", self._sha256)


@pytest.mark.parametrize(
    ("action", "own", "expected"),
    [
        pytest.param(Action.DPO, "beta: 0.3\n", {"beta": 0.3, "on_policy_ratio": 0.2}, id="the settings say"),
        pytest.param(Action.DPO, "on_policy_ratio: 0.7\n", {"on_policy_ratio": 0.7}, id="the recipe says"),
        pytest.param(Action.KTO, "beta: 0.3\n", {"beta": 0.3}, id="kto samples none"),
    ],
)
def test_a_policy_s_run_is_given_its_recipe(
    action: Action, own: str, expected: dict[str, float], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(own)
    recipe = tmp_path / "recipe.yaml"
    policy = PolicySettings(recipe=recipe, kto_recipe=recipe, on_policy=OnPolicySettings(ratio=0.2))
    material = InMemoryMaterial()
    folders = RunFolders(
        RetrainSettings(folder=tmp_path / "runs", policy=policy),
        preferences=material,
        baseline=material,
        registry=material,
    )
    spec = folders.prepare(1, action, 1)
    assert spec.recipe == expected
    assert spec.base_model == "/models/policy"
    assert spec.checkpoints == str(tmp_path / "runs" / "job-1" / "checkpoints")


def refreshing(folder: Path, weights_sha256: str) -> RunFolders:
    material = InMemoryMaterial(weights_sha256)
    settings = RetrainSettings(folder=folder / "runs")
    return RunFolders(settings, preferences=material, baseline=material, registry=material, refusals=material)


def test_a_refresh_takes_the_shipped_weights_along_since_another_host_s_release_lies_elsewhere(tmp_path: Path) -> None:
    shipped = artifact_sha256(SHIPPED.parent)
    spec = refreshing(tmp_path, shipped).prepare(1, Action.REFUSAL_REFRESH, 1)
    assert Path(spec.base_model) == tmp_path / "runs" / "job-1" / "attempt-1" / "base"
    assert artifact_sha256(Path(spec.base_model)) == shipped


def test_a_refresh_of_weights_that_this_host_has_not_got_names_them(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the weights v1 are neither at /models/refusal nor those of this release"):
        refreshing(tmp_path, "cd" * 32).prepare(1, Action.REFUSAL_REFRESH, 1)
