"""Pairs of today's policy's own answers, which the reward models rank where they are sure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from monitor.domain.cohort import UNLABELLED
from monitor.domain.score import Reward
from monitor.rewards.huggingface import load_ensemble
from monitor.runs.evidence import SampledPair
from monitor.runs.policy import PolicyInputs
from monitor.runs.spec import RunSpec
from retrain.chat import PolicyEncoder
from retrain.language_model import generate, load_policy
from retrain.policy_recipe import DpoRecipe
from retrain.preferences import PreferencePair, parse_messages, parse_text, read_rows
from retrain.progress import Progress
from retrain.replay import NEVER, load_replay, untaught
from retrain.split import drop_tied

_SCORED_TOKENS = 2_048
_BATCH_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class Ranked:
    """Two answers to one prompt, and by how much the ensemble's lower bound puts the first above the second."""

    chosen: int
    rejected: int
    mean: float
    lower: float


@dataclass(frozen=True, slots=True)
class OnPolicyPairs:
    pairs: tuple[PreferencePair, ...]
    evidence: tuple[Mapping[str, object], ...]  # each pair as it was made, a row each
    line: str  # what became of the prompts, for people


def rank_answers(rewards: Sequence[Reward | None], texts: Sequence[str], *, beta: float) -> Ranked | None:
    """Return the two answers that the ensemble tells apart most surely; None where its uncertainty spans them all.

    The lower bound lies *beta* standard deviations over members below the mean margin. Equal texts are no pair.
    """
    found = []
    for one, other in itertools.permutations(range(len(texts)), 2):
        mine, theirs = rewards[one], rewards[other]
        if mine is None or theirs is None or texts[one] == texts[other] or not texts[one] or not texts[other]:
            continue
        margins = mine.margins(theirs)
        mean = sum(margins) / len(margins)
        spread = math.sqrt(sum((margin - mean) ** 2 for margin in margins) / len(margins))
        found.append(Ranked(one, other, mean, mean - beta * spread))
    best = max(found, key=lambda ranked: ranked.lower, default=None)
    return best if best is not None and best.lower > 0 else None


def most_by_models(by_people: int, ratio: float) -> int:
    """Return how many pairs by models make at most *ratio* of all beside those *by_people*."""
    return int(by_people * ratio / (1 - ratio) + 1e-9)


def sample_pairs(
    spec: RunSpec,
    recipe: DpoRecipe,
    encoder: PolicyEncoder,
    *,
    train: Sequence[PreferencePair],
    held_out: Sequence[PreferencePair],
    progress: Progress,
) -> OnPolicyPairs:
    """Let the policy that is trained answer the prompts that were asked for, and rank its answers.

    Prompts like those held out, or like those that the gate asks both policies, are left out.
    """
    inputs = spec.policy
    most = most_by_models(sum(pair.by_people for pair in train), recipe.on_policy_ratio)
    if inputs is None or inputs.asked is None or not most:
        return OnPolicyPairs((), (), "")
    asked = tuple(_prompts(Path(inputs.asked.path)))
    replayed = untaught(load_replay(inputs.replay), train)[: inputs.replayed or None]
    free = drop_tied(asked, [*held_out, *(row.prompt for row in replayed)])
    encoded = [(prompt, encoder.prompt(prompt.messages, room=recipe.max_new_tokens)) for prompt in free]
    usable = [(prompt, ids) for prompt, ids in encoded if ids]
    answers = _sample(spec, recipe, encoder, [ids for _, ids in usable], progress=progress)
    rewards = _score(inputs, spec, [prompt for prompt, _ in usable], answers)
    ranked = [rank_answers(one, texts, beta=inputs.lower_beta) for one, texts in zip(rewards, answers, strict=True)]
    sure = [
        (prompt, texts, found)
        for (prompt, _), texts, found in zip(usable, answers, ranked, strict=True)
        if found is not None
    ]
    kept = sorted(sure, key=lambda item: -item[2].lower)[:most]
    line = (
        f"on-policy: {len(asked)} prompts, {len(asked) - len(free)} like held-out or replayed ones,"
        f" {len(free) - len(usable)} not readable, {len(usable) - len(sure)} within the ensemble's uncertainty,"
        f" {len(sure) - len(kept)} above the cap of {most}: {len(kept)} pairs that models alone judged"
    )
    progress.report(line)
    return OnPolicyPairs(
        tuple(_pair(prompt, texts[found.chosen], texts[found.rejected]) for prompt, texts, found in kept),
        tuple(_evidence(prompt, texts, found) for prompt, texts, found in kept),
        line,
    )


def _prompts(path: Path) -> Iterator[PreferencePair]:
    """Yield each row's prompt as a pair without answers."""
    for where, row in read_rows(path):
        name = parse_text(row, "trace_id", where)
        yield PreferencePair(
            preference_id=name,
            conversation_id=row.get("conversation_id"),
            messages=parse_messages(row, where),
            chosen="",
            rejected="",
            cohort=row.get("cohort") or UNLABELLED,
            timestamp=NEVER,
            by_people=False,
        )


def _sample(
    spec: RunSpec, recipe: DpoRecipe, encoder: PolicyEncoder, prompts: Sequence[list[int]], *, progress: Progress
) -> list[list[str]]:
    """Return the answers to each prompt, `samples_per_prompt` of them."""
    count = recipe.samples_per_prompt
    repeated = [ids for ids in prompts for _ in range(count)]
    model = load_policy(Path(spec.base_model))
    torch.manual_seed(spec.seed)
    said = generate(
        model,
        repeated,
        pad_id=encoder.pad_id,
        ends=encoder.ends,
        max_new_tokens=recipe.max_new_tokens,
        temperature=recipe.temperature,
        batch_tokens=recipe.evaluation_tokens,
        on_batch=lambda done: progress.report(f"sampled {done} of {len(repeated)} answers", phase="sampling"),
    )
    texts = [encoder.decode(ids) for ids in said]
    return [texts[start : start + count] for start in range(0, len(texts), count)]


def _score(
    inputs: PolicyInputs, spec: RunSpec, prompts: Sequence[PreferencePair], answers: Sequence[Sequence[str]]
) -> list[list[Reward | None]]:
    ensemble = load_ensemble(
        [Path(inputs.scorer.path)],
        device="auto",
        max_tokens=spec.scored_tokens or _SCORED_TOKENS,
        batch_tokens=_BATCH_TOKENS,
        beta=0.0,  # margins have a bound of their own
        version=inputs.scorer.version,
    )
    rows = [(prompt.messages, text) for prompt, texts in zip(prompts, answers, strict=True) for text in texts]
    rewards = iter(ensemble.score(rows))
    return [[next(rewards) for _ in texts] for texts in answers]


def _pair(prompt: PreferencePair, chosen: str, rejected: str) -> PreferencePair:
    return PreferencePair(
        preference_id=f"on-policy {prompt.preference_id}",
        conversation_id=prompt.conversation_id,
        messages=prompt.messages,
        chosen=chosen,
        rejected=rejected,
        cohort=prompt.cohort,
        timestamp=prompt.timestamp,
        by_people=False,
    )


def _evidence(prompt: PreferencePair, texts: Sequence[str], found: Ranked) -> Mapping[str, object]:
    pair = SampledPair(
        trace_id=prompt.preference_id,
        messages=prompt.messages,
        cohort=prompt.cohort,
        chosen=texts[found.chosen],
        rejected=texts[found.rejected],
        margin=found.mean,
        margin_lower=found.lower,
    )
    row: Mapping[str, object] = msgspec.to_builtins(pair)
    return row
