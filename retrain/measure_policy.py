"""What a trained policy makes of the examples that were held out, beside the policy it began as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retrain.chat import PolicyEncoder
from retrain.language_model import Floats, compare_models, generate, load_policy
from retrain.metrics import wilson_interval
from retrain.policy_data import HeldOut
from retrain.policy_recipe import DpoRecipe, KtoRecipe
from retrain.progress import Progress

_COMPARED_SHARE = 8  # whole distributions of two models at once: an eighth of the tokens that one pass takes


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far scores of held-out answers agree with what people said of them.

    Of pairs, the share whose chosen answer scores more. Of thumbs, the share of an answer with thumb up and one with
    thumb down, over all such pairs, in which the first scores more. Equal scores count half.
    """

    accuracy: float
    lower: float  # 95% interval
    upper: float
    by_cohort: dict[str, float] = field(default_factory=dict)
    examples_by_cohort: dict[str, int] = field(default_factory=dict)
    margin: float = 0.0  # mean score of the better answers less that of the others


@dataclass(frozen=True, slots=True)
class PolicyMeasures:
    after: Agreement  # of implicit rewards
    before: Agreement  # of the reference's log-probabilities
    kl: float  # nats a token
    length_change: float | None  # mean log ratio of generated tokens


def agree_on_pairs(chosen: Floats, rejected: Floats, cohorts: Sequence[str]) -> Agreement:
    """Return the agreement of scores of pairs, with Wilson's interval."""
    margins = chosen - rejected
    right = np.where(margins > 0, 1.0, np.where(margins < 0, 0.0, 0.5))
    lower, upper = wilson_interval(float(right.sum()), len(right))
    names, of = np.unique(np.asarray(cohorts), return_inverse=True)
    return Agreement(
        float(right.mean()),
        lower,
        upper,
        {str(name): float(right[of == number].mean()) for number, name in enumerate(names)},
        {str(name): int((of == number).sum()) for number, name in enumerate(names)},
        float(margins.mean()),
    )


def agree_on_thumbs(scores: Floats, desirable: Sequence[bool], cohorts: Sequence[str]) -> Agreement:
    """Return the agreement of scores of single answers, both kinds of which there must be.

    The interval is Wilson's on as many trials as there are answers of the rarer kind: the share's variance is never
    larger than that of so many (Birnbaum and Klose 1957).
    """
    up = np.asarray(desirable, dtype=bool)
    names, of = np.unique(np.asarray(cohorts), return_inverse=True)
    accuracy = _share_above(scores[up], scores[~up])
    trials = int(min(up.sum(), (~up).sum()))
    lower, upper = wilson_interval(accuracy * trials, trials)
    both = [n for n in range(len(names)) if 0 < up[of == n].sum() < (of == n).sum()]
    return Agreement(
        accuracy,
        lower,
        upper,
        {str(names[n]): _share_above(scores[(of == n) & up], scores[(of == n) & ~up]) for n in both},
        {str(name): int((of == number).sum()) for number, name in enumerate(names)},
        float(scores[up].mean() - scores[~up].mean()),
    )


def measure_policy(
    candidate: Path,
    reference: Path,
    held_out: Sequence[HeldOut],
    *,
    recipe: DpoRecipe | KtoRecipe,
    encoder: PolicyEncoder,
    seed: int,
    progress: Progress,
) -> PolicyMeasures:
    """Measure the policy in *candidate*, as it is kept on the disk, against the one it was trained from."""
    progress.report(f"measures {len(held_out)} held-out examples", phase="evaluating")
    exact = None if torch.cuda.is_available() else torch.float32  # a light training moves the last digits alone
    models = load_policy(candidate, dtype=exact), load_policy(reference, dtype=exact)
    rows = [(item.example.prompt, answer) for item in held_out for answer in item.example.answers]
    found = compare_models(
        *models, rows, pad_id=encoder.pad_id, batch_tokens=max(recipe.evaluation_tokens // _COMPARED_SHARE, 1)
    )
    per = found.tokens if recipe.by_token else np.ones_like(found.tokens)
    cohorts = [item.cohort for item in held_out]

    def agree(scores: Floats) -> Agreement:
        if isinstance(recipe, DpoRecipe):
            return agree_on_pairs(scores[0::2], scores[1::2], cohorts)
        return agree_on_thumbs(scores, [bool(item.desirable) for item in held_out], cohorts)

    change = (
        _length_change(models, held_out, recipe, encoder, seed=seed, progress=progress)
        if recipe.length_prompts
        else None
    )
    return PolicyMeasures(
        after=agree(recipe.beta * (found.candidate - found.reference) / per),
        before=agree(found.reference / per),
        kl=float(found.divergence.sum() / found.tokens.sum()),
        length_change=change,
    )


def _share_above(better: Floats, other: Floats) -> float:
    below = np.searchsorted(np.sort(other), better, side="left") + np.searchsorted(np.sort(other), better, side="right")
    return float(below.sum() / (2 * len(better) * len(other)))


def _length_change(
    models: tuple[Any, Any],
    held_out: Sequence[HeldOut],
    recipe: DpoRecipe | KtoRecipe,
    encoder: PolicyEncoder,
    *,
    seed: int,
    progress: Progress,
) -> float:
    """Return the mean log ratio of the tokens that candidate and reference sample in answer to held-out prompts."""
    prompts = list(dict.fromkeys(tuple(item.example.prompt) for item in held_out))[: recipe.length_prompts]
    lengths = []
    for model in models:
        torch.manual_seed(seed)
        answers = generate(
            model,
            prompts,
            pad_id=encoder.pad_id,
            ends=encoder.ends,
            max_new_tokens=recipe.max_new_tokens,
            temperature=1.0,
            batch_tokens=recipe.evaluation_tokens,
        )
        lengths.append(np.log([max(len(answer), 1) for answer in answers]))
        progress.report(
            f"answered {len(answers)} held-out prompts: {np.exp(lengths[-1].mean()):.1f} tokens, geometric mean"
        )
    return float((lengths[0] - lengths[1]).mean())
