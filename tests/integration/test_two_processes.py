"""A policy that is trained by two processes on a CPU, of which one is killed in the middle."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monitor.domain.job import Action
from monitor.runs.file import read_file, write_file
from monitor.runs.policy import PolicyResult
from monitor.runs.result import RESULT_FILE, ExitCode, Failure, read_result
from retrain.launch import ORDER_FILE, training_command
from retrain.train_step import TRAINED_FILE, TRAINED_FOLDER, TRAINER_FOLDER, Trained, TrainingOrder
from tests.faults.test_dispatcher_kill import processes_of
from tests.policies import carry_out, command, policy_order
from tests.real_kafka import ROOT

pytestmark = pytest.mark.timeout(900)  # the first test carries out all trainings

BATCH = 4  # examples that a process takes at a time
SAVE_STEPS = 4
Seen = Mapping[int, Counter[str]]  # by step, how often each text was trained on


@dataclass(frozen=True, slots=True)
class Killed:
    """A run whose second process was killed."""

    exit_code: int
    failure: Failure
    log: str
    left_behind: list[str]  # commands of its processes that outlived it


@dataclass(frozen=True, slots=True)
class Trainings:
    """One order, carried out in several ways."""

    killed: Killed
    resumed: PolicyResult
    resumed_log: str
    by_two: Path  # folder of a training by two processes that nothing interrupts
    seen_by_two: tuple[Seen, Seen]  # by process
    by_one: Path  # of one by one process, whose batches are as large as theirs together
    seen_by_one: Seen


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    root = tmp_path_factory.mktemp("dpo")
    order = policy_order(root, action=Action.DPO, pairs=60, steps=30)
    recipe = {"processes": 2, "batch_size": BATCH, "save_steps": SAVE_STEPS, "epochs": 3.0, "length_prompts": 0}
    spec = replace(
        order, recipe={**order.recipe, **recipe, "on_policy_ratio": 0.0}, checkpoints=str(root / "checkpoints")
    )
    killed = kill_one(command(replace(spec, output=str(root / "first" / "output")), root / "first"), root)
    by_two, by_one = root / "by-two", root / "by-one"
    seen_by_two = train_recorded(root / "checkpoints", by_two, processes=2)
    (seen_by_one,) = train_recorded(root / "checkpoints", by_one, processes=1)
    resumed, log = carry_out(replace(spec, output=str(root / "second" / "output")), root / "second")
    return Trainings(killed, resumed, log, by_two, (seen_by_two[0], seen_by_two[1]), by_one, seen_by_one)


def kill_one(program: list[str], root: Path) -> Killed:
    """Carry out *program*, and kill its second process once a checkpoint is whole."""
    log, whole = root / "first" / "log", root / "checkpoints" / TRAINER_FOLDER
    with log.open("wb") as written:
        run = subprocess.Popen(program, stdout=written, stderr=written, cwd=ROOT)
    deadline = time.monotonic() + 180
    while not list(whole.glob("*/complete")):
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    os.kill(second_process(root), signal.SIGKILL)
    code = run.wait(60)
    failure = read_result(root / "first" / RESULT_FILE, PolicyResult)
    assert isinstance(failure, Failure)
    return Killed(code, failure, log.read_text(), processes_of(root))


def second_process(root: Path) -> int:
    """Return the process of rank 1 among those that know the order below *root*."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(root).encode() in (process / "cmdline").read_bytes():
                environment = (process / "environ").read_bytes().split(b"\0")
                if b"RANK=1" in environment:
                    return int(process.name)
    raise AssertionError("no process of rank 1")


def train_recorded(prepared: Path, folder: Path, *, processes: int) -> list[Seen]:
    """Train in *folder* on the data of *prepared*; return what each process saw."""
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(TRAINER_FOLDER))
    order = read_file(folder / ORDER_FILE, TrainingOrder)
    recipe = {**order.recipe, "batch_size": 2 * BATCH // processes}
    progress = str(folder / "progress.json")
    write_file(folder / ORDER_FILE, replace(order, folder=str(folder), progress=progress, recipe=recipe))
    step = [sys.executable, "-m", "retrain.train_step", str(folder / ORDER_FILE)]
    words = step if processes == 1 else training_command(folder / ORDER_FILE, processes)
    recorded = ["tests.integration.recorded_step" if word == "retrain.train_step" else word for word in words]
    subprocess.run([*recorded, str(folder / "seen")], check=True, cwd=ROOT, timeout=300)
    return [read_seen(folder / "seen" / str(rank)) for rank in range(processes)]


def read_seen(file: Path) -> Seen:
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for line in file.read_text().splitlines():
        step, texts = json.loads(line)
        seen[step].update(texts)
    return seen


def weights_of(folder: Path) -> torch.Tensor:
    """Return all weights of a policy, one after the other."""
    weights = load_file(folder / "model.safetensors")
    return torch.cat([weights[name].flatten() for name in sorted(weights)])


def test_a_process_that_is_killed_fails_the_run_which_leaves_no_other_behind(trainings: Trainings) -> None:
    killed = trainings.killed
    assert killed.exit_code == ExitCode.FAILED
    assert "the training in 2 processes ended with exit code 1; see the log" in killed.failure.error
    assert "Signal 9 (SIGKILL)" in killed.log, "the log says which one, and how"
    assert killed.left_behind == []


def test_the_next_attempt_goes_on_from_a_whole_checkpoint_to_what_one_that_nobody_killed_comes_to(
    trainings: Trainings,
) -> None:
    found = trainings.resumed.training
    assert found.resumed_from is not None
    assert found.resumed_from >= SAVE_STEPS
    assert trainings.resumed_log.count(f"goes on from step {found.resumed_from},") == 1
    lineage = trainings.resumed.lineage
    assert lineage is not None
    assert lineage.devices == "2 x CPU"
    assert found.steps == read_file(trainings.by_two / TRAINED_FILE, Trained).steps
    apart = weights_of(Path(trainings.resumed.candidate.path)) - weights_of(trainings.by_two / TRAINED_FOLDER)
    assert apart.abs().max() < 1e-6, "but for the last digits"


def test_each_step_is_told_once(trainings: Trainings) -> None:
    told = [line.partition(",")[0] for line in trainings.resumed_log.splitlines() if re.match(r"step \d+ of", line)]
    assert told[-1] == f"step {trainings.resumed.training.steps} of {trainings.resumed.training.steps}"
    assert len(told) == len(set(told))


def test_two_processes_part_the_batches_of_one_and_fill_up_the_last_of_an_epoch(trainings: Trainings) -> None:
    first, second = trainings.seen_by_two
    whole = trainings.seen_by_one
    assert first.keys() == second.keys() == whole.keys()
    full = max(batch.total() for batch in whole.values())
    filled = 0
    for step, batch in whole.items():
        both = first[step] + second[step]
        assert first[step].total() == second[step].total()
        assert batch <= both, "nothing is lost"
        assert batch.total() == full or both > batch
        filled += both != batch
    assert filled <= 3, "one step of each epoch at most"


def test_two_processes_come_to_nearly_what_one_comes_to_with_batches_as_large(trainings: Trainings) -> None:
    began = Path(read_file(trainings.by_one / ORDER_FILE, TrainingOrder).base_model)
    folders = (trainings.by_two / TRAINED_FOLDER, trainings.by_one / TRAINED_FOLDER, began)
    two, one, base = map(weights_of, folders)
    assert (two - one).norm() < 0.2 * (one - base).norm()
