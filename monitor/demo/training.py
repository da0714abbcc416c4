"""The demo's first reward ensemble, trained by the same program that refreshes it later."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import yaml

from monitor.demo.models import build_tiny_base
from monitor.domain.job import Action
from monitor.errors import Unavailable
from monitor.retraining.launchers.local_process import run_environment
from monitor.runs.artifact import HashedFile
from monitor.runs.result import RESULT_FILE, RewardResult, read_result
from monitor.runs.spec import SPEC_FILE, RunSpec, write_spec

SEED = 7
POLICY_RECIPE = {
    "name": "dpo_demo",
    "max_steps": 45,
    "precompute_reference": False,  # for the pairs of so few steps alone
    "max_new_tokens": 160,
    "answer_temperature": 1.0,  # a model this small loops where it always takes the likeliest
    "suite_items": 64,
}
LAST_LINES = 2000  # characters of a failed run's output that are shown


def demo_recipe() -> Path:
    """Return the packaged recipe that fits the demo's base model."""
    return Path(str(files("retrain") / "recipes" / "reward_demo.yaml"))


def write_recipe(path: Path) -> Path:
    """Write how the demo's policy is trained and compared, within a minute on two busy cores."""
    path.write_text(yaml.safe_dump(POLICY_RECIPE), encoding="utf-8")
    return path


def build_base(folder: Path, texts: Iterable[str]) -> None:
    """Build the model in *folder*/base that each member is trained from."""
    build_tiny_base(folder.absolute() / "base", texts, seed=SEED)


def train_first_ensemble(folder: Path, pairs: HashedFile) -> RewardResult:
    """Train the ensemble on *pairs* from the base model in *folder*/base, in a process of its own."""
    base, run = folder.absolute() / "base", folder.absolute() / "first"
    run.mkdir(parents=True, exist_ok=True)
    spec = RunSpec(
        job_id=0,
        action=Action.REWARD_REFRESH,
        base_model=str(base),
        champion=None,
        preferences=pairs,
        rescore=None,
        recipe=yaml.safe_load(demo_recipe().read_text(encoding="utf-8")),
        seed=SEED,
        output=str(run / "candidate"),
    )
    write_spec(run / SPEC_FILE, spec)
    done = subprocess.run(
        [sys.executable, "-m", "retrain", "--spec", str(run / SPEC_FILE)],
        env=run_environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(f"the first ensemble could not be trained:\n{(done.stdout + done.stderr)[-LAST_LINES:]}")
    result = read_result(run / RESULT_FILE, RewardResult)
    assert isinstance(result, RewardResult)
    return result
