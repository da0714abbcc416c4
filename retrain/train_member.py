"""Training the members of a reward ensemble with TRL's RewardTrainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType
from transformers import AutoModelForSequenceClassification, TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback
from trl import RewardConfig, RewardTrainer

from monitor.errors import InvalidInput
from monitor.rewards.folders import member_folders
from monitor.rewards.huggingface import RowEncoder, choose_pad_id, load_encoder, quiet_transformers
from monitor.runs.heads import BACKBONE_FOLDER, is_heads
from monitor.runs.spec import RunSpec
from retrain.artifacts import staged_folder
from retrain.checkpoint import claim_folder, key_of, link_folder
from retrain.dataset import EncodedPairs, draw_bootstrap, encode_pairs
from retrain.device import on_one_gpu
from retrain.preferences import PreferencePair
from retrain.progress import Progress
from retrain.recipe import RewardRecipe

HEADS = ("score", "classifier")  # what Transformers calls the layer that gives the reward
SEEDS_PER_RUN = 1_000
# Transformers renamed it within version 5, and warns of the old name
_CHECKPOINTING = (
    "activation_checkpointing" if hasattr(RewardConfig, "activation_checkpointing") else "gradient_checkpointing"
)


@dataclass(frozen=True, slots=True)
class _Task:
    """One member to be trained."""

    number: int
    members: int
    start: Path
    seed: int
    encoder: RowEncoder
    data: EncodedPairs
    target: Path


class _StepReport(TrainerCallback):  # type: ignore[misc]
    """Passes the trainer's log on as progress."""

    def __init__(self, task: _Task, progress: Progress) -> None:
        self._task = task
        self._progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss, accuracy = float(logs["loss"]), float(logs["accuracy"])
        self._report(state, f", loss {loss:.3f}, training accuracy {accuracy:.2f}", loss)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._report(state, ": trained")

    def _report(self, state: Any, rest: str, loss: float | None = None) -> None:
        self._progress.report(
            f"member {self._task.number + 1} of {self._task.members},"
            f" step {state.global_step} of {state.max_steps}{rest}",
            done=self._task.number * state.max_steps + state.global_step,
            total=self._task.members * state.max_steps,
            loss=loss,
            phase="training",
        )


def train_members(
    pairs: Sequence[PreferencePair], target: Path, *, spec: RunSpec, recipe: RewardRecipe, progress: Progress
) -> None:
    """Write `member-0`, `member-1`, ... below *target*, each trained on its own bootstrap with its own seed.

    A member that an attempt before has trained is taken from the job's checkpoints.
    """
    kept = Path(spec.checkpoints) if spec.checkpoints is not None else None
    removed = claim_folder(kept, key_of(spec, recipe)) if kept is not None else None
    if removed:
        progress.report(removed)
    starts = [Path(spec.base_model)]
    if recipe.warm_start and spec.champion is not None:
        members = member_folders(Path(spec.champion.path))
        starts = [folder / BACKBONE_FOLDER if is_heads(folder) else folder for folder in members]
    prepared: dict[Path, tuple[RowEncoder, EncodedPairs]] = {}
    for number in range(recipe.members):
        start = starts[number % len(starts)]
        if start not in prepared:
            encoder = load_encoder(start, max_tokens=recipe.max_length)
            data = encode_pairs(pairs, encoder, margin=recipe.margin, balanced=recipe.balance_lengths)
            prepared[start] = (encoder, data)
            progress.report(f"encoded {len(data.dataset)} training pairs, {data.dropped} dropped")
        encoder, data = prepared[start]
        seed = spec.seed * SEEDS_PER_RUN + number
        task = _Task(number, recipe.members, start, seed % 2**32, encoder, data, target / f"member-{number}")
        if kept is not None and (kept / task.target.name).is_dir():
            link_folder(kept / task.target.name, task.target)
            progress.report(f"member {number + 1} of {recipe.members} was trained by an attempt before")
            continue
        _train_member(task, recipe, progress)
        if kept is not None:
            with staged_folder(kept / task.target.name) as staging:
                link_folder(task.target, staging)


def _train_member(task: _Task, recipe: RewardRecipe, progress: Progress) -> None:
    set_seed(task.seed)  # a base model without a reward head gets one at random
    tokenizer = task.encoder.tokenizer
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(
            task.start, num_labels=1, dtype=torch.float32, local_files_only=True
        )
        pad_id = choose_pad_id(task.start, model.config, tokenizer)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad_id)
        trainer = RewardTrainer(
            model=model,
            args=on_one_gpu(_trainer_arguments(task, recipe)),
            train_dataset=draw_bootstrap(task.data, seed=task.seed),
            processing_class=tokenizer,
            callbacks=[_StepReport(task, progress)],
            peft_config=_lora(model, recipe) if recipe.kind == "lora" else None,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        trained = trainer.model.merge_and_unload() if recipe.kind == "lora" else trainer.model
        trained.save_pretrained(task.target)
        tokenizer.save_pretrained(task.target)


def _trainer_arguments(task: _Task, recipe: RewardRecipe) -> RewardConfig:
    on_gpu = torch.cuda.is_available()
    return RewardConfig(
        output_dir=str(task.target),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        **{_CHECKPOINTING: recipe.gradient_checkpointing},
        center_rewards_coefficient=recipe.center_rewards or None,
        max_length=None,  # the pairs are truncated already; TRL would drop the long ones
        bf16=on_gpu,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        seed=task.seed,
        data_seed=task.seed,
        logging_steps=0.1,
        save_strategy="no",
        report_to="none",
        push_to_hub=False,
        disable_tqdm=True,
    )


def _lora(model: Any, recipe: RewardRecipe) -> Any:
    head = next((name for name in HEADS if hasattr(model, name)), None)
    if head is None:
        raise InvalidInput(f"{type(model).__name__} has no head named {' or '.join(HEADS)}; wanted one, or kind: full")
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=recipe.lora_rank,
        lora_alpha=2 * recipe.lora_rank,
        target_modules="all-linear",
        modules_to_save=[head],
    )
