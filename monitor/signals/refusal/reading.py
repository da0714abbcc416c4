"""What is read of an answer that may refuse, and who reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from monitor.domain.observation import EPOCH
from monitor.domain.signal import Signal, SignalKind
from monitor.domain.trace import Message, Trace

REFUSAL = Signal(
    "refusal", SignalKind.PROBABILITY, "ratio", "how surely the answer declines what it was asked", of_texts=True
)
FULL_REFUSAL = Signal(
    "full_refusal", SignalKind.PROBABILITY, "ratio", "how surely it declines all that it was asked", of_texts=True
)
REFUSAL_JUDGED = Signal(
    "refusal_judged",
    SignalKind.PROBABILITY,
    "ratio",
    "whether a judge says so, on a share of the answers",
    of_texts=True,
)


class RefusalReading(Struct, frozen=True, gc=False):
    """How surely an answer refuses."""

    probability: float  # that it refuses, in full or in part
    full: float  # that it refuses in full; at most `probability`


NO_REFUSAL = RefusalReading(0.0, 0.0)
THRESHOLD = 0.5  # where a model states none


class RefusalModel(Protocol):
    """Reads answers together with what was asked; may be asked from many threads."""

    @property
    def version(self) -> str:
        """Return that of the series: readings of two versions do not compare."""
        ...

    @property
    def threshold(self) -> float:
        """Return the probability from which an answer is counted as a refusal, where it must be one or none."""
        ...

    def read(self, traces: Sequence[Trace]) -> Sequence[RefusalReading | None]:
        """Return a reading for each trace; None where there is nothing to judge, or not in a language it knows."""
        ...


def read_answers(
    model: RefusalModel, answers: Sequence[tuple[Sequence[Message], str]]
) -> Sequence[RefusalReading | None]:
    """Return what *model* reads of answers that are no traces, each beside what was asked."""
    return model.read([Trace("", EPOCH, "", answer, messages=tuple(asked)) for asked, answer in answers])


def counted_by(model: RefusalModel) -> str:
    """Return the version of refusals that are counted: who reads them, and from which probability one counts."""
    return f"{model.version}@{model.threshold:g}"
