"""Asking the live model the items of a run, a few at a time, in threads of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.domain.reference import AnswerOutcome, ReferenceAnswer
from monitor.domain.trace import Message
from monitor.probes.judge import judge
from monitor.probes.run import Answered, now, version_of
from monitor.probes.suite import Item, Suite
from monitor.signals.refusal import RefusalModel, pinned

ATTEMPTS = 3  # of one item, where the server is away or fails
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
GIVE_UP = 5  # items in a row that got no answer: the rest is not asked
_AGAIN = frozenset({AnswerOutcome.UNAVAILABLE, AnswerOutcome.FAILED})


class LiveModel(Protocol):
    """The live model; may be asked from many threads."""

    @property
    def model(self) -> str | None:
        """What the server calls it; None while that is not known."""
        ...

    def ask(self, messages: Sequence[Message]) -> ReferenceAnswer:
        """Return its answer to *messages*, or what became of the request; raises nothing."""
        ...


Judge = Callable[[Item, str], tuple[float | None, str]]  # the outcome of an answer, and the version of what judged it


def judge_of(suite: Suite, refusals: RefusalModel) -> Judge:
    """Return what judges the answers to *suite*, refusals by their model."""
    reader = pinned(refusals)  # all of a run is judged by one
    version = version_of(suite, reader)
    return lambda item, answer: (judge(suite, item, answer, reader), version)


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long is waited before an item is asked again; a test waits less."""

    first_seconds: float = PAUSE_SECONDS
    longest_seconds: float = LONGEST_PAUSE_SECONDS

    def before(self, attempt: int, answer: ReferenceAnswer) -> float:
        return min(max(self.first_seconds * 2.0**attempt, answer.retry_after_seconds or 0.0), self.longest_seconds)


PAUSES = Pauses()


class Flight:
    """The items of one run on their way: daemon's threads ask them, so that nobody who leaves waits for an answer."""

    def __init__(
        self, model: LiveModel, items: Sequence[Item], judged: Judge, *, concurrency: int, pauses: Pauses = PAUSES
    ) -> None:
        self._model, self._judge, self._pauses = model, judged, pauses
        self._items = items
        self._waiting: Iterator[int] = iter(range(len(items)))
        self._answered: dict[int, Answered] = {}
        self._lock = threading.Lock()
        self._failed_in_a_row = 0
        self._error: BaseException | None = None
        self.detail = ""  # of the last item that got no answer
        self._threads = [
            threading.Thread(target=self._run, name="probes", daemon=True) for _ in range(min(concurrency, len(items)))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()

    def answered(self) -> list[Answered]:
        """Return the items with what came of them, in their order; raises what judging one has raised."""
        if self._error is not None:
            raise self._error
        rest = now()
        return [
            self._answered.get(number) or Answered(item, None, None, "", rest)
            for number, item in enumerate(self._items)
        ]

    def _run(self) -> None:
        try:
            while (number := self._next()) is not None:
                item = self._items[number]
                answer = self._ask(item)
                outcome, version = (None, "") if answer.text is None else self._judge(item, answer.text)
                with self._lock:
                    self._answered[number] = Answered(item, answer.text, outcome, version, now())
                    self._failed_in_a_row = 0 if answer.text is not None else self._failed_in_a_row + 1
                    self.detail = self.detail if answer.text is not None else f"{answer.outcome}: {answer.detail}"
        except BaseException as error:  # noqa: BLE001 - it is raised where the answers are taken
            self._error = error

    def _next(self) -> int | None:
        with self._lock:
            lost = self._failed_in_a_row >= GIVE_UP or self._error is not None
            return None if lost else next(self._waiting, None)

    def _ask(self, item: Item) -> ReferenceAnswer:
        answer = self._model.ask(item.messages)
        for attempt in range(ATTEMPTS - 1):
            if answer.outcome not in _AGAIN or self._failed_in_a_row >= GIVE_UP:
                break
            time.sleep(self._pauses.before(attempt, answer))
            answer = self._model.ask(item.messages)
        return answer
