"""An ensemble as a server offers it: its members under names that change with what they are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monitor.rewards.classify import MODEL_LIMIT, ClassifyRequest, Conversation, Rejected
from monitor.runs.artifact import short_version

if TYPE_CHECKING:
    from collections import Counter

    from monitor.rewards.huggingface import HuggingFaceEnsemble, RowEncoder

Tokens = Sequence[list[int]]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A name that can be asked for, and the members whose mean it answers with."""

    id: str
    version: str  # of the content: another version is another model
    parent: str | None
    members: tuple[int, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """What the scoring thread needs: the tokens that each pass over the rows reads, by the pass's number."""

    model: ServedModel
    tokens: dict[int, Tokens]
    activation: bool

    @property
    def rows(self) -> int:
        return len(next(iter(self.tokens.values())))

    @property
    def token_count(self) -> int:
        return sum(len(ids) for rows in self.tokens.values() for ids in rows)

    @property
    def prompt_tokens(self) -> int:
        """As the first member's tokenizer counts them."""
        return sum(map(len, next(iter(self.tokens.values()))))


class ServedEnsemble:
    """Encodes for any thread, scores for one.

    The ensemble's *name* answers with the mean over its members. Member n is
    listed as "member-n@<start of its content's hash>" and answers to "member-n"
    too: whoever asks by the listed name is refused once another model is served.
    """

    def __init__(self, ensemble: HuggingFaceEnsemble, *, name: str, member_sha256: Sequence[str]) -> None:
        self._ensemble = ensemble
        self._encoders = ensemble.encoders
        self._lock = threading.Lock()
        self.passes = ensemble.passes
        numbers = tuple(number for members in self.passes for number in members)
        limits = [
            encoder.max_tokens for encoder, members in zip(self._encoders, self.passes, strict=True) for _ in members
        ]
        whole = ServedModel(name, ensemble.version, None, numbers, min(limits))
        versions = [short_version(sha256) for sha256 in member_sha256]
        members = [
            ServedModel(f"member-{number}@{version}", version, name, (number,), limit)
            for number, version, limit in zip(numbers, versions, limits, strict=True)
        ]
        self.models = (whole, *members)
        self._names = {f"member-{number}": model for number, model in enumerate(members)}
        self._names |= {model.id: model for model in self.models}

    @property
    def failures(self) -> Counter[str]:
        return self._ensemble.failures

    @property
    def batch_tokens(self) -> int:
        return self._ensemble.batch_tokens

    def encode(self, request: ClassifyRequest) -> EncodedRequest:
        """Return the tokens of a request; raise `Rejected` for what cannot be scored."""
        model = self.models[0] if request.model is None else self._names.get(request.model)
        if model is None:
            raise Rejected(f"The model `{request.model}` does not exist.", status=404, kind="NotFoundError")
        asked = {
            number: self._encoders[number]
            for number, members in enumerate(self.passes)
            if not set(members).isdisjoint(model.members)
        }
        encoded: dict[int, Tokens] = {}
        with self._lock:  # a tokenizer is for one thread at a time
            for encoder in {id(encoder): encoder for encoder in asked.values()}.values():
                encoded[id(encoder)] = _encode(encoder, request)
        tokens = {number: encoded[id(encoder)] for number, encoder in asked.items()}
        return EncodedRequest(model, tokens, request.activation)

    def score(self, number: int, tokens: Tokens) -> NDArray[np.float64]:
        """Score rows by the pass of that number, shape (its members, rows); NaN where it could not."""
        return self._ensemble.score_tokens(number, tokens)


def finish(request: EncodedRequest, scores: NDArray[np.float64]) -> list[float]:
    """Turn scores of shape (members, rows) into one value a row; raise `Rejected` where one is missing."""
    missing = np.argwhere(~np.isfinite(scores))
    if missing.size:
        member, row = missing[0]
        raise Rejected(f"member {request.model.members[member]} has no finite score for prompt {row}")
    values = scores.mean(axis=0)
    if request.activation:
        values = np.where(values >= 0, 1.0, np.exp(-np.abs(values))) / (1.0 + np.exp(-np.abs(values)))
    return [float(value) for value in values]


def _encode(encoder: RowEncoder, request: ClassifyRequest) -> Tokens:
    limit = encoder.max_tokens
    if request.truncate_to is not None and request.truncate_to != MODEL_LIMIT:
        if request.truncate_to > limit:
            raise Rejected(
                f"truncate_prompt_tokens is {request.truncate_to}: the model reads {limit} tokens at most",
                param="truncate_prompt_tokens",
            )
        limit = request.truncate_to
    rows = []
    for ids in _tokens(encoder, request.prompts):
        if len(ids) > limit and request.truncate_to is None:
            raise Rejected(
                f"This model's maximum context length is {limit} tokens. However, your prompt contains {len(ids)} "
                f"input tokens. (parameter=input_tokens, value={len(ids)})",
                param="input_tokens",
            )
        kept = encoder.truncate(ids, limit)
        _refuse_empty(kept)
        rows.append(kept)
    return rows


def _tokens(encoder: RowEncoder, prompts: Sequence[str] | Sequence[list[int]] | Conversation) -> Tokens:
    if isinstance(prompts, Conversation):
        return [_known(encoder.encode_turns([prompts.turns], generation_prompt=prompts.generation_prompt)[0])]
    vocabulary = len(encoder.tokenizer)
    rows: list[list[int]] = []
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if texts:
        for text in texts:
            _refuse_empty(text)
        return [_known(ids) for ids in encoder.encode_texts(texts)]
    for ids in prompts:
        assert not isinstance(ids, str)  # a request's prompts are of one kind
        if any(not 0 <= token < vocabulary for token in ids):
            raise Rejected("Token id is out of vocabulary", param="input")
        rows.append(ids)
    return rows


def _known(ids: list[int] | None) -> list[int]:
    if ids is None:
        raise Rejected("The prompt cannot be rendered or tokenized")
    return ids


def _refuse_empty(prompt: str | list[int]) -> None:
    if not prompt:
        raise Rejected("The decoder prompt cannot be empty")
