"""Prompts of the last days with the answers production gave, and what people said of some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from monitor.domain.cohort import UNLABELLED
from monitor.domain.trace import Message
from monitor.errors import InvalidInput
from monitor.runs.artifact import HashedFile
from retrain.preferences import PreferencePair, parse_messages, parse_text, read_rows
from retrain.split import drop_tied

Item = TypeVar("Item")
NEVER = datetime(9999, 12, 31, tzinfo=UTC)  # younger than any pair: a prompt decides no group's side


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people said of production's answer against its reference response."""

    value: float  # 1: production's is better, 0: worse
    probability: float  # with which it was drawn to be judged
    reference_response: str


@dataclass(frozen=True, slots=True)
class ReplayRow:
    index: int
    trace_id: str
    conversation_id: str | None
    messages: tuple[Message, ...]
    response: str | None
    cohort: str
    human: Verdict | None

    @property
    def cluster(self) -> str:
        """What is the same for turns of one conversation, and for prompts with the same first question."""
        if self.conversation_id:
            return f"conversation {self.conversation_id}"
        first = next((message for message in self.messages if message.role == "user"), self.messages[0])
        return f"asked {first.content}"

    @property
    def prompt(self) -> PreferencePair:
        """The prompt as a pair without answers."""
        return PreferencePair(
            preference_id=self.trace_id,
            conversation_id=self.conversation_id,
            messages=self.messages,
            chosen="",
            rejected="",
            cohort=self.cohort,
            timestamp=NEVER,
            by_people=False,
        )


def untaught(rows: Sequence[ReplayRow], learnt: Sequence[PreferencePair]) -> tuple[ReplayRow, ...]:
    """Return those of *rows* that share no conversation and nearly no prompt with what was *learnt* from.

    Those are what a policy may be judged by: of the others it was told the answer.
    """
    free = {prompt.preference_id for prompt in drop_tied([row.prompt for row in rows], learnt)}
    return tuple(row for row in rows if row.trace_id in free)


def load_replay(file: HashedFile) -> tuple[ReplayRow, ...]:
    """Read the rows of `PolicyInputs.replay`; raise `InvalidInput` naming the line that cannot be read."""
    return tuple(_read(Path(file.path)))


def _read(path: Path) -> Iterator[ReplayRow]:
    for number, (where, row) in enumerate(read_rows(path)):
        messages = parse_messages(row, where)
        if not messages:
            raise InvalidInput(f"{where}: messages is empty; wanted a prompt")
        conversation = row.get("conversation_id")
        response, index = row.get("response"), row.get("index", number)
        if not isinstance(index, int) or (response is not None and not isinstance(response, str)):
            raise InvalidInput(f"{where}: index = {index!r}, response = {response!r:.80}; wanted a number and a text")
        yield ReplayRow(
            index=index,
            trace_id=parse_text(row, "trace_id", where),
            conversation_id=conversation or None,
            messages=messages,
            response=response,
            cohort=row.get("cohort") or UNLABELLED,
            human=_verdict(row["human"], where) if row.get("human") is not None else None,
        )


def _verdict(human: Any, where: str) -> Verdict:
    wanted = "value from 0 to 1, probability above 0 and a reference_response"
    try:
        value, probability = float(human["value"]), float(human["probability"])
        reference = human["reference_response"]
    except (TypeError, KeyError, ValueError):
        raise InvalidInput(f"{where}: human = {human!r:.80}; wanted {wanted}") from None
    if not (0.0 <= value <= 1.0 and 0.0 < probability <= 1.0 and isinstance(reference, str)):
        raise InvalidInput(f"{where}: human = {human!r:.80}; wanted {wanted}")
    return Verdict(value, probability, reference)


def draw(items: Sequence[Item], count: int, *, seed: int) -> list[Item]:
    """Return *count* of *items* drawn at random, in their order; 0 or more than there are: all."""
    if not 0 < count < len(items):
        return list(items)
    chosen = sorted(Random(seed).sample(range(len(items)), count))  # noqa: S311 - a draw of prompts, no secret
    return [items[place] for place in chosen]
