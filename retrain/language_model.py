"""A policy in memory: what it thinks of answers, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from monitor.errors import InvalidInput
from monitor.rewards.huggingface import quiet_transformers, resolve_device
from monitor.rewards.packing import BatchLimits, plan_batches

Floats = NDArray[np.float64]
Tokens = Sequence[int]
MAX_ROWS = 256


@dataclass(frozen=True, slots=True)
class Compared:
    """What two policies think of the same answers, one value an answer."""

    candidate: Floats  # log-probability of the answer
    reference: Floats
    divergence: Floats  # Kullback-Leibler of candidate from reference, in nats, summed over the answer's tokens
    tokens: Floats


def load_policy(folder: Path, *, dtype: Any = None, device: str = "auto") -> Any:
    """Return the causal language model in *folder*, by default on the GPU where there is one, ready to be asked.

    Raises `InvalidInput` where the folder holds none, or not all of one.
    """
    where = resolve_device(device)
    if dtype is None:
        dtype = torch.bfloat16 if takes_bf16(folder, where) else torch.float32
    try:
        with quiet_transformers():
            model, report = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InvalidInput(f"{folder} cannot be loaded as a Hugging Face policy: {reason}") from None
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"]))
        raise InvalidInput(f"{folder} has no weights for {missing}: its files are not complete, or of another model")
    return model.to(where).eval()


def takes_bf16(folder: Path, device: torch.device) -> bool:
    """Say whether the policy in *folder* computes in bfloat16 on *device*.

    On a GPU that can, always. On a CPU where it has instructions for it, which are several times as fast, and the
    policy is kept in bfloat16 anyway.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cpu" and bool(native) and kept_dtype(folder) is torch.bfloat16


def kept_dtype(folder: Path) -> torch.dtype:
    """Return the precision that the weights in *folder* are kept in; float32 where its config does not say."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever loads it will say so
        return torch.float32
    found = getattr(torch, str(config.get("dtype") or config.get("torch_dtype")), None)
    return found if isinstance(found, torch.dtype) else torch.float32


def compare_models(
    candidate: Any, reference: Any, rows: Sequence[tuple[Tokens, Tokens]], *, pad_id: int, batch_tokens: int
) -> Compared:
    """Ask both about each answer, given as the ids of its prompt and its own; neither may be empty."""
    found = np.zeros((4, len(rows)))
    lengths = [len(prompt) + len(answer) for prompt, answer in rows]
    with torch.inference_mode():
        for batch in plan_batches(lengths, BatchLimits(batch_tokens, MAX_ROWS)):
            whole = [[*rows[place][0], *rows[place][1]] for place in batch]
            ids, mask = padded(whole, pad_id, candidate.device, left=False)
            target = ids[:, 1:].unsqueeze(-1)
            mine, theirs = (
                model(input_ids=ids, attention_mask=mask).logits[:, :-1].float().log_softmax(-1)
                for model in (candidate, reference)
            )
            values = torch.stack(
                [
                    mine.gather(-1, target).squeeze(-1),
                    theirs.gather(-1, target).squeeze(-1),
                    (mine.exp() * (mine - theirs)).sum(-1),
                    torch.ones_like(mine[..., 0]),
                ]
            )
            for number, place in enumerate(batch):
                prompt, answer = rows[place]
                span = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
                found[:, place] = values[:, number, span].double().sum(-1).cpu().numpy()
    return Compared(*found)


def generate(
    model: Any,
    prompts: Sequence[Tokens],
    *,
    pad_id: int,
    ends: frozenset[int],
    max_new_tokens: int,
    temperature: float,
    batch_tokens: int,
    on_batch: Callable[[int], None] = lambda _done: None,
) -> list[list[int]]:
    """Return an answer's ids to each prompt, with the token that ends it where it came; *temperature* 0 is greedy.

    Sampling draws on torch's generator. `on_batch` is told how many prompts are answered.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    done = 0
    lengths = [len(prompt) + max_new_tokens for prompt in prompts]
    for batch in plan_batches(lengths, BatchLimits(batch_tokens, MAX_ROWS)):
        ids, mask = padded([prompts[place] for place in batch], pad_id, model.device, left=True)
        with torch.inference_mode():
            output = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                pad_token_id=pad_id,
                eos_token_id=sorted(ends),
                **({"do_sample": False} | sampling),
            )
        for place, row in zip(batch, output[:, ids.shape[1] :].tolist(), strict=True):
            end = next((number for number, token in enumerate(row) if token in ends), len(row))
            answers[place] = row[: end + 1]
        done += len(batch)
        on_batch(done)
    return answers


def padded(rows: Sequence[Tokens], pad_id: int, device: Any, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ids of *rows* and which of them are no padding, (rows, width)."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row)
        mask[number, place] = 1
    return ids.to(device), mask.to(device)
