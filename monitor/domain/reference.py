"""What comes of asking the released policy a prompt again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from monitor.domain.alarm import Alarm
from monitor.domain.trace import Message


class AnswerOutcome(StrEnum):
    ANSWERED = "answered"
    CUT = "cut"  # by a limit that production does not have
    TIMED_OUT = "timed_out"
    GARBLED = "garbled"  # this is no answer as the protocol has it
    FAILED = "failed"  # an error of the server that came again and again
    REJECTED = "rejected"  # the server will not take this prompt, whatever it would answer
    NO_TEXT = "no_text"  # the prompt's text is kept no more: nothing was asked
    UNAVAILABLE = "unavailable"  # nothing was taken for an answer: the prompt is asked again, later

    @property
    def is_skipped(self) -> bool:
        """Say whether the prompt alone decided that there is no pair: to leave it out favours nobody."""
        return self in {AnswerOutcome.REJECTED, AnswerOutcome.NO_TEXT}


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """The released policy's fresh answer to a prompt; `text` is None unless it is answered or cut."""

    outcome: AnswerOutcome
    text: str | None = None
    finish_reason: str | None = None
    output_tokens: int | None = None  # as the server counts
    total_tokens: int | None = None  # of prompt and answer, likewise
    retry_after_seconds: float | None = None  # where the server asks to be left alone
    detail: str = ""  # for the log: never the text


@dataclass(frozen=True, slots=True)
class Measured:
    """One of the two answers to a prompt, as it is compared with the other."""

    tokens: int | None  # as its producer reported them
    words: int
    refused: bool
    cut: bool  # by the limit on its length
    reward: float | None = None  # both of a pair by the same reward model

    def length(self, *, reported: bool) -> int | None:
        return self.tokens if reported else self.words


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt: production's, as it was logged, and the released policy's, fresh."""

    rank: int  # in the order in which the prompts were chosen
    place: int
    trace_id: str | None
    chosen: bool  # it lies in the window that raised the alarm, so its answer had a part in choosing it
    outcome: AnswerOutcome | None = None  # None: not answered yet
    old: Measured | None = None
    new: Measured | None = None


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """Production's answer and the prompt it was given, as far as they are kept."""

    trace_id: str
    messages: Sequence[Message]
    response: str
    output_tokens: int | None  # as its producer reported them
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class Figure:
    """How one signal differs between the two answers to the same prompts, old minus new."""

    signal: str
    pairs: int
    estimate: float
    lower: float  # 95% confidence sequence
    upper: float
    unit: str


@dataclass(frozen=True, slots=True)
class ChosenPrompt:
    place: int
    trace_id: str | None
    chosen: bool  # as of `Pair`


@dataclass(frozen=True, slots=True)
class Asking:
    """An alarm whose prompts are asked again."""

    alarm_id: int
    alarm: Alarm
    created_at: datetime
    rounds: int  # times that the most prompts may be asked
    baseline: tuple[int, int]  # first place and stop of its window


@dataclass(frozen=True, slots=True)
class Budget:
    requests: int
    tokens: int  # of prompts and answers
