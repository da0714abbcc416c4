"""Preference pairs as TRL takes them: encoded once, drawn anew for each member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from monitor.errors import InvalidInput
from monitor.rewards.huggingface import RowEncoder
from retrain.preferences import PreferencePair


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    dataset: Any  # columns chosen_ids and rejected_ids: TRL neither encodes nor filters such rows again
    dropped: int  # the tokenizer refused one side, or both sides read the same after truncation


def encode_pairs(pairs: Sequence[PreferencePair], encoder: RowEncoder) -> EncodedPairs:
    """Encode pairs as scoring does; what is too long loses its beginning and stays."""
    chosen = encoder.encode([(pair.messages, pair.chosen) for pair in pairs])
    rejected = encoder.encode([(pair.messages, pair.rejected) for pair in pairs])
    kept = [(one, other) for one, other in zip(chosen, rejected, strict=True) if one and other and one != other]
    if not kept:
        raise InvalidInput(f"none of {len(pairs)} training pairs can be encoded so that its sides differ")
    columns = {"chosen_ids": [one for one, _ in kept], "rejected_ids": [other for _, other in kept]}
    return EncodedPairs(Dataset.from_dict(columns), len(pairs) - len(kept))


def draw_bootstrap(dataset: Any, *, seed: int) -> Any:
    """Return as many rows, drawn with replacement: what makes members differ where the data is thin."""
    rows = len(dataset)
    return dataset.select(np.random.default_rng(seed).integers(0, rows, size=rows))
