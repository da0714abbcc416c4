"""What both policies are asked, and what they answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.probes.judge import judge_all
from monitor.probes.suite import Item, Suite, read_suite
from monitor.runs.artifact import HashedFile
from monitor.runs.evidence import REPLAY, AnsweredPrompt
from monitor.runs.policy import AnsweringServer
from monitor.signals.refusal import RefusalModel, read_answers
from retrain.answer_flags import flags_of
from retrain.ask_server import MOST_FAILED, ServedPolicy
from retrain.evaluation_recipe import EvaluationRecipe
from retrain.generate import Answer, Decoding, Prompt, TransformersPolicy, Unanswered, count_tokens
from retrain.replay import ReplayRow, draw

TOLD = 50  # times that a side's answers are reported, at most


@dataclass(frozen=True, slots=True)
class Asked:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two, by its folder; *server* answers for it where there is one."""

    name: str
    folder: Path
    server: AnsweringServer | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What one side answered to each prompt, and what each of the good answers is to it: nats a token, and tokens."""

    answers: list[Answer | Unanswered]
    read: list[tuple[float, int] | None]


class Answering(Protocol):
    def answer(
        self, prompts: Sequence[Prompt], decoding: Decoding, heard: Callable[[int], None]
    ) -> list[Answer | Unanswered]: ...


def of_replay(rows: Iterable[ReplayRow]) -> Iterator[Asked]:
    for row in rows:
        yield Asked(row.index, row.trace_id, row.cohort, row.cluster, row.messages, None, None)


def of_suites(suites: Mapping[str, HashedFile], recipe: EvaluationRecipe, *, seed: int) -> Iterator[Asked]:
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
                yield Asked(places[item.item_id], item.item_id, item.category, cluster, item.messages, suite, item)


def ask(
    side: Side,
    asked: Sequence[Asked],
    good: Sequence[tuple[Prompt, str]],
    recipe: EvaluationRecipe,
    *,
    seed: int,
    report: Callable[[str], None],
) -> Heard:
    """Let one side answer, and read the *good* answers by its folder.

    Raises `InvalidInput` where more than a tenth of its requests failed, or what it reads is not finite.
    """
    policy = TransformersPolicy.load(side.folder)
    answering: Answering = policy
    if side.server is not None:
        answering = ServedPolicy(
            side.server, concurrency=recipe.server_concurrency, timeout_seconds=recipe.server_timeout_seconds
        )
    decoding = Decoding(recipe.max_new_tokens, recipe.answer_temperature, seed, recipe.evaluation_tokens)

    def heard(done: int) -> None:
        if done == len(asked) or done % max(len(asked) // TOLD, 1) == 0:
            report(f"the {side.name} answered {done} of {len(asked)} prompts")

    answers = answering.answer([item.messages for item in asked], decoding, heard)
    failures = Counter(answer.reason for answer in answers if isinstance(answer, Unanswered) and answer.failed)
    if failures.total() > MOST_FAILED * len(asked):
        reasons = ", ".join(f"{count} {reason}" for reason, count in failures.most_common(3))
        where = side.server.url if side.server is not None else side.folder
        raise InvalidInput(
            f"{side.name} at {where}: {failures.total()} of {len(asked)} requests failed, where a tenth may ({reasons})"
        )
    read = policy.read(good)
    if not all(math.isfinite(found[0]) for found in read if found is not None):
        raise InvalidInput(
            f"{side.name} at {side.folder}: its log-probabilities are not finite, so its weights are broken"
        )
    return Heard(answers, read)


def outcomes_of(
    asked: Sequence[Asked], answers: Sequence[Answer | Unanswered], refusals: RefusalModel
) -> list[float | None]:
    """Return what each answer comes to: how probably it refuses on the replay, what the judge says of a suite's."""
    found: list[float | None] = [None] * len(asked)
    said = {place: answer.text for place, answer in enumerate(answers) if isinstance(answer, Answer)}
    replayed = [place for place in said if asked[place].suite is None]
    readings = read_answers(refusals, [(asked[place].messages, said[place]) for place in replayed])
    for place, reading in zip(replayed, readings, strict=True):
        found[place] = None if reading is None else reading.probability
    probed = [
        (place, suite, item)
        for place in said
        if (suite := asked[place].suite) is not None and (item := asked[place].item) is not None
    ]
    judged = judge_all([(suite, item, said[place]) for place, suite, item in probed], refusals)
    for (place, _, _), outcome in zip(probed, judged, strict=True):
        found[place] = outcome
    return found


def answered_rows(
    asked: Sequence[Asked], candidate: Heard, champion: Heard, *, counter: Path, refusals: RefusalModel
) -> list[AnsweredPrompt]:
    """Return a row a prompt, tokens of both sides counted by the policy in *counter*, both judged by *refusals*.

    A prompt that either side did not answer is left out for both, and says why.
    """
    found = []
    said = [answer.text if isinstance(answer, Answer) else "" for answer in (*candidate.answers, *champion.answers)]
    tokens = count_tokens(counter, said)
    outcomes = [outcomes_of(asked, side.answers, refusals) for side in (candidate, champion)]
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
                candidate_outcome=outcomes[0][place],
                champion_outcome=outcomes[1][place],
                candidate_flags=flags_of(mine.text, cut=mine.cut) if isinstance(mine, Answer) else (),
                champion_flags=flags_of(theirs.text, cut=theirs.cut) if isinstance(theirs, Answer) else (),
                left_out=gone[0] if gone else "",
            )
        )
    return found
