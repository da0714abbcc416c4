"""Answers of a policy by its own folder: Transformers, in batches of prompts that are about as long."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from monitor.domain.trace import Message
from monitor.rewards.packing import BatchLimits, plan_batches
from retrain.chat import EncodedExample, PolicyEncoder, load_policy_encoder
from retrain.language_model import load_policy, padded

Prompt = Sequence[Message]
MOST_ROWS = {"cuda": 128, "cpu": 32}  # in a batch; a CPU gains nothing by more, and waits for the longest of them
MOST_ROOM = 3  # quarters of what the policy can read that an answer may take; the prompt keeps the rest
READ_TOKENS = 2_048  # padded, in a forward pass that reads: its logits are as wide as the vocabulary
LEAST_DRAWN = 2.0**-24  # an exponential of 32 bits may be 0, which would choose its token whatever the policy says
_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class Decoding:
    """How both sides answer."""

    max_new_tokens: int
    temperature: float  # 0: the likeliest token each time
    seed: int
    batch_tokens: int  # of prompts and answers, padded; what is in memory at once


@dataclass(frozen=True, slots=True)
class Answer:
    text: str  # markers that leaked into it included
    cut: bool  # it did not end within the limit


@dataclass(frozen=True, slots=True)
class Unanswered:
    reason: str
    failed: bool = True  # False: the prompt alone is at fault


class TransformersPolicy:
    """A causal language model with its chat template; for one thread at a time."""

    def __init__(self, model: Any, encoder: PolicyEncoder) -> None:
        self._model = model
        self._encoder = encoder

    @classmethod
    def load(cls, folder: Path) -> TransformersPolicy:
        """Load the policy in *folder*, on a GPU where there is one; raise `InvalidInput` where it holds none."""
        gc.collect()  # a policy before it, and what it held on a GPU
        model = load_policy(folder)
        encoder = load_policy_encoder(folder, max_length=_NO_LIMIT)
        # What a folder proposes for decoding (sampling, penalties) would make two sides answer in two ways.
        model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=sorted(encoder.ends), pad_token_id=encoder.pad_id
        )
        return cls(model, encoder)

    def answer(
        self, prompts: Sequence[Prompt], decoding: Decoding, heard: Callable[[int], None] = lambda _done: None
    ) -> list[Answer | Unanswered]:
        """Return each prompt's answer, in order; *heard* is told how many are done.

        A prompt that leaves no room for an answer loses its beginning; three quarters are an answer's at most. A
        sampled answer's chance is drawn from the seed and the prompt's number alone. Answers do not depend on those
        they are generated with, beyond rounding.
        """
        room = min(decoding.max_new_tokens, MOST_ROOM * self._encoder.max_tokens // 4)
        encoded = [self._encoder.prompt(prompt, room=room) for prompt in prompts]
        known = {number: ids for number, ids in enumerate(encoded) if ids}
        found: list[Answer | Unanswered] = [Unanswered("the chat template refuses it", failed=False)] * len(prompts)
        rows = MOST_ROWS.get(self._model.device.type, 1)
        numbers, done = list(known), len(prompts) - len(known)
        lengths = [len(known[number]) + room for number in numbers]
        waiting = [
            [numbers[place] for place in batch]
            for batch in plan_batches(lengths, BatchLimits(decoding.batch_tokens, rows))
        ]
        while waiting:
            batch = waiting.pop(0)
            try:
                answers = list(self._generate([known[number] for number in batch], batch, decoding, room=room))
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
        encoded = [self._encoder.encode(messages, [response]) for messages, response in rows]
        known = {number: example for number, example in enumerate(encoded) if example is not None}
        found: list[tuple[float, int] | None] = [None] * len(rows)
        numbers = list(known)
        lengths = [len(known[number].prompt) + len(known[number].answers[0]) for number in numbers]
        for batch in plan_batches(lengths, BatchLimits(READ_TOKENS, READ_TOKENS)):
            chosen = [numbers[place] for place in batch]
            for number, nats in zip(chosen, self._read([known[number] for number in chosen]), strict=True):
                found[number] = (nats, len(known[number].answers[0]))
        return found

    def _generate(
        self, rows: Sequence[list[int]], numbers: Sequence[int], decoding: Decoding, *, room: int
    ) -> Iterator[Answer]:
        ids, mask = padded(rows, self._encoder.pad_id, self._model.device, left=True)
        noise = [OwnNoise(decoding, numbers, self._encoder.ends)] if decoding.temperature > 0.0 else []
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=room,
                logits_processor=LogitsProcessorList(noise),
            )
        for generated in output[:, ids.shape[1] :].tolist():
            end = next((place for place, token in enumerate(generated) if token in self._encoder.ends), None)
            text = self._encoder.tokenizer.decode(
                generated[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            yield Answer(text, cut=end is None)

    def _read(self, examples: Sequence[EncodedExample]) -> list[float]:
        """Return each answer's nats a token."""
        rows = [[*example.prompt, *example.answers[0]] for example in examples]
        ids, mask = padded(rows, self._encoder.pad_id, self._model.device, left=False)
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask).logits
            spans = [(len(example.prompt), len(row)) for example, row in zip(examples, rows, strict=True)]
            return [
                float(torch.nn.functional.cross_entropy(logits[n, start - 1 : stop - 1].float(), ids[n, start:stop]))
                for n, (start, stop) in enumerate(spans)
            ]


class OwnNoise(LogitsProcessor):  # type: ignore[misc]
    """Makes the largest logit a draw at the temperature: Gumbel noise, from a generator of each row's own.

    A row that has ended draws no more: what follows is padding. For one call of `generate`.
    """

    def __init__(self, decoding: Decoding, numbers: Sequence[int], ends: Collection[int]) -> None:
        self._temperature = decoding.temperature
        self._ends = torch.tensor(sorted(ends))
        self._draws = dict(enumerate(np.random.default_rng((decoding.seed, number)) for number in numbers))
        self._drawn: NDArray[np.float32] | None = None

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._drawn is None:
            self._drawn = np.ones(tuple(scores.shape), np.float32)
        else:  # the last id of the first call is the prompt's
            for row in torch.isin(ids[:, -1].cpu(), self._ends).nonzero().flatten().tolist():
                self._draws.pop(row, None)
        for row, draw in self._draws.items():
            draw.standard_exponential(dtype=np.float32, out=self._drawn[row])
        np.maximum(self._drawn, LEAST_DRAWN, out=self._drawn)
        return scores.float() / self._temperature - torch.from_numpy(self._drawn).to(scores.device).log()


def count_tokens(folder: Path, texts: Sequence[str]) -> list[int]:
    """Return how many tokens each text is to the policy in *folder*."""
    if not texts:
        return []
    tokenizer = load_policy_encoder(folder, max_length=_NO_LIMIT).tokenizer
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]
