"""Asking the released policy a logged prompt again, and measuring both answers alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from monitor.domain.reference import AnswerOutcome, LoggedAnswer, Measured, ReferenceAnswer
from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.errors import Unavailable
from monitor.signals.outcome import CUT_OFF
from monitor.signals.refusal import PatternRefusal, RefusalModel, read_answers

Compared = tuple[ReferenceAnswer, Measured, Measured | None]  # the answer; production's, and it, as compared
Score = Callable[[Sequence[tuple[Sequence[Message], str]]], Sequence[Reward | None]]
log = structlog.get_logger(__name__)


class ReferencePolicy(Protocol):
    """The released policy; may be asked from many threads."""

    def ask(self, messages: Sequence[Message]) -> ReferenceAnswer:
        """Return its answer to *messages*, or what became of the request; raises nothing."""
        ...

    def close(self) -> None:
        """Let go of what is on its way."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """Who is asked, and what scores the answers."""

    policy: ReferencePolicy
    score: Score
    refusals: RefusalModel = field(default_factory=PatternRefusal)  # of both answers, as of the traces

    def start(self, logged: LoggedAnswer) -> Future[Compared]:
        """Ask in a thread of its own: a daemon's, so that nobody who leaves waits for an answer."""
        answer: Future[Compared] = Future()
        threading.Thread(target=self._fulfil, args=(answer, logged), name="reference", daemon=True).start()
        return answer

    def _fulfil(self, answer: Future[Compared], logged: LoggedAnswer) -> None:
        try:
            answer.set_result(self.compare(logged))
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is taken
            answer.set_exception(error)

    def compare(self, logged: LoggedAnswer) -> Compared:
        """Ask and wait; both rewards are of the same model, now."""
        answer = self.policy.ask(logged.messages)
        cut = (logged.finish_reason or "").lower() in CUT_OFF
        old = self._measured(logged.messages, logged.response, tokens=logged.output_tokens, cut=cut)
        text = answer.text
        if text is None:
            return answer, old, None
        if answer.total_tokens is None:
            words = sum(len(message.content.split()) for message in logged.messages) + len(text.split())
            answer = replace(answer, total_tokens=words)
        is_cut = answer.outcome is AnswerOutcome.CUT
        new = self._measured(logged.messages, text, tokens=answer.output_tokens, cut=is_cut)
        rewards: Sequence[Reward | None] = (None, None)
        try:
            rewards = self.score([(logged.messages, logged.response), (logged.messages, text)])
        except Unavailable as reason:
            log.warning("reference_not_scored", reason=str(reason))
        means = [None if reward is None else reward.mean for reward in rewards]
        return answer, replace(old, reward=means[0]), replace(new, reward=means[1])

    def _measured(self, messages: Sequence[Message], text: str, *, tokens: int | None, cut: bool) -> Measured:
        """Return what is compared of one answer."""
        (reading,) = read_answers(self.refusals, [(messages, text)])
        refused = reading is not None and reading.probability >= self.refusals.threshold
        return Measured(tokens=tokens, words=len(text.split()), refused=refused, cut=cut)
