"""Preference pairs as TRL takes them: encoded once, drawn anew for each member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from monitor.errors import InvalidInput
from monitor.rewards.huggingface import RowEncoder
from retrain.bradley_terry import Floats, balance_lengths
from retrain.preferences import PreferencePair


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    dataset: Any  # columns chosen_ids and rejected_ids: TRL neither encodes nor filters such rows again
    weights: Floats  # a row
    dropped: int  # the tokenizer refused one side, or both sides read the same after truncation


def encode_pairs(
    pairs: Sequence[PreferencePair], encoder: RowEncoder, *, margin: float = 0.0, balanced: bool = False
) -> EncodedPairs:
    """Encode pairs as scoring does; what is too long loses its beginning and stays.

    *margin* is what the rewards of a pair that was preferred wholly must differ by to count as even. *balanced*: pairs
    are drawn so that those whose longer answer was chosen come as often as those with the shorter.
    """
    chosen = encoder.encode([(pair.messages, pair.chosen) for pair in pairs])
    rejected = encoder.encode([(pair.messages, pair.rejected) for pair in pairs])
    kept = [
        (one, other, pair)
        for one, other, pair in zip(chosen, rejected, pairs, strict=True)
        if one and other and one != other
    ]
    if not kept:
        raise InvalidInput(f"none of {len(pairs)} training pairs can be encoded so that its sides differ")
    columns: dict[str, list[Any]] = {
        "chosen_ids": [one for one, _, _ in kept],
        "rejected_ids": [other for _, other, _ in kept],
    }
    if margin:
        columns["margin"] = [margin * pair.strength for _, _, pair in kept]
    weights = weights_of([pair for _, _, pair in kept], balanced=balanced)
    return EncodedPairs(Dataset.from_dict(columns), weights, len(pairs) - len(kept))


def weights_of(pairs: Sequence[PreferencePair], *, balanced: bool) -> Floats:
    """Return how much each pair weighs in training, 1 in the mean."""
    margins = np.array([len(pair.chosen) - len(pair.rejected) for pair in pairs])
    return balance_lengths(margins > 0, margins < 0) if balanced else np.ones(len(pairs))


def draw_bootstrap(data: EncodedPairs, *, seed: int) -> Any:
    """Return as many rows, drawn with replacement by weight: what makes members differ where the data is thin."""
    rows = len(data.weights)
    shares = None if np.ptp(data.weights) == 0 else data.weights / data.weights.sum()
    drawn = np.random.default_rng(seed).choice(rows, size=rows, p=shares)
    return data.dataset.select(drawn)
