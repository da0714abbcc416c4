"""What people said of refusals, as rows that a refusal model learns from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from statistics import fmean

from msgspec import Struct

from monitor.domain.label import FULL, REFUSAL, Label
from monitor.labels.verdict import COUNTED, latest


class Refuses(StrEnum):
    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"


class RefusalRow(Struct, frozen=True):
    """One judged answer, a line of the file that `python -m retrain` learns refusals from."""

    prompt: str  # what was asked last
    answer: str
    refusal: Refuses
    source: str
    model: str  # that answered
    language: str  # of the answer as the learned model tells it, ISO 639; "und" at a loss


def refusals_of(labels: Iterable[Label]) -> dict[str, Refuses]:
    """Return by trace what most people say; a trace on which they are split is left out.

    A label that does not tell full from partial was asked whether an answer withholds all or most: it says full.
    """
    by_trace: defaultdict[str, list[Label]] = defaultdict(list)
    for label in latest(labels):
        if label.kind == REFUSAL and label.source in COUNTED:
            by_trace[label.trace_id].append(label)
    found = {}
    for trace_id, given in sorted(by_trace.items()):
        refuses = fmean(label.value for label in given)
        full = [label.dimensions.get(FULL, 1.0) for label in given if label.value > 0.5]
        if refuses < 0.5:
            found[trace_id] = Refuses.NONE
        elif refuses > 0.5 and (not full or fmean(full) != 0.5):
            found[trace_id] = Refuses.FULL if full and fmean(full) > 0.5 else Refuses.PARTIAL
    return found
