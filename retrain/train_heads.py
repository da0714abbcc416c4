"""Training heads on one backbone: its states are read once, and each head is a Bradley-Terry model on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from transformers import AutoConfig, AutoModel

from monitor.errors import InvalidInput
from monitor.rewards.huggingface import HuggingFaceEnsemble, Row, load_encoder, load_features, quiet_transformers
from monitor.rewards.huggingface_heads import answer_mark, save_heads
from monitor.runs.heads import BACKBONE_FOLDER, HeadsForm, parse_layers, write_form
from monitor.runs.spec import RunSpec
from retrain.bradley_terry import Floats, choose_ridge, fit_bradley_terry
from retrain.dataset import weights_of
from retrain.preferences import PreferencePair
from retrain.progress import Progress
from retrain.recipe import RewardRecipe
from retrain.split import group_pairs
from retrain.train_member import SEEDS_PER_RUN, train_members

COMPONENTS = 512  # directions in which pairs differ most; a head is fitted in them
_LENGTH_SCALE = 0.5  # of the answer's length, where all states together have a scale of one
_CHUNK_PAIRS = 2_048
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """What the heads read of the pairs that could be read."""

    differences: Singles  # (pairs, features): chosen less rejected, scaled
    scale: Floats  # (features): by which a difference of states was multiplied
    means: Floats  # (features), of all answers, unscaled
    pairs: tuple[PreferencePair, ...]


def train_heads(
    pairs: Sequence[PreferencePair], target: Path, *, spec: RunSpec, recipe: RewardRecipe, progress: Progress
) -> Mapping[str, int]:
    """Write heads and their backbone to *target*; return how many pairs each dimension's head learnt from."""
    backbone = target / BACKBONE_FOLDER
    _write_backbone(pairs, backbone, spec=spec, recipe=recipe, progress=progress)
    config = AutoConfig.from_pretrained(backbone, local_files_only=True).get_text_config()
    mark = answer_mark(load_encoder(backbone, max_tokens=recipe.max_length).tokenizer)
    form = HeadsForm(members=1, layers=parse_layers(recipe.layers, config.num_hidden_layers), answer_mark=mark)
    reader = load_features(
        backbone, form, device="auto", max_tokens=recipe.max_length, batch_tokens=recipe.evaluation_tokens
    )
    features = read_features(pairs, reader, read_length=recipe.read_length, progress=progress)
    weight, dimensions = fit_heads(features, recipe, seed=spec.seed * SEEDS_PER_RUN, progress=progress)
    write_form(
        target, HeadsForm(members=recipe.members, layers=form.layers, answer_mark=mark, dimensions=tuple(dimensions))
    )
    save_heads(target, torch.from_numpy(weight).float(), torch.from_numpy(-weight @ features.means).float())
    return dimensions


def read_features(
    pairs: Sequence[PreferencePair], reader: HuggingFaceEnsemble, *, read_length: bool, progress: Progress
) -> PairFeatures:
    """Read each answer's states once; raise `InvalidInput` where no pair can be read.

    Each state is scaled to a standard deviation of one over all answers, and all of them together to one.
    """
    kept, parts, totals, squares, answers = [], [], 0.0, 0.0, 0
    for some in _chunks(pairs):
        rows: dict[Row, int] = {}
        places = [[rows.setdefault((pair.messages, text), len(rows)) for text in _sides(pair)] for pair in some]
        states = reader.score_tokens(0, reader.encoders[0].encode(list(rows)))
        known = np.asarray(np.isfinite(states).all(axis=0))
        read = [(place, pair) for place, pair in zip(places, some, strict=True) if known[place].all()]
        chosen, rejected = (states[:, [place[side] for place, _ in read]].T for side in (0, 1))
        parts.append((chosen - rejected).astype(np.float32))
        kept += [pair for _, pair in read]
        totals, squares = totals + states[:, known].sum(axis=1), squares + (states[:, known] ** 2).sum(axis=1)
        answers += int(known.sum())
        progress.report(f"read {len(kept)} of {len(pairs)} pairs", done=len(kept), total=len(pairs), phase="preparing")
    if not kept:
        raise InvalidInput(f"none of {len(pairs)} training pairs can be read")
    means: Floats = np.asarray(totals / answers)
    spreads = np.sqrt(np.maximum(squares / answers - means**2, 0.0))
    scale = np.where(spreads > 1e-6, 1.0 / (np.maximum(spreads, 1e-6) * math.sqrt(len(spreads) - 1)), 0.0)
    scale[-1] *= _LENGTH_SCALE * math.sqrt(len(spreads) - 1) if read_length else 0.0
    return PairFeatures(np.concatenate(parts) * scale.astype(np.float32), scale, means, tuple(kept))


def fit_heads(
    features: PairFeatures, recipe: RewardRecipe, *, seed: int, progress: Progress
) -> tuple[Floats, dict[str, int]]:
    """Return the heads' weights on unscaled features, (members + dimensions, features), and the dimensions' pairs.

    Members differ by the draw of the groups they learn from, and by the features they may read. The ridge is chosen by
    cross-validation within the training pairs.
    """
    pairs = features.pairs
    groups = group_pairs(pairs)
    weights = weights_of(pairs, balanced=recipe.balance_lengths)
    margins = recipe.margin * np.array([pair.strength for pair in pairs])
    gram = features.differences.T @ features.differences
    whole = _components(gram, np.arange(len(gram)), limit=len(pairs))
    reduced = (features.differences @ whole).astype(np.float64)
    chosen = choose_ridge(reduced, groups, weights=weights, margins=margins)
    progress.report(f"ridge {chosen.ridge:g}: {chosen.accuracy:.3f} of the training pairs right, left out in turns")
    heads = []
    for number in range(recipe.members):
        random = np.random.default_rng(seed + number)
        drawn = weights * _draw_groups(groups, random)
        own, rotated = whole, reduced
        if recipe.feature_share < 1:
            read = np.sort(random.choice(len(gram), max(1, round(recipe.feature_share * len(gram))), replace=False))
            own = _components(gram, np.union1d(read, [len(gram) - 1]), limit=len(pairs))
            rotated = (features.differences @ own).astype(np.float64)
        heads.append(own @ fit_bradley_terry(rotated, ridge=chosen.ridge, weights=drawn, margins=margins))
        progress.report(
            f"head {number + 1} of {recipe.members}", done=number + 1, total=recipe.members, phase="training"
        )
    dimensions: dict[str, int] = {}
    for name, places, signs in judged_by_dimension(pairs, least=recipe.dimension_pairs):
        direction = fit_bradley_terry(reduced[places] * signs[:, None], ridge=chosen.ridge, weights=weights[places])
        heads.append(whole @ direction)
        dimensions[name] = len(places)
    return np.stack(heads) * features.scale, dimensions


def judged_by_dimension(
    pairs: Sequence[PreferencePair], *, least: int
) -> Iterator[tuple[str, NDArray[np.int64], Floats]]:
    """Yield each dimension by which *least* pairs were told apart: their places, and 1 where the chosen is better."""
    for name in sorted({name for pair in pairs for name in pair.dimensions}):
        values = np.array([pair.dimensions.get(name, 0.5) for pair in pairs])
        places = np.flatnonzero(values != 0.5)
        if len(places) >= least:
            yield name, places, np.sign(values[places] - 0.5)


def _write_backbone(
    pairs: Sequence[PreferencePair], target: Path, *, spec: RunSpec, recipe: RewardRecipe, progress: Progress
) -> None:
    """Save what the heads read by: the base model, as it is or after a training of its own."""
    with TemporaryDirectory(dir=target.parent) as staging:
        source = Path(spec.base_model)
        if recipe.backbone != "frozen":
            alone = recipe.model_copy(update={"kind": recipe.backbone, "members": 1})
            train_members(pairs, Path(staging), spec=spec, recipe=alone, progress=progress)
            source = Path(staging) / "member-0"
        with quiet_transformers():
            AutoModel.from_pretrained(source, local_files_only=True, dtype="auto").save_pretrained(target)
        load_encoder(source, max_tokens=recipe.max_length).tokenizer.save_pretrained(target)


def _components(gram: Any, read: NDArray[np.int64], *, limit: int) -> Singles:
    """Return the directions, (features, components), along which the pairs differ most in the features *read*."""
    wanted = min(COMPONENTS, len(read), limit)
    part = gram[np.ix_(read, read)].astype(np.float64)
    _, vectors = eigh(part, subset_by_index=(len(read) - wanted, len(read) - 1))
    directions = np.zeros((len(gram), wanted), dtype=np.float32)
    directions[read] = vectors
    return directions


def _draw_groups(groups: Sequence[int], random: np.random.Generator) -> Floats:
    """Return how often each item's group was drawn, in as many draws as there are groups."""
    names, places = np.unique(groups, return_inverse=True)
    counts = np.bincount(random.integers(0, len(names), size=len(names)), minlength=len(names))
    return counts[places].astype(np.float64)


def _sides(pair: PreferencePair) -> tuple[str, str]:
    return pair.chosen, pair.rejected


def _chunks(pairs: Sequence[PreferencePair]) -> Iterator[Sequence[PreferencePair]]:
    for start in range(0, len(pairs), _CHUNK_PAIRS):
        yield pairs[start : start + _CHUNK_PAIRS]
