"""What a policy learns from and is measured by: examples as token ids, split without a leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor.errors import InvalidInput
from monitor.runs.spec import RunSpec
from retrain.chat import EncodedExample, PolicyEncoder
from retrain.feedback import balance_weights, load_thumbs, split_thumbs
from retrain.on_policy import sample_pairs
from retrain.policy_recipe import DpoRecipe, KtoRecipe
from retrain.preferences import PreferencePair, load_pairs
from retrain.progress import Progress
from retrain.split import split_pairs

_WATCHED_SEED = 1  # added to the split's: the pairs that are watched are others than those held out
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SplitExamples:
    """What a policy learns from, and what it is measured by: pairs, or answers with a thumb."""

    train: tuple[PreferencePair, ...]
    held_out: tuple[PreferencePair, ...]
    desirable: Mapping[str, bool] = field(default_factory=dict)  # of answers with a thumb, by their id


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An example that the training does not see. A pair has its chosen answer first; a thumb has one answer."""

    example: EncodedExample
    cohort: str
    desirable: bool | None  # None: a pair


@dataclass(frozen=True, slots=True)
class PolicyData:
    train: Sequence[Row]  # as TRL's trainers take them
    watched: Sequence[Row]
    by_models: int
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    evidence: Sequence[Mapping[str, object]] = field(default_factory=tuple)  # of the pairs that models judged


def split_examples(spec: RunSpec, recipe: DpoRecipe | KtoRecipe) -> SplitExamples:
    """Part what is learnt from and what is held out, always in the same way."""
    if isinstance(recipe, DpoRecipe):
        pairs = load_pairs(spec.preferences).pairs
        split = split_pairs(pairs, held_out_ratio=recipe.held_out_ratio, seed=recipe.split_seed)
        return SplitExamples(split.train, split.held_out)
    if spec.policy is None or spec.policy.feedback is None:
        raise InvalidInput("policy.feedback = None: kto learns from answers with a thumb; wanted their file")
    thumbs = load_thumbs(spec.policy.feedback)
    parted = split_thumbs(thumbs, held_out_ratio=recipe.held_out_ratio, seed=recipe.split_seed)
    train, held_out = (tuple(thumb.answer for thumb in side) for side in (parted.train, parted.held_out))
    return SplitExamples(train, held_out, {thumb.answer.preference_id: thumb.desirable for thumb in thumbs})


def hold_out(examples: SplitExamples, encoder: PolicyEncoder) -> tuple[HeldOut, ...]:
    """Return the examples to measure by; raise `InvalidInput` where none can be read."""
    found = []
    for pair in examples.held_out:
        desirable = examples.desirable.get(pair.preference_id)
        answers = [pair.chosen, pair.rejected] if desirable is None else [pair.chosen]
        example = encoder.encode(pair.messages, answers)
        if example is not None and (desirable is not None or example.answers[0] != example.answers[1]):
            found.append(HeldOut(example, pair.cohort, desirable))
    if not found:
        raise InvalidInput(
            f"none of {len(examples.held_out)} held-out examples can be encoded by the policy's chat template"
        )
    if len({item.desirable for item in found}) == 1 and found[0].desirable is not None:
        raise InvalidInput(f"{len(found)} held-out answers have all the same thumb; wanted some of both")
    return tuple(found)


def prepare_pairs(
    spec: RunSpec, recipe: DpoRecipe, examples: SplitExamples, encoder: PolicyEncoder, *, progress: Progress
) -> PolicyData:
    """Encode the pairs, with pairs of the policy's own answers where prompts for them are given."""
    train, held_out = examples.train, examples.held_out
    sampled = sample_pairs(spec, recipe, encoder, train=train, held_out=held_out, progress=progress)
    train, watched = _watch(train, recipe, progress)
    train = (*train, *sampled.pairs)
    rows = _encode(train, encoder, progress, "pairs")
    by_models = sum(not pair.by_people for pair, _ in rows)
    progress.report(
        f"{len(rows)} pairs to train on, of which models alone judged {by_models};"
        f" {len(watched)} watched, {len(held_out)} held out"
    )
    return PolicyData(
        [_pair_row(example) for _, example in rows],
        [_pair_row(example) for _, example in _encode(watched, encoder, progress, "watched pairs")] if watched else [],
        by_models,
        evidence=sampled.evidence,
    )


def prepare_thumbs(
    spec: RunSpec, recipe: KtoRecipe, examples: SplitExamples, encoder: PolicyEncoder, *, progress: Progress
) -> PolicyData:
    """Encode the answers with a thumb, in a random order; both kinds weigh alike in all."""
    desirable = examples.desirable
    kept, watched = _watch(examples.train, recipe, progress)
    encoded = _encode(kept, encoder, progress, "answers", sides=1)
    order = np.random.default_rng(spec.seed).permutation(len(encoded))  # KTO takes them as they come
    used = [encoded[place] for place in order]
    up, down = balance_weights([desirable[answer.preference_id] for answer, _ in used])
    progress.report(
        f"{len(used)} answers to train on, {sum(desirable[one.preference_id] for one, _ in used)} thumbs up;"
        f" one up weighs {up:.3f}, one down {down:.3f}; {len(watched)} watched, {len(examples.held_out)} held out"
    )
    looked_at = _encode(watched, encoder, progress, "watched answers", sides=1) if watched else []
    return PolicyData(
        _thumb_rows(used, desirable, recipe),
        _thumb_rows(looked_at, desirable, recipe),
        by_models=0,
        desirable_weight=up,
        undesirable_weight=down,
    )


def _watch(
    pairs: tuple[PreferencePair, ...], recipe: DpoRecipe | KtoRecipe, progress: Progress
) -> tuple[tuple[PreferencePair, ...], tuple[PreferencePair, ...]]:
    """Part those to train on from those that say when to stop: the held-out ones only measure."""
    if not recipe.patience:
        return pairs, ()
    seed = (recipe.split_seed + _WATCHED_SEED) % 2**32
    try:
        split = split_pairs(pairs, held_out_ratio=recipe.watched_ratio, seed=seed)
    except InvalidInput as few:
        progress.report(f"nothing to watch, so it trains to the end: {few}")
        return pairs, ()
    return split.train, split.held_out


def _encode(
    pairs: Sequence[PreferencePair], encoder: PolicyEncoder, progress: Progress, what: str, *, sides: int = 2
) -> list[tuple[PreferencePair, EncodedExample]]:
    found, alike = [], 0
    for pair in pairs:
        example = encoder.encode(pair.messages, [pair.chosen, pair.rejected][:sides])
        if example is None:
            continue
        if sides == 1 or example.answers[0] != example.answers[1]:
            found.append((pair, example))
        else:
            alike += 1
    long = sum(example.truncated for _, example in found)
    progress.report(
        f"encoded {len(found)} {what}: {long} lost the beginning of their prompt,"
        f" {len(pairs) - len(found) - alike} not readable, {alike} alike once cut"
    )
    if not found:
        raise InvalidInput(f"none of {len(pairs)} {what} can be encoded by the policy's chat template")
    return found


def _pair_row(example: EncodedExample) -> Row:
    chosen, rejected = example.answers
    tokens = 2 * len(example.prompt) + len(chosen) + len(rejected)
    return {"prompt_ids": example.prompt, "chosen_ids": chosen, "rejected_ids": rejected, "tokens": tokens}


def _thumb_rows(
    encoded: Sequence[tuple[PreferencePair, EncodedExample]], desirable: Mapping[str, bool], recipe: KtoRecipe
) -> list[Row]:
    """Return rows with the answer to another prompt of the same batch beside their own: the KL is taken from those."""
    answers = [example.answers[0] for _, example in encoded]
    rows = []
    for place, (answer, example) in enumerate(encoded):
        first = place - place % recipe.batch_size
        last = min(first + recipe.batch_size, len(encoded)) - 1
        row = {
            "prompt_ids": example.prompt,
            "completion_ids": answers[place],
            "label": desirable[answer.preference_id],
            "tokens": len(example.prompt) + len(answers[place]),
        }
        other = {"KL_completion_ids": answers[place - 1 if place > first else last]}
        rows.append(row | other if recipe.loss == "kto" else row)
    return rows
