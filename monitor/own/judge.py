"""A chat model that is asked for a number as a signal: on a share of the traces, bounded in time, backed off."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.domain.signal import SignalKind
from monitor.domain.trace import Message, Trace
from monitor.judges.chat import Chat, Judge, JudgeOutcome, JudgeRules
from monitor.own.answer import Answer, number_of
from monitor.own.failures import Failures
from monitor.own.texts import conversation_text, prompt_text
from monitor.reference.http import HttpReference, ReferenceEndpoint
from monitor.settings.own import JudgeSettings, OwnSignal

MAX_CHARACTERS = 32_000  # of each text that is shown to the judge
NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_PLACES = re.compile(r"\{(prompt|response|conversation)\}")


@dataclass(frozen=True, slots=True)
class NumberQuestion:
    """The operator's own words with a trace's texts in them, answered by a number alone."""

    name: str
    text: str
    lowest: float
    highest: float
    version: str

    def messages(self, trace: Trace) -> tuple[Message, ...]:
        texts = {
            "prompt": prompt_text(trace) or "",
            "response": trace.response or "",
            "conversation": conversation_text(trace) or "",
        }
        return (Message("user", _PLACES.sub(lambda place: texts[place[1]][:MAX_CHARACTERS], self.text)),)

    def read(self, reply: str) -> float | None:
        """Return the number that *reply* is; None for anything else, and for one out of range."""
        told = reply.strip()
        if NUMBER.fullmatch(told) is None:
            return None
        value = float(told)
        return value if self.lowest <= value <= self.highest else None


def chat_of(judge: JudgeSettings, name: str) -> Chat:
    """Return the endpoint that *judge* names."""
    return HttpReference(
        ReferenceEndpoint(
            url=judge.url,
            model=judge.model,
            temperature=0.0,
            max_tokens=judge.max_tokens,
            timeout_seconds=judge.timeout_seconds,
            concurrency=judge.concurrency,
            api_key=judge.api_key.get_secret_value() if judge.api_key is not None else None,
            setting=f"signals.own.{name}.judge.model",
        )
    )


def read_judge(own: OwnSignal, kind: SignalKind, *, version: str, key: bytes, failures: Failures) -> JudgeSignal:
    """Return the reader of *own*; nothing is opened before the first trace comes.

    *key* is that of the hash that draws the traces, so that a replay asks about the same ones.
    """
    settings = own.judge
    assert settings is not None
    question = NumberQuestion(own.name, settings.prompt, settings.lowest, settings.highest, version)
    rules = JudgeRules(settings.share, key, settings.timeout_seconds, settings.concurrency)

    def open_judge() -> Judge:
        judge = Judge(question, chat_of(settings, own.name), rules, model=settings.model or "served")
        judge.on_outcome = lambda outcome, count: _note(own.name, outcome, count, failures)
        return judge

    return JudgeSignal(open_judge, kind)


def _note(name: str, outcome: JudgeOutcome, count: int, failures: Failures) -> None:
    if outcome is not JudgeOutcome.JUDGED:
        failures.add(name, f"the judge: {outcome}", count)


class JudgeSignal:
    """What the judge says of the traces that are drawn; the judge counts itself what it does not say."""

    def __init__(self, open_judge: Callable[[], Judge], kind: SignalKind) -> None:
        self._open, self._kind = open_judge, kind
        self._judge: Judge | None = None

    def close(self) -> None:
        if self._judge is not None:
            self._judge.close()

    def read(self, traces: Sequence[Trace]) -> list[Answer]:
        if self._judge is None:
            self._judge = self._open()
        return [number_of(value, self._kind) for value in self._judge.read(traces)]
