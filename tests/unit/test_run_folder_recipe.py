"""Which recipe a policy's run is given: the settings' word on models' pairs, unless the recipe has its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.domain.job import Action
from monitor.retraining.run_folder import RunFolders
from monitor.runs.artifact import Artifact, HashedFile, file_sha256
from monitor.settings.policy import OnPolicySettings, PolicySettings
from monitor.settings.retrain import RetrainSettings


class InMemoryMaterial:
    """No pairs, no baseline, and a champion."""

    def export(self, path: Path, card: Path | None = None) -> HashedFile:
        path.touch()
        return HashedFile(str(path), file_sha256(path), 0)

    def champion(self, role: str) -> Artifact:
        return Artifact("v1", f"/models/{role}", "ab" * 32)


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
