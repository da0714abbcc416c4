"""Real trainings of a tiny policy by DPO and KTO, as the daemon starts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.domain.job import Action
from monitor.runs.progress import PROGRESS_FILE, read_progress
from monitor.runs.spec import RunSpec
from tests.policies import artifact_of, carry_out, policy_order


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    """Pairs and thumbs that prefer short answers, and a policy that gives short and long ones."""
    return policy_order(tmp_path_factory.mktemp("order"))


def test_dpo_learns_what_people_prefer_and_the_same_seed_gives_the_same_bytes(order: RunSpec, tmp_path: Path) -> None:
    results = []
    for name in ("one", "other"):
        spec = replace(order, output=str(tmp_path / name / "output"))
        result, log = carry_out(spec, tmp_path / name)
        results.append(result)
    found = results[0].training
    assert found.accuracy_before is not None
    assert found.implicit_accuracy is not None
    assert found.implicit_lower is not None
    assert found.accuracy_before < 0.7 < found.implicit_lower <= found.implicit_accuracy
    assert found.length_change is not None
    assert found.length_change < -0.1
    assert found.kl is not None
    assert 0 < found.kl < 0.5
    assert (found.examples + found.held_out, found.by_models) == (240, 0)
    assert sum(found.pairs_by_cohort.values()) == found.held_out
    assert results[0].candidate.sha256 == results[1].candidate.sha256 != artifact_of(Path(order.base_model)).sha256
    progress = read_progress(tmp_path / "one" / PROGRESS_FILE)
    assert progress is not None
    assert (progress.done, progress.total) == (found.steps, found.steps)
    assert progress.rate is not None
    assert not (tmp_path / "one" / "output" / "work").exists()
    lineage = results[0].lineage
    assert lineage is not None
    assert lineage.base_sha256 == artifact_of(Path(order.base_model)).sha256
    assert lineage.recipe["beta"] == 0.1
    assert f"step {found.steps} of {found.steps}" in log


def test_kto_learns_from_thumbs(order: RunSpec, tmp_path: Path) -> None:
    spec = replace(order, action=Action.KTO, recipe={"name": "kto_demo"}, output=str(tmp_path / "output"))
    result, log = carry_out(spec, tmp_path)
    found = result.training
    assert (found.method, result.action) == ("kto", "kto")
    assert found.implicit_accuracy is not None
    assert found.accuracy_before is not None
    assert found.implicit_accuracy > max(found.accuracy_before, 0.9)
    assert found.margin is not None
    assert found.margin > 0
    assert "one up weighs 1.000, one down 0.5" in log
