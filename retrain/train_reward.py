"""A reward refresh, from its spec to its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from monitor.rewards.huggingface import HuggingFaceEnsemble, load_ensemble
from monitor.runs.artifact import Artifact
from monitor.runs.result import RewardResult
from monitor.runs.spec import RunSpec
from retrain.artifacts import describe_artifact, staged_folder, write_rows
from retrain.evaluate import compare_scorers, rescore
from retrain.lineage import lineage_of
from retrain.preferences import load_pairs, read_rows
from retrain.progress import Progress
from retrain.recipe import RewardRecipe, load_recipe
from retrain.split import Split, split_pairs
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
        train_members(split.train, staging, spec=spec, recipe=recipe, progress=progress)
    candidate = describe_artifact(output / CANDIDATE_FOLDER)
    scorer = _load(candidate, spec, recipe)
    champion = _load(spec.champion, spec, recipe) if spec.champion is not None else None
    found = compare_scorers(scorer, champion, split.held_out)
    progress.report(
        f"held-out accuracy {found.candidate.accuracy:.3f}"
        + (f", the champion's {found.champion.accuracy:.3f}" if found.champion is not None else "")
        + f", longer wins {found.longer_wins_accuracy:.3f}; {found.unscored} pairs not scored"
    )
    rescored = None
    if spec.rescore is not None:
        rescored = write_rows(output / RESCORED_FILE, rescore(scorer, read_rows(Path(spec.rescore.path))))
        progress.report(f"rescored {rescored.rows} of {spec.rescore.rows} baseline traces")
    return RewardResult(
        candidate=candidate,
        candidate_metrics=found.candidate,
        champion_metrics=found.champion,
        longer_wins_accuracy=found.longer_wins_accuracy,
        train_pairs=len(split.train),
        held_out_pairs=len(split.held_out),
        rescored=rescored,
        seconds=time.monotonic() - started,
        lineage=lineage_of(spec, recipe),
    )


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
