"""A refresh of the learned refusal model, from its spec to its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from monitor.errors import InvalidInput
from monitor.runs import refusal as measures
from monitor.runs.policy import Comparison
from monitor.runs.refusal import RefusalResult
from monitor.runs.spec import RunSpec
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.weights import WEIGHTS_FILE, read_weights
from monitor.stats.auroc import auroc, auroc_difference
from monitor.stats.comparison import Difference, paired_difference
from retrain.artifacts import describe_artifact, staged_folder
from retrain.compared import compared
from retrain.lineage import lineage_of
from retrain.progress import Progress
from retrain.recipe import change_packaged
from retrain.refusal import refresh
from retrain.refusal_anchor import AUTHORED, ORDINARY, authored, judging, ordinary
from retrain.refusal_rows import LabelledAnswer, LabelledFile, is_held_out, number_of, read_labelled

CANDIDATE_FOLDER = "candidate"
LEAST = 1e-4  # a probability is taken for no less, so that one answer does not decide the log loss
Floats = NDArray[np.float64]


class RefusalRecipe(BaseModel):
    """Each field is explained in `recipes/refusal.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    held_out_ratio: float = Field(gt=0, le=0.5)
    split_seed: int = Field(ge=0, lt=2**32)
    anchor_weight: float = Field(gt=0, le=100)


def plan(spec: RunSpec) -> Callable[[Progress], RefusalResult]:
    """Return the work that *spec* asks for; raise `InvalidInput` where its recipe or its base is none."""
    recipe = change_packaged(spec.recipe, RefusalRecipe, family="refusal")
    read_weights(Path(spec.base_model) / WEIGHTS_FILE)
    return partial(refresh_refusals, spec, recipe)


def refresh_refusals(spec: RunSpec, recipe: RefusalRecipe, progress: Progress) -> RefusalResult:
    """Correct the base's weights by labels; measure both on labels and shipped answers that neither was fitted to."""
    started = time.monotonic()
    labelled = read_labelled([Path(spec.preferences.path)])
    rows = [row for row in labelled.rows if row.language == "en" and row.answer.strip()]
    drawn = [is_held_out(row, ratio=recipe.held_out_ratio, seed=recipe.split_seed) for row in rows]
    held_out = [row for row, is_drawn in zip(rows, drawn, strict=True) if is_drawn]
    taught = [row for row, is_drawn in zip(rows, drawn, strict=True) if not is_drawn]
    progress.report(f"{len(rows)} judged answers in English: {len(taught)} to learn from, {len(held_out)} held out")
    base, output = Path(spec.base_model) / WEIGHTS_FILE, Path(spec.output)
    with staged_folder(output / CANDIDATE_FOLDER) as staging:
        given = LabelledFile(tuple(taught), labelled.hashes)
        refresh(given, base, staging, anchor_weight=recipe.anchor_weight)
    candidate, champion = LearnedRefusal(output / CANDIDATE_FOLDER / WEIGHTS_FILE), LearnedRefusal(base)
    progress.report(f"measuring on {len(held_out)} held-out labels", phase="evaluating")
    found, own = compare(candidate, champion, held_out)
    for line in found:
        progress.report(f"{line.name}: {line.candidate:.4f}, before {line.champion:.4f}, of {line.items}")
    shipped = {"ordinary answers": ORDINARY, "authored answers": AUTHORED}
    return RefusalResult(
        candidate=describe_artifact(output / CANDIDATE_FOLDER),
        reads_as=candidate.version,
        labels=len(taught),
        held_out=len(held_out),
        held_out_refusing=sum(row.refuses for row in held_out),
        comparisons=found,
        champion_auroc_lower=own[0],
        champion_auroc_upper=own[1],
        rescored=None,
        lineage=lineage_of(spec, recipe, files=shipped, devices="CPU"),
        seconds=time.monotonic() - started,
    )


def compare(
    candidate: LearnedRefusal, champion: LearnedRefusal, held_out: Sequence[LabelledAnswer]
) -> tuple[tuple[Comparison, ...], tuple[float, float]]:
    """Return every measure, and the interval of the champion's own area under the curve on held-out labels."""
    wanted = np.array([row.refuses for row in held_out])
    new, old = _read(candidate, held_out), _read(champion, held_out)
    refusing, not_refusing = np.flatnonzero(wanted), np.flatnonzero(~wanted)
    own = auroc(old[wanted], old[~wanted])
    if own is None:
        raise InvalidInput("the held-out answers are all of one kind; wanted some that refuse and some that do not")
    area = auroc_difference((new[wanted], new[~wanted]), (old[wanted], old[~wanted]))
    losses = paired_difference(_loss(new, wanted), _loss(old, wanted), _clusters(held_out))
    found_new, found_old = new >= candidate.threshold, old >= champion.threshold
    plain, known = judging(ordinary()), [row for row in judging(authored()) if row.refuses]
    told = {
        measures.LOG_LOSS: losses,
        measures.AUROC: Difference(len(wanted), len(wanted), *area),
        measures.RECALL: _share(found_new, found_old, held_out, refusing),
        measures.FALSE: _share(found_new, found_old, held_out, not_refusing),
        measures.ORDINARY: _shares(candidate, champion, plain),
        measures.KNOWN: _shares(candidate, champion, known),
    }
    return tuple(compared(name, one) for name, one in told.items() if one is not None), (own.lower, own.upper)


def _read(model: LearnedRefusal, rows: Sequence[LabelledAnswer]) -> Floats:
    """Return what production would read: what it does not read to the end counts as it does there."""
    return np.array([refuses for refuses, _ in model.probabilities([(row.prompt, row.answer) for row in rows])])


def _loss(probability: Floats, wanted: NDArray[np.bool_]) -> Floats:
    likely = np.clip(probability, LEAST, 1.0 - LEAST)
    return np.asarray(-np.log(np.where(wanted, likely, 1.0 - likely)))


def _shares(candidate: LearnedRefusal, champion: LearnedRefusal, rows: Sequence[LabelledAnswer]) -> Difference | None:
    new, old = _read(candidate, rows) >= candidate.threshold, _read(champion, rows) >= champion.threshold
    return _share(new, old, rows, np.arange(len(rows)))


def _share(
    new: NDArray[np.bool_], old: NDArray[np.bool_], rows: Sequence[LabelledAnswer], chosen: NDArray[np.int64]
) -> Difference | None:
    clusters = _clusters([rows[place] for place in chosen])
    return paired_difference(new[chosen].astype(np.float64), old[chosen].astype(np.float64), clusters, limit=1.0)


def _clusters(rows: Sequence[LabelledAnswer]) -> list[str]:
    return [str(number_of(row.prompt)) for row in rows]
