"""Asking for prompts' embeddings, where the settings want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.domain.trace import Message, prompt_of

Prompt = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Embedded:
    version: str  # of the model and of what was done to its vectors; those of two versions are never mixed
    vectors: NDArray[np.float16]  # (n, d); a row of NaN where there is none


class Embedder(Protocol):
    """Turns prompts into vectors; for one thread at a time."""

    def embed(self, prompts: Sequence[Prompt | None]) -> Embedded | None:
        """Return a row per prompt, NaN for None; None where it is not known yet how long a vector is.

        A row depends on the prompt alone, also whether there is one: what depended on the answer would tell of it.

        It never raises because a service is away: a trace is worth more than its embedding.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def texts_of(prompts: Sequence[Prompt | None]) -> dict[int, str]:
    """Return the texts that are not blank, by their place in *prompts*."""
    texts = {place: prompt_of(prompt) for place, prompt in enumerate(prompts) if prompt is not None}
    return {place: text for place, text in texts.items() if text and not text.isspace()}
