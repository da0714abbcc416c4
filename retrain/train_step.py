"""The training step of a policy, in this process or as one of several: `python -m retrain.train_step ORDER`.

It reads encoded examples and leaves the trained policy beside them. TRL's trainers do the work, on token ids.
"""

from __future__ import annotations

import ctypes
import resource
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset, load_from_disk
from peft import LoraConfig, TaskType
from transformers import EarlyStoppingCallback, TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from monitor.rewards.huggingface import quiet_transformers
from monitor.runs.file import read_file, write_file
from retrain.artifacts import staged_folder
from retrain.chat import load_policy_encoder
from retrain.checkpoint import latest_complete, mark_complete, remove_others, step_of
from retrain.device import on_one_gpu
from retrain.language_model import kept_dtype, load_policy, takes_bf16
from retrain.policy_recipe import DpoRecipe, KtoRecipe
from retrain.progress import Progress

TRAIN_FOLDER, WATCHED_FOLDER = "train", "watched"  # data sets, as `datasets` keeps them
TRAINER_FOLDER = "trainer"
TRAINED_FOLDER, TRAINED_FILE = "trained", "trained.json"
REPORT_SECONDS = 2.0  # least time between two lines of progress
_WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx"})
_CHECKPOINTING = (
    "activation_checkpointing" if hasattr(DPOConfig, "activation_checkpointing") else "gradient_checkpointing"
)


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """What one training step is told; `folder` holds its data, and takes its checkpoints and its outcome."""

    method: Literal["dpo", "kto"]
    folder: str
    base_model: str
    progress: str  # path of progress.json
    recipe: Mapping[str, float | int | str | bool]  # whole
    seed: int
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Trained:
    """How the training went; the policy stands in `trained/`."""

    steps: int
    loss: float | None
    stopped_early: bool
    resumed_from: int | None
    seconds: float
    tokens: int
    peak_memory_bytes: int
    devices: str


class _EncodedDpoTrainer(DPOTrainer):  # type: ignore[misc]
    """Takes the ids as they are: TRL would encode texts, and cut or drop what is too long in its own way."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


class _EncodedKtoTrainer(KTOTrainer):  # type: ignore[misc]
    """The same; the other answers of a batch, from which the KL is taken, stand in the rows."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


class _StepReport(TrainerCallback):  # type: ignore[misc]
    """Passes steps and losses on as progress, not more often than people read."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._said = 0.0
        self.loss: float | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.loss = float(logs["loss"])
        if logs and "eval_loss" in logs and state.is_world_process_zero:
            self._progress.report(
                f"step {state.global_step} of {state.max_steps}: watched loss {logs['eval_loss']:.4f}"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.monotonic()
        if state.is_world_process_zero and (now - self._said >= REPORT_SECONDS or state.global_step == state.max_steps):
            self._said = now
            self.report(state)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.report(state)

    def report(self, state: Any) -> None:
        self._progress.report(
            f"step {state.global_step} of {state.max_steps}"
            + (f", loss {self.loss:.4f}" if self.loss is not None else ""),
            done=state.global_step,
            total=state.max_steps,
            loss=self.loss,
            phase="training",
        )


class _WholeCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Marks a checkpoint once every process has written its part, and then removes those that nobody goes back to."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            mark_complete(newest)
            remove_others(Path(args.output_dir), {str(newest), str(state.best_model_checkpoint)})


def carry_out(order: TrainingOrder, progress: Progress) -> None:
    """Train, from the last whole checkpoint where there is one, and leave `trained/` and then `trained.json`."""
    started = time.monotonic()
    folder = Path(order.folder)
    recipe = (DpoRecipe if order.method == "dpo" else KtoRecipe).model_validate(order.recipe)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    set_seed(order.seed % 2**32)
    report = _StepReport(progress)
    with quiet_transformers():
        trainer = _build_trainer(order, recipe, report)
        trainer.remove_callback(PrinterCallback)
        last = latest_complete(folder / TRAINER_FOLDER) if trainer.is_world_process_zero() else None
        last = _agreed(last)
        if last is not None and trainer.is_world_process_zero():
            progress.report(f"goes on from step {step_of(last)}, where an attempt before was ended")
        trainer.train(resume_from_checkpoint=str(last) if last is not None else None)
        if trainer.is_world_process_zero():
            model = trainer.accelerator.unwrap_model(trainer.model)
            _save_policy(model.merge_and_unload() if recipe.lora else model, Path(order.base_model), folder)
            state, tokens = trainer.state, sum(trainer.train_dataset["tokens"])
            write_file(
                folder / TRAINED_FILE,
                Trained(
                    steps=state.global_step,
                    loss=next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None),
                    stopped_early=state.global_step < state.max_steps,
                    resumed_from=step_of(last) if last is not None else None,
                    seconds=time.monotonic() - started,
                    tokens=round(tokens * (state.epoch or 0.0)),
                    peak_memory_bytes=_peak_memory_bytes(),
                    devices=_devices(trainer),
                ),
            )
            shutil.rmtree(folder / TRAINER_FOLDER, ignore_errors=True)


def _build_trainer(order: TrainingOrder, recipe: DpoRecipe | KtoRecipe, report: _StepReport) -> Any:
    folder = Path(order.folder)
    watched = load_from_disk(str(folder / WATCHED_FOLDER)) if (folder / WATCHED_FOLDER).is_dir() else None
    encoder = load_policy_encoder(Path(order.base_model), max_length=recipe.max_length)
    # a backbone that is not trained may stay as small as it is kept
    dtype = "auto" if recipe.lora and _in_bf16(order) else torch.float32
    common = {
        "model": load_policy(Path(order.base_model), dtype=dtype, device="cpu").train(),
        "train_dataset": load_from_disk(str(folder / TRAIN_FOLDER)),
        "eval_dataset": watched,
        "processing_class": encoder.tokenizer,
        "callbacks": [report, _WholeCheckpoints()],
        "peft_config": _lora(recipe) if recipe.lora else None,
    }
    if watched is not None:
        common["callbacks"].append(EarlyStoppingCallback(early_stopping_patience=recipe.patience))
    arguments = _arguments(order, recipe, watched)
    if isinstance(recipe, DpoRecipe):
        ld_alpha = recipe.ld_alpha if recipe.ld_alpha < 1 else None
        loss = {"loss_type": [recipe.loss], "label_smoothing": recipe.label_smoothing, "ld_alpha": ld_alpha}
        return _EncodedDpoTrainer(args=on_one_gpu(DPOConfig(**arguments, **loss)), **common)
    weights = {"desirable_weight": order.desirable_weight, "undesirable_weight": order.undesirable_weight}
    return _EncodedKtoTrainer(args=on_one_gpu(KTOConfig(**arguments, **weights, loss_type=recipe.loss)), **common)


def _arguments(order: TrainingOrder, recipe: DpoRecipe | KtoRecipe, watched: Dataset | None) -> dict[str, Any]:
    """Return what both trainers are told."""
    on_gpu = torch.cuda.is_available()
    by_accuracy = recipe.watch == "accuracy"
    looks = {
        "eval_strategy": "steps",
        "eval_steps": recipe.save_steps,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_rewards/accuracies" if by_accuracy else "eval_loss",
        "greater_is_better": by_accuracy,
    }
    return {
        "output_dir": str(Path(order.folder) / TRAINER_FOLDER),
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": recipe.warmup_ratio,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation,
        _CHECKPOINTING: recipe.gradient_checkpointing,
        "max_length": None,  # the ids are cut already
        "beta": recipe.beta,
        "precompute_ref_log_probs": recipe.precompute_reference,
        "bf16": _in_bf16(order),
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "seed": order.seed % 2**32,
        "data_seed": order.seed % 2**32,
        "logging_steps": 0.005,
        "save_strategy": "steps",
        "save_steps": recipe.save_steps,
        "save_total_limit": None,  # an older one goes when the newer one is whole
        "restore_callback_states_from_checkpoint": True,
        "report_to": "none",
        "push_to_hub": False,
        "disable_tqdm": True,
        **(looks if watched is not None else {"eval_strategy": "no"}),
    }


def _in_bf16(order: TrainingOrder) -> bool:
    """Say whether the steps compute in bfloat16; what is trained is kept in float32 until it is saved."""
    on_gpu = torch.cuda.is_available()
    return on_gpu or takes_bf16(Path(order.base_model), torch.device("cpu"))


def _lora(recipe: DpoRecipe | KtoRecipe) -> LoraConfig:
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=recipe.lora_rank,
        lora_alpha=2 * recipe.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",
    )


def _save_policy(model: Any, base: Path, folder: Path) -> None:
    """Write the base's own files with the trained weights, in the precision that the base is kept in."""
    shutil.rmtree(folder / TRAINED_FOLDER, ignore_errors=True)
    with staged_folder(folder / TRAINED_FOLDER) as staging:
        model.to(kept_dtype(base)).save_pretrained(staging)
        for path in base.iterdir():
            if path.is_file() and path.suffix not in _WEIGHTS and not path.name.endswith(("index.json", "README.md")):
                shutil.copyfile(path, staging / path.name)
        for path in staging.iterdir():
            path.chmod(0o644)  # weights are written for their owner alone, and another one may serve them


def _agreed(last: Path | None) -> Path | None:
    """Return what the first process found: it alone may remove what is not whole."""
    if not torch.distributed.is_initialized():
        return last
    found = [last]
    torch.distributed.broadcast_object_list(found, src=0)
    return found[0]


def _peak_memory_bytes() -> int:
    """Return what the GPU held at most or, without one, this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _devices(trainer: Any) -> str:
    count = trainer.args.world_size
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return f"{count} x {name}"


def die_with_parent() -> None:
    """Let this process be killed when the one that started it is: two of a job must never train at once."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent()
    given = read_file(Path(sys.argv[1]), TrainingOrder)
    carry_out(given, Progress(Path(given.progress), sys.stdout))
