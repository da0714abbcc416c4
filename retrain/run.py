"""One run from its order to its result."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from monitor.domain.run import Artifact, HashedFile, RunResult
from monitor.rewards.huggingface import HuggingFaceEnsemble, load_ensemble
from retrain.artifacts import describe_artifact, staged_folder, write_rows
from retrain.evaluate import compare_scorers, rescore
from retrain.preferences import read_rows
from retrain.progress import Progress
from retrain.spec import Order
from retrain.split import Split
from retrain.train_reward import train_members

CANDIDATE_FOLDER = "candidate"
RESCORED_FILE = "rescored.jsonl"


def refresh_reward(order: Order, split: Split, progress: Progress) -> RunResult:
    """Train a candidate, measure it and the champion on the held-out pairs, rescore the baseline."""
    spec, recipe, started = order.spec, order.recipe, time.monotonic()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    output = Path(spec.output)
    with staged_folder(output / CANDIDATE_FOLDER) as staging:
        train_members(split.train, staging, spec=spec, recipe=recipe, progress=progress)
    candidate = describe_artifact(output / CANDIDATE_FOLDER)
    scorer = _load(candidate, order)
    champion = _load(spec.champion, order) if spec.champion is not None else None
    found = compare_scorers(scorer, champion, split.held_out)
    progress.report(
        f"held-out accuracy {found.candidate.accuracy:.3f}"
        + (f", the champion's {found.champion.accuracy:.3f}" if found.champion is not None else "")
        + f", longer wins {found.longer_wins_accuracy:.3f}; {found.unscored} pairs not scored"
    )
    rescored = _rescore(scorer, spec.rescore, output / RESCORED_FILE, progress)
    return RunResult(
        status="succeeded",
        error=None,
        candidate=candidate,
        candidate_metrics=found.candidate,
        champion_metrics=found.champion,
        longer_wins_accuracy=found.longer_wins_accuracy,
        train_pairs=len(split.train),
        held_out_pairs=len(split.held_out),
        rescored=rescored,
        seconds=time.monotonic() - started,
    )


def _load(artifact: Artifact, order: Order) -> HuggingFaceEnsemble:
    """Load a scorer that reads as much of a row as it does where it serves: its baseline is made of these scores."""
    return load_ensemble(
        [Path(artifact.path)],
        device="auto",
        max_tokens=order.spec.scored_tokens or order.recipe.max_length,
        batch_tokens=order.recipe.evaluation_tokens,
        beta=0.0,  # nothing here reads the lower bound
        version=artifact.version,
    )


def _rescore(
    scorer: HuggingFaceEnsemble, source: HashedFile | None, target: Path, progress: Progress
) -> HashedFile | None:
    if source is None:
        return None
    written = write_rows(target, rescore(scorer, read_rows(Path(source.path))))
    progress.report(f"rescored {written.rows} of {source.rows} baseline traces")
    return written
