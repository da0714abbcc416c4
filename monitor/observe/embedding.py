"""Asking for prompts' embeddings, where the settings want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Embedded:
    version: str  # of the model and of what was done to its vectors; those of two versions are never mixed
    vectors: NDArray[np.float16]  # (n, d); a row of NaN where there is none


class Embedder(Protocol):
    """Turns prompts into vectors; for one thread at a time."""

    def embed(self, prompts: Sequence[str | None]) -> Embedded | None:
        """Return a row per prompt, NaN for None; None where it is not known yet how long a vector is.

        It never raises because a service is away: a trace is worth more than its embedding.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
