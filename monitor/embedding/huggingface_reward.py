"""The reward model's own state at the end of the prompt, from the pass that scores the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.embedding.projection import Projection
from monitor.extra import needed
from monitor.observe.embedding import Embedded, Prompt
from monitor.rewards.huggingface import HuggingFaceEnsemble, Row, Watch
from monitor.rewards.rendering import turns_of

with needed("gpu", "ingest.embedding.backend = 'reward'"):
    import torch

PROBE: tuple[Message, ...] = (Message("user", "How do I boil an egg, and for how many minutes?"),)
TAIL_TOKENS = 3  # of a conversation with an empty answer: a mark of its end, and what an answer's beginning may change
SAME_RATIO = 1e-5  # of their length: states that differ by less differ by rounding alone


class RewardStates:
    """Embeds prompts by the first member of the reward ensemble; for one thread, and others take turns by *lock*.

    A backbone that reads from left to right does not know the answer at the end of the prompt, so
    its state there comes with the score. One that reads both ways does: it reads the prompt once
    more, without the answer, and the vector is the mean over the tokens. So is a prompt read that no
    pass began with. The vector, and whether there is one, never depends on the answer.
    """

    def __init__(
        self,
        current: Callable[[], HuggingFaceEnsemble | None],
        *,
        lock: threading.Lock,
        dimensions: int,
        on_missing: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._current = current
        self._lock = lock
        self._dimensions = dimensions
        self._on_missing = on_missing
        self._ensemble: HuggingFaceEnsemble | None = None
        self._one_way = False
        self._projection: Projection | None = None
        self._take: Watch = _pass_over
        self._known: dict[int, tuple[Prompt, NDArray[np.float32]]] = {}  # by the prompt's identity, while it is held

    def reward_model(self) -> RewardStates | None:
        """Return what scores as the champion does and keeps its states for `embed`; None without a champion."""
        ensemble = self._current()
        if ensemble is None:
            return None
        if ensemble is not self._ensemble:
            self._ensemble = ensemble
            ensemble.watch_states(lambda *told: self._take(*told))  # noqa: PLW0108 - it is another one each time
            self._probe(ensemble)
        return self

    def score(self, rows: Sequence[Row]) -> list[Reward | None]:
        """Score *rows* as the ensemble does."""
        ensemble = self._ensemble
        assert ensemble is not None
        self._known = {}
        if not self._one_way:
            with self._lock:
                return ensemble.score(rows)
        prompts = self._tokens(ensemble, [messages for messages, _ in rows])

        def take(states: torch.Tensor, batch: Sequence[int], ids: Sequence[list[int]]) -> None:
            begun = [
                (place, index, len(prompt) - 1)
                for place, index in enumerate(batch)
                if (prompt := prompts[index]) and ids[place][: len(prompt)] == prompt
            ]
            if not begun:
                return
            places, indices, ends = ([row[column] for row in begun] for column in range(3))
            for index, vector in zip(indices, states[places, ends].float().cpu().numpy(), strict=True):
                self._known[id(rows[index][0])] = rows[index][0], vector

        with self._taking(take):
            return ensemble.score(rows)

    def embed(self, prompts: Sequence[Prompt | None]) -> Embedded | None:
        ensemble, projection = self._ensemble, self._projection
        asked = [place for place, prompt in enumerate(prompts) if prompt]
        if ensemble is None or projection is None:
            if asked:
                self._on_missing(len(asked))
            return None
        vectors = np.full((len(prompts), projection.width), np.nan, np.float32)
        alone = []
        for place in asked:
            known = self._known.get(id(prompts[place]))
            if known is None:
                alone.append(place)
            else:
                vectors[place] = known[1]
        self._known = {}
        if alone:
            vectors[alone] = self._read(ensemble, self._tokens(ensemble, [prompts[place] or () for place in alone]))
        short = projection.apply(vectors)
        missing = int(np.isnan(short[asked]).any(axis=1).sum())
        if missing:
            self._on_missing(missing)
        kind = "end" if self._one_way else "mean"
        version = f"reward-{ensemble.version}/{kind}/{ensemble.encoders[0].max_tokens}/{projection.version}"
        return Embedded(version, short)

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self, ensemble: HuggingFaceEnsemble, prompts: Sequence[list[int] | None]) -> NDArray[np.float32]:
        """Return the vectors of prompts that are read by themselves; NaN where one cannot be."""
        assert self._projection is not None
        known = [place for place, prompt in enumerate(prompts) if prompt]
        tokens = [prompts[place] or [] for place in known]
        vectors = np.full((len(prompts), self._projection.width), np.nan, np.float32)

        def take(states: torch.Tensor, batch: Sequence[int], ids: Sequence[list[int]]) -> None:
            for place, index in enumerate(batch):
                read = states[place, : len(ids[place])].float()
                vectors[known[index]] = (read[-1] if self._one_way else read.mean(0)).cpu().numpy()

        with self._taking(take):
            ensemble.score_tokens(0, tokens)
        return vectors

    def _tokens(self, ensemble: HuggingFaceEnsemble, prompts: Sequence[Prompt]) -> list[list[int] | None]:
        """Return what the first member reads of *prompts*; a tokenizer is for one thread at a time too."""
        with self._lock:
            return prompt_tokens(ensemble, prompts)

    def _probe(self, ensemble: HuggingFaceEnsemble) -> None:
        """See how wide the states are, and whether what comes later changes those that came before.

        Where rounding alone does, a backbone that reads one way is taken for the other: that costs time and no more.
        """
        (prompt,) = self._tokens(ensemble, [PROBE])
        self._one_way, self._projection = False, None
        if not prompt:
            return
        half = len(prompt) // 2
        read: dict[int, torch.Tensor] = {}

        def take(states: torch.Tensor, batch: Sequence[int], _ids: Sequence[list[int]]) -> None:
            read.update({index: states[place].float() for place, index in enumerate(batch)})

        with self._taking(take):
            ensemble.score_tokens(0, [prompt, prompt[:half] + prompt[:1] * (len(prompt) - half)])
        if len(read) == 2:
            before = [read[index][:half] for index in (0, 1)]
            self._one_way = bool((before[0] - before[1]).norm() <= SAME_RATIO * before[0].norm())
            self._projection = Projection(read[0].shape[-1], self._dimensions)

    @contextmanager
    def _taking(self, take: Watch) -> Iterator[None]:
        with self._lock:
            self._take = take
            try:
                yield
            finally:
                self._take = _pass_over


def prompt_tokens(ensemble: HuggingFaceEnsemble, prompts: Sequence[Prompt]) -> list[list[int] | None]:
    """Return what the first member reads of each prompt before any answer; None for one that it cannot read."""
    encoder = ensemble.encoders[0]
    whole = encoder.encode_turns([turns_of(prompt, "") for prompt in prompts])
    return [encoder.truncate(ids[:-TAIL_TOKENS]) if ids and len(ids) > TAIL_TOKENS else None for ids in whole]


def _pass_over(_states: torch.Tensor, _batch: Sequence[int], _ids: Sequence[list[int]]) -> None:
    """Nobody wants the states."""
