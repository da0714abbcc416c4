"""What becomes of labels as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from monitor.domain.label import Label, LabelOutcome
from monitor.labels.verdict import order_of


def outcomes(
    labels: Sequence[Label], new: Collection[tuple[str, bytes]], *, stored: Iterable[Label]
) -> list[LabelOutcome]:
    """Say what became of each of *labels*, in their order.

    *new* holds id and digest of what was not there before; *stored* holds, with the new ones, at least all contents
    of their ids and all that their annotators have said of their traces.
    """
    earliest: dict[object, Any] = {}
    for label in stored:
        for subject in _subjects(label):
            earliest[subject] = min(earliest.get(subject, order_of(label)), order_of(label))
    left = set(new)
    found = []
    for label in labels:
        content = label.label_id, label.digest()
        if content not in left:
            found.append(LabelOutcome.KNOWN)
            continue
        left.discard(content)
        corrects = any(earliest[subject] < order_of(label) for subject in _subjects(label))
        found.append(LabelOutcome.CORRECTED if corrects else LabelOutcome.STORED)
    return found


def _subjects(label: Label) -> list[tuple[str | None, ...]]:
    """Return what a later label takes the place of it by: its id, and its annotator's question."""
    own: list[tuple[str | None, ...]] = [(label.label_id,)]
    if label.annotator_id is not None:
        own.append((label.annotator_id, label.trace_id, label.kind, label.criteria_version))
    return own
