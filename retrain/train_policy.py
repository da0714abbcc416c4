"""A policy's training by DPO or KTO, from its spec to its result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from datasets import Dataset

from monitor.errors import InvalidInput
from monitor.runs.artifact import HashedFile, file_sha256
from monitor.runs.file import read_file, write_file
from monitor.runs.policy import PolicyResult, TrainingReport
from monitor.runs.spec import RunSpec
from retrain.artifacts import describe_artifact, staged_folder, write_rows
from retrain.chat import PolicyEncoder, load_policy_encoder
from retrain.checkpoint import claim_folder, key_of, link_folder
from retrain.evaluate_policy import PolicyComparison, compare_policies
from retrain.launch import launch_training, process_count
from retrain.lineage import lineage_of
from retrain.measure_policy import PolicyMeasures, measure_policy
from retrain.policy_data import PolicyData, SplitExamples, hold_out, prepare_pairs, prepare_thumbs, split_examples
from retrain.policy_recipe import DpoRecipe, KtoRecipe
from retrain.preferences import PreferencePair
from retrain.progress import Progress
from retrain.train_step import TRAIN_FOLDER, TRAINED_FILE, TRAINED_FOLDER, WATCHED_FOLDER, Trained, TrainingOrder

CANDIDATE_FOLDER = "candidate"
PREPARED_FILE, EVIDENCE_FILE = "prepared.json", "on_policy.jsonl"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was prepared to train on; written last, so the data beside it is whole."""

    examples: int
    watched: int
    by_models: int
    desirable_weight: float
    undesirable_weight: float


def check_spec(spec: RunSpec) -> None:
    """Raise `InvalidInput` where *spec* lacks what a policy's training needs."""
    if spec.policy is None:
        raise InvalidInput(f"policy = None: {spec.action} wants prompts to compare on, and who ranks answers")


def train_policy(spec: RunSpec, recipe: DpoRecipe | KtoRecipe, progress: Progress) -> PolicyResult:
    """Train a candidate, measure it on what was held out, and compare it with the champion."""
    started = time.monotonic()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    output, base = Path(spec.output), Path(spec.base_model)
    work = Path(spec.checkpoints) if spec.checkpoints is not None else output / "work"
    encoder = load_policy_encoder(base, max_length=recipe.max_length)
    if encoder.plain:
        progress.report(f"{base} has no chat template: each message is a line, role and content")
    examples = split_examples(spec, recipe)
    held_out = hold_out(examples, encoder)
    removed = claim_folder(work, key_of(spec, recipe, processes=str(process_count(recipe.processes))))
    if removed:
        progress.report(removed)
    prepared = _prepare(spec, recipe, examples, encoder, work=work, progress=progress)
    trained = _train(spec, recipe, prepared, work=work, progress=progress)
    with staged_folder(output / CANDIDATE_FOLDER) as staging:
        link_folder(work / TRAINED_FOLDER, staging)
    candidate = describe_artifact(output / CANDIDATE_FOLDER)
    measures = measure_policy(
        Path(candidate.path), base, held_out, recipe=recipe, encoder=encoder, seed=spec.seed, progress=progress
    )
    _tell(measures, progress)
    compared = _compare(spec, recipe, Path(candidate.path), learnt=examples.train, progress=progress)
    evidence = (*compared.evidence, *_evidence(work, output, prepared))
    lineage = lineage_of(spec, recipe, devices=trained.devices)
    if spec.checkpoints is None:
        shutil.rmtree(work)
    return PolicyResult(
        action=recipe.method,
        candidate=candidate,
        seconds=time.monotonic() - started,
        rescored=None,
        lineage=lineage,
        training=_report(recipe.method, prepared, trained, measures, held_out=len(held_out)),
        comparisons=compared.comparisons,
        refusals=compared.refusals,
        evidence=evidence,
    )


def _prepare(
    spec: RunSpec,
    recipe: DpoRecipe | KtoRecipe,
    examples: SplitExamples,
    encoder: PolicyEncoder,
    *,
    work: Path,
    progress: Progress,
) -> Prepared:
    """Leave the data in *work*, unless an attempt before has."""
    if (work / PREPARED_FILE).is_file():
        progress.report("the data is there, as an attempt before prepared it")
        return read_file(work / PREPARED_FILE, Prepared)
    progress.report("prepares the data", phase="preparing")
    data: PolicyData
    if isinstance(recipe, DpoRecipe):
        data = prepare_pairs(spec, recipe, examples, encoder, progress=progress)
    else:
        data = prepare_thumbs(spec, recipe, examples, encoder, progress=progress)
    for name, rows in ((TRAIN_FOLDER, data.train), (WATCHED_FOLDER, data.watched)):
        shutil.rmtree(work / name, ignore_errors=True)
        if rows:
            Dataset.from_list(list(rows)).save_to_disk(str(work / name))
    write_rows(work / EVIDENCE_FILE, iter(data.evidence))
    prepared = Prepared(
        len(data.train), len(data.watched), data.by_models, data.desirable_weight, data.undesirable_weight
    )
    write_file(work / PREPARED_FILE, prepared)
    return prepared


def _train(
    spec: RunSpec,
    recipe: DpoRecipe | KtoRecipe,
    prepared: Prepared,
    *,
    work: Path,
    progress: Progress,
) -> Trained:
    """Leave the trained policy in *work*, unless an attempt before has."""
    if (work / TRAINED_FILE).is_file():
        progress.report("the policy is trained already, by an attempt before")
        return read_file(work / TRAINED_FILE, Trained)
    order = TrainingOrder(
        method=recipe.method,
        folder=str(work),
        base_model=spec.base_model,
        progress=str(progress.path),
        recipe=recipe.model_dump(),
        seed=spec.seed,
        desirable_weight=prepared.desirable_weight,
        undesirable_weight=prepared.undesirable_weight,
    )
    launch_training(order, recipe.processes, progress)
    trained = read_file(work / TRAINED_FILE, Trained)
    early = ", stopped early" if trained.stopped_early else ""
    progress.report(
        f"trained in {trained.seconds:.0f} s{early}", done=trained.steps, total=trained.steps, loss=trained.loss
    )
    return trained


def _compare(
    spec: RunSpec,
    recipe: DpoRecipe | KtoRecipe,
    candidate: Path,
    *,
    learnt: Sequence[PreferencePair],
    progress: Progress,
) -> PolicyComparison:
    """Hold *candidate* against the champion; where there is none, against what it was trained from."""
    champion = Path(spec.champion.path) if spec.champion is not None else Path(spec.base_model)
    return compare_policies(
        spec,
        candidate,
        champion,
        learnt=learnt,
        output=Path(spec.output),
        seed=spec.seed,
        progress=progress,
        recipe=recipe,
    )


def _tell(measures: PolicyMeasures, progress: Progress) -> None:
    after = measures.after
    change = f", answers change in length by {measures.length_change:+.2f} log" if measures.length_change else ""
    progress.report(
        f"held-out implicit accuracy {after.accuracy:.3f} ({after.lower:.3f} to {after.upper:.3f}),"
        f" {measures.before.accuracy:.3f} before; KL {measures.kl:.4f} nats a token{change}"
    )


def _evidence(work: Path, output: Path, prepared: Prepared) -> tuple[HashedFile, ...]:
    """Put the pairs that models judged beside the candidate."""
    if not prepared.by_models or not (work / EVIDENCE_FILE).stat().st_size:
        return ()
    lines = (work / EVIDENCE_FILE).read_text(encoding="utf-8").splitlines()
    shutil.copyfile(work / EVIDENCE_FILE, output / EVIDENCE_FILE)
    return (HashedFile(str(output / EVIDENCE_FILE), file_sha256(output / EVIDENCE_FILE), len(lines)),)


def _report(
    method: Literal["dpo", "kto"], prepared: Prepared, trained: Trained, measures: PolicyMeasures, *, held_out: int
) -> TrainingReport:
    after = measures.after
    return TrainingReport(
        method=method,
        examples=prepared.examples,
        by_models=prepared.by_models,
        held_out=held_out,
        implicit_accuracy=after.accuracy,
        implicit_lower=after.lower,
        implicit_upper=after.upper,
        accuracy_before=measures.before.accuracy,
        implicit_by_cohort=after.by_cohort,
        pairs_by_cohort=after.examples_by_cohort,
        margin=after.margin,
        kl=measures.kl,
        length_change=measures.length_change,
        steps=trained.steps,
        loss=trained.loss,
        stopped_early=trained.stopped_early,
        resumed_from=trained.resumed_from,
        train_seconds=trained.seconds,
        tokens=trained.tokens,
        peak_memory_bytes=trained.peak_memory_bytes,
    )
