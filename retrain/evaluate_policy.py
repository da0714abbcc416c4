"""Holding a candidate policy and the champion against each other: both answer the same prompts."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch

from monitor.domain.score import Reward, win_of
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.probes.judge import judge
from monitor.probes.suite import Item, Suite, read_suite
from monitor.rewards.huggingface import Row, load_ensemble
from monitor.runs.artifact import HashedFile
from monitor.runs.evidence import REPLAY, AnsweredPrompt, ReadAnswer
from monitor.runs.policy import AnsweringServer, Comparison, PolicyInputs
from monitor.runs.spec import RunSpec
from monitor.signals.refusal import is_refusal
from monitor.stats.comparison import Judged
from monitor.stats.length_control import shortened
from retrain.answer_flags import flags_of
from retrain.artifacts import write_rows
from retrain.ask_server import MOST_FAILED, ServedPolicy
from retrain.evaluation_recipe import EvaluationRecipe, evaluation_of
from retrain.generate import Answer, Decoding, HuggingFacePolicy, Prompt, Unanswered, count_tokens, load_policy
from retrain.policy_measures import compare_all, win_of_margins, written_gap
from retrain.progress import Progress
from retrain.replay import ReplayRow, draw, load_replay

EVIDENCE_FOLDER = "evidence"
READ_FILE = "read.jsonl"
PHASE = "evaluating"
MAX_SCORED_TOKENS = 2_048  # where the spec does not say what a scorer reads


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    comparisons: tuple[Comparison, ...]  # every one of `MEASURES`, over all and by cohort
    evidence: tuple[HashedFile, ...]  # as `monitor.runs.evidence` reads them


@dataclass(frozen=True, slots=True)
class _Asked:
    """A prompt that both sides answer, of the replay or of a suite."""

    index: int
    item_id: str
    cohort: str
    cluster: str
    messages: tuple[Message, ...]
    suite: Suite | None
    item: Item | None

    @property
    def name(self) -> str:
        return REPLAY if self.suite is None else self.suite.name

    def outcome(self, answer: str) -> float | None:
        """Say whether it is a refusal, on the replay; what the suite's judge says elsewhere."""
        if self.suite is None or self.item is None:
            return float(is_refusal(answer))
        return judge(self.suite, self.item, answer)


@dataclass(frozen=True, slots=True)
class _Good:
    """One of the champion's good answers: production's, that the ensemble's lower bound puts high."""

    row: ReplayRow
    response: str


@dataclass(frozen=True, slots=True)
class _Side:
    answers: list[Answer | Unanswered]
    read: list[tuple[float, int] | None]


class _Answering(Protocol):
    def answer(
        self, prompts: Sequence[Prompt], decoding: Decoding, heard: Callable[[int], None]
    ) -> list[Answer | Unanswered]: ...


def compare_policies(
    spec: RunSpec,
    candidate: Path,
    champion: Path,
    *,
    output: Path,
    seed: int,
    progress: Progress,
    recipe: EvaluationRecipe | None = None,
) -> PolicyComparison:
    """Let both answer the replay and the suites, and compare them measure by measure on the same items.

    *candidate* and *champion* are Hugging Face folders; either side may answer by its server instead. Evidence is
    written below *output*. The same seed gives the same comparison on one machine, unless a server answers. Raises
    `InvalidInput` where inputs cannot be read or more than a tenth of one side's requests failed.
    """
    inputs = spec.policy
    if inputs is None:
        raise InvalidInput("the spec has no policy inputs: wanted a scorer and a replay to compare policies by")
    recipe = recipe or evaluation_of(spec.recipe)
    rows = load_replay(inputs.replay)
    drawn = draw(rows, recipe.replay_prompts, seed=seed)
    asked = [*_of_replay(drawn), *_of_suites(inputs.suites, recipe, seed=seed)]
    progress.report(f"{len(drawn)} replayed prompts and {len(asked) - len(drawn)} probes to answer", phase=PHASE)
    labelled = load_replay(inputs.judged) if inputs.judged is not None else rows
    judged, good = _hear_scorer(spec, inputs, labelled, drawn, recipe, seed=seed)
    sides = {
        name: _ask(name, folder, server, asked, good, recipe=recipe, seed=seed, progress=progress)
        for name, folder, server in (
            ("champion", champion, inputs.champion_server),
            ("candidate", candidate, inputs.candidate_server),
        )
    }
    answered = _answered(asked, sides["candidate"], sides["champion"], counter=champion)
    progress.report(f"scoring {2 * len(drawn)} answers", phase=PHASE)
    answered = _with_margins(answered, spec, inputs, recipe)
    read = _read_by_both(good, sides["candidate"].read, sides["champion"].read)
    comparisons = compare_all(answered, read, judged, temperature=inputs.temperature)
    for found in comparisons:
        if found.cohort is None:
            progress.report(_told(found), phase=PHASE)
    return PolicyComparison(comparisons, _write_evidence(output / EVIDENCE_FOLDER, answered, read))


def _of_replay(rows: Iterable[ReplayRow]) -> Iterator[_Asked]:
    for row in rows:
        yield _Asked(row.index, row.trace_id, row.cohort, row.cluster, row.messages, None, None)


def _of_suites(suites: Mapping[str, HashedFile], recipe: EvaluationRecipe, *, seed: int) -> Iterator[_Asked]:
    """Yield items of each suite; where there are too many, twins are drawn together."""
    for name, file in sorted(suites.items()):
        suite = read_suite(Path(file.path), name)
        groups = list(suite.drawn_together())
        wanted = recipe.suite_items * len(groups) // len(suite.items)
        kept = draw(groups, max(wanted, 1) if recipe.suite_items else 0, seed=seed)
        places = {item.item_id: place for place, item in enumerate(suite.items)}
        for group in kept:
            for item in group:
                cluster = f"{name} {item.twin if len(group) > 1 else item.item_id}"
                yield _Asked(places[item.item_id], item.item_id, item.category, cluster, item.messages, suite, item)


def _score(spec: RunSpec, inputs: PolicyInputs, recipe: EvaluationRecipe, rows: Sequence[Row]) -> list[Reward | None]:
    """Score each of *rows*, equal ones once, so that an answer never wins over itself; then forget the scorer."""
    ensemble = load_ensemble(
        [Path(inputs.scorer.path)],
        device="auto",
        max_tokens=spec.scored_tokens or MAX_SCORED_TOKENS,
        batch_tokens=recipe.evaluation_tokens,
        beta=inputs.lower_beta,
        version=inputs.scorer.version,
    )
    distinct = {(tuple(messages), response): None for messages, response in rows}
    found = dict(zip(distinct, ensemble.score(list(distinct)), strict=True))
    del ensemble
    _free()
    return [found[tuple(messages), response] for messages, response in rows]


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _hear_scorer(
    spec: RunSpec,
    inputs: PolicyInputs,
    labelled: Sequence[ReplayRow],
    drawn: Sequence[ReplayRow],
    recipe: EvaluationRecipe,
    *,
    seed: int,
) -> tuple[Judged, list[_Good]]:
    """Return what people and the ensemble said of production's answers, and which of them the ensemble finds good."""
    known = [(row, row.human, row.response) for row in labelled if row.human is not None and row.response is not None]
    said = [(row, row.response) for row in drawn if row.response]
    rewards = _score(
        spec,
        inputs,
        recipe,
        [
            *((row.messages, response) for row, _, response in known),
            *((row.messages, human.reference_response) for row, human, _ in known),
            *((row.messages, response) for row, response in said),
        ],
    )
    own, references = rewards[: len(known)], rewards[len(known) : 2 * len(known)]
    scored = [
        (row, human, win_of(reward.margins(reference), inputs.temperature), response)
        for (row, human, response), reward, reference in zip(known, own, references, strict=True)
        if reward is not None and reference is not None
    ]
    judged = Judged(
        opinions=np.array([opinion for _, _, opinion, _ in scored], dtype=np.float64),
        gaps=shortened(np.array([written_gap(text, human.reference_response) for _, human, _, text in scored])),
        verdicts=np.array([human.value for _, human, _, _ in scored], dtype=np.float64),
        probabilities=np.array([human.probability for _, human, _, _ in scored], dtype=np.float64),
        clusters=[row.cluster for row, _, _, _ in scored],
    )
    of_cohort: dict[str, list[tuple[float, int]]] = {}
    for place, ((row, _), reward) in enumerate(zip(said, rewards[2 * len(known) :], strict=True)):
        if reward is not None:
            of_cohort.setdefault(row.cohort, []).append((-reward.lower, place))
    upper = sorted(place for found in of_cohort.values() for _, place in sorted(found)[: -(-len(found) // 2)])
    return judged, [_Good(*said[place]) for place in draw(upper, recipe.good_answers, seed=seed)]


def _ask(
    name: str,
    folder: Path,
    server: AnsweringServer | None,
    asked: Sequence[_Asked],
    good: Sequence[_Good],
    *,
    recipe: EvaluationRecipe,
    seed: int,
    progress: Progress,
) -> _Side:
    """Let one side answer, by its server or by its folder, and read the champion's good answers by its folder."""
    policy: HuggingFacePolicy = load_policy(folder)
    answering: _Answering = policy
    if server is not None:
        answering = ServedPolicy(
            server, concurrency=recipe.server_concurrency, timeout_seconds=recipe.server_timeout_seconds
        )
    decoding = Decoding(recipe.max_new_tokens, recipe.answer_temperature, seed, recipe.evaluation_tokens)

    def heard(done: int) -> None:
        progress.report(f"the {name} answered {done} of {len(asked)} prompts", phase=PHASE)

    answers = answering.answer([item.messages for item in asked], decoding, heard)
    failures = Counter(answer.reason for answer in answers if isinstance(answer, Unanswered) and answer.failed)
    if failures.total() > MOST_FAILED * len(asked):
        reasons = ", ".join(f"{count} {reason}" for reason, count in failures.most_common(3))
        where = server.url if server is not None else folder
        raise InvalidInput(
            f"{name} at {where}: {failures.total()} of {len(asked)} requests failed ({reasons}); a tenth may at most"
        )
    read = policy.read([(item.row.messages, item.response) for item in good])
    del policy, answering
    _free()
    return _Side(answers, read)


def _answered(asked: Sequence[_Asked], candidate: _Side, champion: _Side, *, counter: Path) -> list[AnsweredPrompt]:
    """Return a row a prompt, tokens of both sides counted by the policy in *counter*.

    A prompt that either side did not answer is left out for both, and says why.
    """
    found = []
    said = [answer.text if isinstance(answer, Answer) else "" for answer in (*candidate.answers, *champion.answers)]
    tokens = count_tokens(counter, said) if said else []
    for place, (item, mine, theirs) in enumerate(zip(asked, candidate.answers, champion.answers, strict=True)):
        gone = [
            f"the {name} has no answer: {answer.reason}"
            for name, answer in (("candidate", mine), ("champion", theirs))
            if isinstance(answer, Unanswered)
        ]
        found.append(
            AnsweredPrompt(
                index=item.index,
                item_id=item.item_id,
                suite=item.name,
                kind=REPLAY if item.suite is None else item.suite.kind.value,
                cohort=item.cohort,
                cluster=item.cluster,
                messages=item.messages,
                candidate=mine.text if isinstance(mine, Answer) else None,
                champion=theirs.text if isinstance(theirs, Answer) else None,
                candidate_tokens=tokens[place] if isinstance(mine, Answer) else None,
                champion_tokens=tokens[len(asked) + place] if isinstance(theirs, Answer) else None,
                candidate_outcome=item.outcome(mine.text) if isinstance(mine, Answer) else None,
                champion_outcome=item.outcome(theirs.text) if isinstance(theirs, Answer) else None,
                candidate_flags=flags_of(mine.text, cut=mine.cut) if isinstance(mine, Answer) else (),
                champion_flags=flags_of(theirs.text, cut=theirs.cut) if isinstance(theirs, Answer) else (),
                left_out=gone[0] if gone else "",
            )
        )
    return found


def _with_margins(
    answered: Sequence[AnsweredPrompt], spec: RunSpec, inputs: PolicyInputs, recipe: EvaluationRecipe
) -> list[AnsweredPrompt]:
    """Add what each member of the ensemble thinks of both answers to a replayed prompt, each answer scored alone."""
    places = [place for place, row in enumerate(answered) if row.kind == REPLAY and not row.left_out]
    texts = [
        (answered[place].messages, text or "")
        for place in places
        for text in (answered[place].candidate, answered[place].champion)
    ]
    rewards = _score(spec, inputs, recipe, texts)
    found = list(answered)
    for place, mine, theirs in zip(places, rewards[::2], rewards[1::2], strict=True):
        if mine is not None and theirs is not None:
            margins = mine.margins(theirs)
            won = win_of_margins(margins, inputs.lower_beta)
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
