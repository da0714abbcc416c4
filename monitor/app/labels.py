"""Labels that come by the API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from monitor.domain.label import Label, LabelOutcome, StoredLabel
from monitor.domain.order import Actor, Role
from monitor.errors import InvalidRow, InvalidRows, InvalidTrace
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.formats.native import decode_label
from monitor.telemetry.intake import LabelCounts
from monitor.web.routes.label import PostedLabel

FOREIGN = "foreign_annotator"


class LabelStore(Protocol):
    def post(self, labels: Sequence[Label], *, actor: Actor) -> Sequence[LabelOutcome]:
        """Store *labels* and write one row of the audit; return what became of each."""
        ...

    def labels_of(self, trace_id: str, *, limit: int) -> Sequence[StoredLabel]: ...


@dataclass(frozen=True, slots=True)
class LabelIntake:
    """`web.routes.label.Labels`: what the topic takes is taken here, and by the same rules."""

    store: LabelStore
    limits: DecodeLimits
    clock: Callable[[], datetime]
    counts: LabelCounts | None = None

    def post(self, rows: Sequence[bytes], *, actor: Actor) -> Sequence[PostedLabel]:
        labels, wrong = list[Label](), list[InvalidRow]()
        for index, row in enumerate(rows):
            decoded = decode_label(row, self.limits, self.clock())
            if isinstance(decoded, InvalidTrace):
                wrong.append(InvalidRow(index, decoded.reason, decoded.detail))
            elif actor.role is Role.ANNOTATOR and decoded.annotator_id not in {None, actor.name}:
                wrong.append(InvalidRow(index, FOREIGN, f"annotator_id: {decoded.annotator_id!r}; {_wanted(actor)}"))
            else:
                labels.append(replace(decoded, annotator_id=actor.name) if actor.role is Role.ANNOTATOR else decoded)
        if wrong:
            if self.counts is not None:
                self.counts.count_invalid(len(wrong))
            raise InvalidRows(
                f"{len(wrong)} of {len(rows)} labels are wrong, and none was stored: mend or drop those that `rows`"
                " names, and send the batch again",
                wrong,
            )
        outcomes = self.store.post(labels, actor=actor)
        if self.counts is not None:
            for label, outcome in zip(labels, outcomes, strict=True):
                self.counts.count(outcome, label.source)
        return [PostedLabel(label.label_id, outcome) for label, outcome in zip(labels, outcomes, strict=True)]

    def labels_of(self, trace_id: str, *, limit: int) -> Sequence[StoredLabel]:
        return self.store.labels_of(trace_id, limit=limit)


def _wanted(actor: Actor) -> str:
    return f"wanted {actor.name!r}, who holds this token, or none: an operator's token may speak for others"
