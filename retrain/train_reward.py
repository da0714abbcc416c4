"""A reward refresh, from its spec to its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from monitor.rewards.huggingface import HuggingFaceEnsemble, load_ensemble
from monitor.runs.artifact import Artifact, HashedFile
from monitor.runs.result import RewardResult
from monitor.runs.spec import RunSpec
from retrain.artifacts import describe_artifact, staged_folder, write_rows
from retrain.calibrate import fit_calibration
from retrain.evaluate import ANCHOR_PAIRS, anchor_agreement, compare_scorers, measure_dimensions, rescore
from retrain.lineage import lineage_of
from retrain.preferences import load_pairs, read_rows
from retrain.progress import Progress
from retrain.recipe import RewardRecipe, load_recipe
from retrain.split import Split, group_pairs, split_pairs
from retrain.tfidf import WordModel
from retrain.train_heads import train_heads
from retrain.train_member import train_members

CANDIDATE_FOLDER = "candidate"
RESCORED_FILE = "rescored.jsonl"


def plan(spec: RunSpec) -> Callable[[Progress], RewardResult]:
    """Return the work that *spec* asks for; raise `InvalidInput` where its recipe is none."""
    return partial(refresh_reward, spec, load_recipe(spec.recipe))


def refresh_reward(spec: RunSpec, recipe: RewardRecipe, progress: Progress) -> RewardResult:
    """Train a candidate, measure it and the champion on the held-out pairs, rescore the baseline."""
    started = time.monotonic()
    split = _split(spec, recipe, progress)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    output = Path(spec.output)
    with staged_folder(output / CANDIDATE_FOLDER) as staging:
        if recipe.kind == "heads":
            trained = train_heads(split.train, staging, spec=spec, recipe=recipe, progress=progress)
        else:
            train_members(split.train, staging, spec=spec, recipe=recipe, progress=progress)
            trained = {}
    candidate = describe_artifact(output / CANDIDATE_FOLDER)
    scorer = _load(candidate, spec, recipe)
    champion = _load(spec.champion, spec, recipe) if spec.champion is not None else None
    progress.report(f"measuring on {len(split.held_out)} held-out pairs", phase="evaluating")
    found = compare_scorers(scorer, champion, split.held_out)
    words = WordModel(split.train).margins(found.pairs)
    calibration = fit_calibration(found.margins, [pair.cohort for pair in found.pairs], group_pairs(found.pairs))
    rescored, (agreement, anchors) = _rescore(spec, scorer, champion)
    result = RewardResult(
        candidate=candidate,
        candidate_metrics=found.candidate,
        champion_metrics=found.champion,
        longer_wins_accuracy=found.longer_wins_accuracy,
        tfidf_accuracy=float(np.mean(words > 0) + np.mean(words == 0) / 2),
        train_pairs=len(split.train),
        held_out_pairs=len(split.held_out),
        anchor_agreement=agreement,
        anchor_pairs=anchors,
        dimension_heads=measure_dimensions(scorer, trained, found.pairs),
        calibration=calibration,
        rescored=rescored,
        lineage=lineage_of(spec, recipe),
        seconds=time.monotonic() - started,
    )
    progress.report(f"{describe(result)}; {found.unscored} pairs not scored")
    if spec.rescore is not None and rescored is not None:
        progress.report(f"rescored {rescored.rows} of {spec.rescore.rows} baseline traces")
    return result


def describe(result: RewardResult) -> str:
    """Say in one line what a refresh has come to."""
    mine, champion, calibration = result.candidate_metrics, result.champion_metrics, result.calibration
    said = [
        f"held-out accuracy {mine.accuracy:.3f}" + (f", the champion's {champion.accuracy:.3f}" if champion else ""),
        f"longer wins {result.longer_wins_accuracy:.3f}",
        f"TF-IDF {result.tfidf_accuracy:.3f}",
    ]
    if mine.disagreement_auroc is not None:
        low, high = mine.disagreement_auroc_lower, mine.disagreement_auroc_upper
        said.append(f"disagreement tells errors with AUROC {mine.disagreement_auroc:.2f} ({low:.2f} to {high:.2f})")
    if calibration is not None and calibration.error_after is not None:
        told = f"calibration error {calibration.error_before:.3f}, {calibration.error_after:.3f} at"
        said.append(f"{told} temperature {calibration.temperature:.2g}")
    said += [
        f"{name} {head.accuracy:.3f}" for name, head in result.dimension_heads.items() if head.accuracy is not None
    ]
    return ", ".join(said)


def _rescore(
    spec: RunSpec, scorer: HuggingFaceEnsemble, champion: HuggingFaceEnsemble | None
) -> tuple[HashedFile | None, tuple[float | None, int]]:
    """Score the baseline's traces anew; return them, and how far both scorers rank answers of theirs alike."""
    if spec.rescore is None:
        return None, (None, 0)
    path = Path(spec.rescore.path)
    rescored = write_rows(Path(spec.output) / RESCORED_FILE, rescore(scorer, read_rows(path)))
    if champion is None:
        return rescored, (None, 0)
    stride = max(1, spec.rescore.rows // (8 * ANCHOR_PAIRS))
    return rescored, anchor_agreement(scorer, champion, list(islice(read_rows(path), 0, None, stride)))


def _split(spec: RunSpec, recipe: RewardRecipe, progress: Progress) -> Split:
    loaded = load_pairs(spec.preferences)
    split = split_pairs(loaded.pairs, held_out_ratio=recipe.held_out_ratio, seed=recipe.split_seed)
    by_models = sum(not pair.by_people for pair in split.train)
    progress.report(
        f"{len(loaded.pairs)} preference pairs: {len(split.train)} to train on, of which models alone judged"
        f" {by_models}, {len(split.held_out)} held out, {loaded.ties} ties left out"
    )
    return split


def _load(artifact: Artifact, spec: RunSpec, recipe: RewardRecipe) -> HuggingFaceEnsemble:
    """Load a scorer that reads as much of a row as it does where it serves: its baseline is made of these scores."""
    return load_ensemble(
        [Path(artifact.path)],
        device="auto",
        max_tokens=spec.scored_tokens or recipe.max_length,
        batch_tokens=recipe.evaluation_tokens,
        beta=0.0,  # nothing here reads the lower bound
        version=artifact.version,
    )
