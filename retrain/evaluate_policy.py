"""Holding a candidate policy and the champion against each other: both answer the same prompts."""

from __future__ import annotations

import gc
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from monitor.domain.score import Reward, win_of
from monitor.errors import InvalidInput
from monitor.rewards.huggingface import Row, load_ensemble
from monitor.runs.artifact import HashedFile
from monitor.runs.evidence import REPLAY, AnsweredPrompt, ReadAnswer
from monitor.runs.policy import Comparison, PolicyInputs
from monitor.runs.spec import RunSpec
from monitor.signals.refusal import counted_by
from monitor.stats.comparison import Judged
from monitor.stats.length_control import shortened
from retrain.answering import Side, answered_rows, ask, of_replay, of_suites
from retrain.artifacts import write_rows
from retrain.evaluation_recipe import EvaluationRecipe
from retrain.policy_measures import compare_all, win_of_margins, written_gap
from retrain.preferences import PreferencePair
from retrain.progress import Progress
from retrain.refusal_reader import open_refusals
from retrain.replay import ReplayRow, draw, load_replay, untaught

EVIDENCE_FOLDER = "evidence"
READ_FILE = "read.jsonl"
PHASE = "evaluating"
MAX_SCORED_TOKENS = 2_048  # where the spec does not say what a scorer reads


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    comparisons: tuple[Comparison, ...]  # every one of `MEASURES`, over all and by cohort
    refusals: str  # who read those of both sides, and from which probability one counts
    evidence: tuple[HashedFile, ...]  # as `monitor.runs.evidence` reads them


@dataclass(frozen=True, slots=True)
class _Good:
    """One of the champion's good answers: production's, that the ensemble's lower bound puts high."""

    row: ReplayRow
    response: str


def compare_policies(
    spec: RunSpec,
    candidate: Path,
    champion: Path,
    *,
    learnt: Sequence[PreferencePair],
    output: Path,
    seed: int,
    progress: Progress,
    recipe: EvaluationRecipe,
) -> PolicyComparison:
    """Let both answer the replay and the suites, and compare them measure by measure on the same items.

    *candidate* and *champion* are Hugging Face folders; either side may answer by its server instead. Prompts like
    those that the candidate *learnt* from are not replayed. Evidence is written below *output*. The same seed gives the
    same comparison on one machine, unless a server answers. Raises `InvalidInput` where inputs cannot be read or more
    than a tenth of one side's requests failed.
    """
    if spec.policy is None:
        raise InvalidInput("the spec has no policy inputs: wanted a scorer and a replay to compare policies by")
    inputs = spec.policy
    scorer = _Scorer(inputs, spec.scored_tokens or MAX_SCORED_TOKENS, recipe.evaluation_tokens)
    refusals = open_refusals(inputs.refusals)
    rows = load_replay(inputs.replay)
    free = untaught(rows, learnt)
    if len(free) < len(rows):
        progress.report(f"{len(rows) - len(free)} of {len(rows)} prompts are like those it learnt from: left out")
    drawn = draw(free[: inputs.replayed or None], recipe.replay_prompts, seed=seed)
    asked = [*of_replay(drawn), *of_suites(inputs.suites, recipe, seed=seed)]
    progress.report(f"{len(drawn)} replayed prompts and {len(asked) - len(drawn)} probes to answer", phase=PHASE)
    judged = _judge(scorer, load_replay(inputs.judged) if inputs.judged is not None else rows)
    good = draw(_find_good(scorer, drawn), recipe.good_answers, seed=seed)
    theirs, mine = (
        ask(
            side,
            asked,
            [(item.row.messages, item.response) for item in good],
            recipe,
            seed=seed,
            report=progress.report,
        )
        for side in (
            Side(name="champion", folder=champion, server=inputs.champion_server),
            Side(name="candidate", folder=candidate, server=inputs.candidate_server),
        )
    )
    progress.report(f"scoring {2 * len(drawn)} answers")
    answered = _with_margins(scorer, answered_rows(asked, mine, theirs, counter=champion, refusals=refusals))
    read = _read_by_both(good, mine.read, theirs.read)
    read_by = f"refusals are read by {counted_by(refusals)}"
    comparisons = compare_all(answered, read, judged, temperature=inputs.temperature, read_by=read_by)
    for found in comparisons:
        if found.cohort is None:
            progress.report(_told(found))
    evidence = _write_evidence(output / EVIDENCE_FOLDER, answered, read)
    return PolicyComparison(comparisons, counted_by(refusals), evidence)


@dataclass(frozen=True, slots=True)
class _Scorer:
    """The reward champion, in memory while it scores and no longer."""

    inputs: PolicyInputs
    max_tokens: int
    batch_tokens: int

    def score(self, rows: Sequence[Row]) -> list[Reward | None]:
        """Score each of *rows*, equal ones once: an answer must not win over itself."""
        ensemble = load_ensemble(
            [Path(self.inputs.scorer.path)],
            device="auto",
            max_tokens=self.max_tokens,
            batch_tokens=self.batch_tokens,
            beta=self.inputs.lower_beta,
            version=self.inputs.scorer.version,
        )
        distinct = {(tuple(messages), response): None for messages, response in rows}
        found = dict(zip(distinct, ensemble.score(list(distinct)), strict=True))
        del ensemble
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return [found[tuple(messages), response] for messages, response in rows]


def _judge(scorer: _Scorer, rows: Sequence[ReplayRow]) -> Judged:
    """Return what people said of production's answers in *rows*, beside the ensemble's opinion of the same."""
    known = [(row, row.human, row.response) for row in rows if row.human is not None and row.response is not None]
    rewards = scorer.score(
        [
            *((row.messages, response) for row, _, response in known),
            *((row.messages, human.reference_response) for row, human, _ in known),
        ]
    )
    scored = [
        (row, human, written_gap(response, human.reference_response), reward.margins(reference))
        for (row, human, response), reward, reference in zip(
            known, rewards[: len(known)], rewards[len(known) :], strict=True
        )
        if reward is not None and reference is not None
    ]
    return Judged(
        opinions=np.array([win_of(margins, scorer.inputs.temperature) for _, _, _, margins in scored]),
        gaps=shortened(np.array([gap for _, _, gap, _ in scored])),
        verdicts=np.array([human.value for _, human, _, _ in scored]),
        probabilities=np.array([human.probability for _, human, _, _ in scored]),
        clusters=[row.cluster for row, _, _, _ in scored],
    )


def _find_good(scorer: _Scorer, drawn: Sequence[ReplayRow]) -> list[_Good]:
    """Return the upper half of production's answers by the ensemble's lower bound, in each cohort."""
    said = [_Good(row, row.response) for row in drawn if row.response]
    ranked: dict[str, list[tuple[float, int]]] = {}
    for place, reward in enumerate(scorer.score([(item.row.messages, item.response) for item in said])):
        if reward is not None:
            ranked.setdefault(said[place].row.cohort, []).append((-reward.lower, place))
    upper = [place for found in ranked.values() for _, place in sorted(found)[: -(-len(found) // 2)]]
    return [said[place] for place in sorted(upper)]


def _with_margins(scorer: _Scorer, answered: Sequence[AnsweredPrompt]) -> list[AnsweredPrompt]:
    """Add what each member of the ensemble thinks of both answers to a replayed prompt, each answer scored alone."""
    places = [place for place, row in enumerate(answered) if row.kind == REPLAY and not row.left_out]
    texts = [
        (answered[place].messages, text or "")
        for place in places
        for text in (answered[place].candidate, answered[place].champion)
    ]
    rewards = scorer.score(texts)
    found = list(answered)
    for place, mine, theirs in zip(places, rewards[::2], rewards[1::2], strict=True):
        if mine is not None and theirs is not None:
            margins = mine.margins(theirs)
            won = win_of_margins(margins, scorer.inputs.lower_beta)
            found[place] = msgspec.structs.replace(answered[place], margins=margins, win=won)
    return found


def _read_by_both(
    good: Sequence[_Good],
    candidate: Sequence[tuple[float, int] | None],
    champion: Sequence[tuple[float, int] | None],
) -> list[ReadAnswer]:
    return [
        ReadAnswer(
            index=item.row.index,
            item_id=item.row.trace_id,
            cohort=item.row.cohort,
            cluster=item.row.cluster,
            messages=item.row.messages,
            response=item.response,
            tokens=theirs[1],
            candidate=mine[0],
            champion=theirs[0],
        )
        for item, mine, theirs in zip(good, candidate, champion, strict=True)
        if mine is not None and theirs is not None
    ]


def _write_evidence(
    folder: Path, answered: Sequence[AnsweredPrompt], read: Sequence[ReadAnswer]
) -> tuple[HashedFile, ...]:
    """Write a file for the replay, one for each suite and one for what both read."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys([REPLAY, *(row.suite for row in answered if row.kind != REPLAY)]))
    files = []
    for number, name in enumerate(names):
        own = [row for row in answered if (row.suite if row.kind != REPLAY else REPLAY) == name]
        safe = name if number == 0 else f"suite-{number}-{re.sub(r'[^A-Za-z0-9._-]', '_', name)}"
        files.append(write_rows(folder / f"{safe}.jsonl", (msgspec.to_builtins(row) for row in own)))
    return (*files, write_rows(folder / READ_FILE, (msgspec.to_builtins(row) for row in read)))


def _told(found: Comparison) -> str:
    if not found.items:
        return f"{found.name}: not measured: {found.detail}"
    return (
        f"{found.name}: candidate {found.candidate:.3f}, champion {found.champion:.3f}, difference"
        f" {found.difference:+.3f} ({found.lower:+.3f} to {found.upper:+.3f}) on {found.items} items"
    )
