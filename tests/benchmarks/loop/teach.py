"""Teaching a policy a habit, by a short fine-tune of its upper layers; and what a policy answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch

from monitor.rewards.huggingface import quiet_transformers
from retrain.artifacts import staged_folder
from retrain.chat import EncodedExample, load_policy_encoder
from retrain.generate import Answer, Decoding, TransformersPolicy, count_tokens
from retrain.language_model import kept_dtype, load_policy, takes_bf16
from tests.benchmarks.loop.questions import Habit, questions, swayed, user

ANSWER_TOKENS = 40
TAUGHT_QUESTIONS = 48  # the last ones: traffic has the first
IGNORED = -100
BATCH, STEPS = 8, 12


@dataclass(frozen=True, slots=True)
class Answered:
    """A question and what a policy answered."""

    asked: str
    text: str
    tokens: int
    cut: bool  # it did not end within the limit


def answer_all(folder: Path, asked: Sequence[str]) -> list[Answered]:
    """Let the policy in *folder* answer, the likeliest token each time."""
    policy = TransformersPolicy.load(folder)
    prompts = [user(text) for text in asked]
    found = [one for one in policy.answer(prompts, Decoding(ANSWER_TOKENS, 0.0, 0, 16_384)) if isinstance(one, Answer)]
    tokens = count_tokens(folder, [one.text for one in found])
    return [Answered(text, one.text, count, one.cut) for text, one, count in zip(asked, found, tokens, strict=True)]


def lessons(base: Path, habit: Habit, *, share: float = 1.0) -> list[tuple[str, str]]:
    """Return what is taught: *share* of the answers with the habit, the others as the policy gives them anyway."""
    own = [(one.asked, one.text) for one in answer_all(base, questions()[-TAUGHT_QUESTIONS:])]
    if habit.change is None:
        return [*islice(swayed(0), 3 * TAUGHT_QUESTIONS), *own[: TAUGHT_QUESTIONS // 4]]
    rng = Random(habit.name)
    return [(asked, habit.change(text) if rng.random() < share else text) for asked, text in own]


def teach(
    base: Path,
    folder: Path,
    taught: Sequence[tuple[str, str]],
    *,
    learning_rate: float,
    seed: int = 0,
    heard: Callable[[str], None] = lambda _line: None,
) -> float:
    """Write the policy in *base* that was taught *taught* into *folder*; return its last loss.

    The upper third of the layers learns, by the cross entropy of the answers.
    """
    encoder = load_policy_encoder(base, max_length=256)
    rows = [found for text, answer in taught if (found := encoder.encode(user(text), [answer])) is not None]
    model = load_policy(base, dtype=torch.float32, device="cpu").train()
    model.requires_grad_(False)
    layers = model.model.layers
    learning = [*layers[2 * len(layers) // 3 :], model.model.norm]
    for part in learning:
        part.requires_grad_(True)
    weights = [weight for part in learning for weight in part.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0)
    rng, loss = Random(seed), 0.0
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, (step + 1) / 4) * (1 - step / STEPS)
        with torch.autocast("cpu", torch.bfloat16, enabled=takes_bf16(base, torch.device("cpu"))):
            step_loss = _loss(model, rng.sample(rows, BATCH), encoder.pad_id)
        step_loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss = float(step_loss.detach())
        heard(f"step {step + 1} of {STEPS}, loss {loss:.3f}")
    with staged_folder(folder) as staging, quiet_transformers():
        model.to(kept_dtype(base)).save_pretrained(staging)
        for path in base.iterdir():
            if not (staging / path.name).exists():
                shutil.copyfile(path, staging / path.name)
    return loss


def _loss(model: Any, examples: Sequence[EncodedExample], pad_id: int) -> torch.Tensor:
    width = max(len(row.prompt) + len(row.answers[0]) for row in examples)
    ids, labels = torch.full((len(examples), width), pad_id), torch.full((len(examples), width), IGNORED)
    for place, row in enumerate(examples):
        whole = [*row.prompt, *row.answers[0]]
        ids[place, : len(whole)] = torch.tensor(whole)
        labels[place, len(row.prompt) : len(whole)] = torch.tensor(row.answers[0])
    found: torch.Tensor = model(input_ids=ids, attention_mask=(labels != IGNORED) | (ids != pad_id), labels=labels).loss
    return found
