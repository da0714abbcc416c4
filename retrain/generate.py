"""Answers of a policy by its own folder: Transformers in batches of prompts that are about as long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessor, LogitsProcessorList

from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.rewards.huggingface import RowEncoder, choose_pad_id, load_encoder, quiet_transformers, resolve_device
from monitor.rewards.packing import BatchLimits, plan_batches

Prompt = Sequence[Message]
MOST_ROWS = 64  # in a batch that is generated
READ_TOKENS = 2_048  # padded, in a forward pass that reads: its logits are as wide as the vocabulary
_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class Decoding:
    """How both sides answer."""

    max_new_tokens: int
    temperature: float  # 0: the likeliest token each time
    seed: int
    batch_tokens: int  # prompt and answer, padded; what is in memory at once


@dataclass(frozen=True, slots=True)
class Answer:
    text: str  # markers that leaked into it included
    cut: bool  # it did not end within the limit


@dataclass(frozen=True, slots=True)
class Unanswered:
    reason: str
    failed: bool = True  # False: the prompt alone is at fault


class HuggingFacePolicy:
    """A causal language model with its chat template; for one thread at a time."""

    def __init__(self, model: Any, encoder: RowEncoder, *, stops: Sequence[int], pad_id: int) -> None:
        self._model = model
        self._encoder = encoder
        self._stops = frozenset(stops)
        self._end = encoder.tokenizer.eos_token_id if encoder.tokenizer.eos_token_id is not None else min(stops)
        self._pad_id = pad_id

    def answer(
        self, prompts: Sequence[Prompt], decoding: Decoding, heard: Callable[[int], None] = lambda _done: None
    ) -> list[Answer | Unanswered]:
        """Return each prompt's answer, in order; *heard* is told how many are done.

        A sampled answer's chance is drawn from the seed and the prompt's number alone. Answers do not depend on those
        they are generated with, beyond rounding.
        """
        asked = self._encode(prompts)
        room = self._encoder.max_tokens - decoding.max_new_tokens
        found: list[Answer | Unanswered] = [Unanswered("the chat template refuses it", failed=False)] * len(prompts)
        known: dict[int, list[int]] = {}
        for number, ids in enumerate(asked):
            if ids is not None and len(ids) > room:
                found[number] = Unanswered(f"its {len(ids)} tokens leave no room for an answer", failed=False)
            elif ids:
                known[number] = ids
        waiting = self._plan(known, list(known), decoding.max_new_tokens, decoding.batch_tokens)
        done = len(prompts) - len(known)
        while waiting:
            batch = waiting.pop(0)
            try:
                answers = self._generate([known[number] for number in batch], batch, decoding)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                torch.cuda.empty_cache()
                waiting[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
                continue
            for number, answer in zip(batch, answers, strict=True):
                found[number] = answer
            done += len(batch)
            heard(done)
        return found

    def read(self, rows: Sequence[tuple[Prompt, str]]) -> list[tuple[float, int] | None]:
        """Return the nats a token of each response and its tokens, the end counted; None where it cannot be read."""
        asked = self._encode([messages for messages, _ in rows])
        said = (
            self._encoder.tokenizer([text for _, text in rows], add_special_tokens=False)["input_ids"] if rows else []
        )
        known = {
            number: (len(before), [*before, *after, self._end])
            for number, (before, after) in enumerate(zip(asked, said, strict=True))
            if before and len(before) + len(after) < self._encoder.max_tokens
        }
        found: list[tuple[float, int] | None] = [None] * len(rows)
        numbers = list(known)
        for batch in plan_batches([len(known[number][1]) for number in numbers], BatchLimits(READ_TOKENS, MOST_ROWS)):
            chosen = [numbers[place] for place in batch]
            for number, nats in zip(chosen, self._read([known[number] for number in chosen]), strict=True):
                found[number] = (nats, len(known[number][1]) - known[number][0])
        return found

    def _encode(self, prompts: Sequence[Prompt]) -> list[list[int] | None]:
        turns = [[{"role": message.role, "content": message.content} for message in prompt] for prompt in prompts]
        return self._encoder.encode_turns(turns, generation_prompt=True)

    @staticmethod
    def _plan(known: dict[int, list[int]], numbers: list[int], more: int, tokens: int) -> list[list[int]]:
        lengths = [len(known[number]) + more for number in numbers]
        return [[numbers[place] for place in batch] for batch in plan_batches(lengths, BatchLimits(tokens, MOST_ROWS))]

    def _generate(self, rows: Sequence[list[int]], numbers: Sequence[int], decoding: Decoding) -> Iterator[Answer]:
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self._pad_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for place, row in enumerate(rows):  # on the left, so that every row goes on at the same column
            ids[place, width - len(row) :] = torch.tensor(row)
            mask[place, width - len(row) :] = 1
        noise = [_OwnNoise(decoding, numbers)] if decoding.temperature > 0.0 else []
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                max_new_tokens=decoding.max_new_tokens,
                logits_processor=LogitsProcessorList(noise),
            )
        return (self._answer(row) for row in output[:, width:].tolist())

    def _answer(self, generated: list[int]) -> Answer:
        end = next((place for place, token in enumerate(generated) if token in self._stops), None)
        text = self._encoder.tokenizer.decode(
            generated[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return Answer(text, cut=end is None)

    def _read(self, rows: Sequence[tuple[int, list[int]]]) -> list[float]:
        """Return each row's nats a token, over what stands after its prompt."""
        width = max(len(row) for _, row in rows)
        ids = torch.full((len(rows), width), self._pad_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for place, (_, row) in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        device = self._model.device
        with torch.inference_mode():
            logits = self._model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            return [
                float(
                    torch.nn.functional.cross_entropy(
                        logits[place, asked - 1 : len(row) - 1].float(), ids[place, asked : len(row)].to(device)
                    )
                )
                for place, (asked, row) in enumerate(rows)
            ]


class _OwnNoise(LogitsProcessor):  # type: ignore[misc]
    """Makes the largest logit a draw at the temperature: Gumbel noise, from a generator of each row's own."""

    def __init__(self, decoding: Decoding, numbers: Sequence[int]) -> None:
        self._temperature = decoding.temperature
        states = [np.random.SeedSequence((decoding.seed, number)).generate_state(1, np.uint64) for number in numbers]
        self._draws = [torch.Generator().manual_seed(int(state[0] >> np.uint64(1))) for state in states]

    def __call__(self, _ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        drawn = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=draw) for draw in self._draws])
        return scores.float() / self._temperature - drawn.to(scores.device).log()


def count_tokens(folder: Path, texts: Sequence[str]) -> list[int]:
    """Return how many tokens each text is to the policy in *folder*."""
    tokenizer = load_encoder(folder, max_tokens=_NO_LIMIT).tokenizer
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def load_policy(folder: Path) -> HuggingFacePolicy:
    """Load the policy in *folder*, on a GPU where there is one; raise `InvalidInput` naming what is wrong with it."""
    device = resolve_device("auto")
    dtype = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    try:
        encoder = load_encoder(folder, max_tokens=_NO_LIMIT)
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise InvalidInput(f"{folder} cannot be loaded as a Hugging Face causal language model: {reason}") from None
    if encoder.tokenizer.chat_template is None:
        raise InvalidInput(f"{folder}: its tokenizer has no chat template, by which a policy is asked")
    named = model.generation_config.eos_token_id
    stops = {*(named if isinstance(named, list) else [named]), encoder.tokenizer.eos_token_id} - {None}
    if not stops:
        raise InvalidInput(f"{folder} names no end token: set eos_token_id in its generation_config.json")
    pad_id = choose_pad_id(folder, model.config, encoder.tokenizer)
    # What a folder proposes for decoding (sampling, penalties) would make two sides answer in two ways.
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=sorted(stops), pad_token_id=pad_id)
    return HuggingFacePolicy(model.to(device).eval(), encoder, stops=sorted(stops), pad_id=pad_id)
