"""Labels without a database, taken by the daemon's own intake: what it refuses is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitor.app.labels import LabelIntake
from monitor.domain.label import Label, LabelOutcome, StoredLabel
from monitor.domain.order import Actor
from monitor.ingest.limits import limits_of
from monitor.labels.intake import outcomes
from monitor.labels.verdict import latest, order_of
from monitor.settings.ingest import IngestSettings

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class InMemoryLabels:
    """`app.labels.LabelStore`."""

    said: list[Label] = field(default_factory=list)
    posted: list[tuple[Actor, list[Label]]] = field(default_factory=list)

    def post(self, labels: Sequence[Label], *, actor: Actor) -> list[LabelOutcome]:
        self.posted.append((actor, list(labels)))
        known = {(one.label_id, one.digest()) for one in self.said}
        new = {(one.label_id, one.digest()): one for one in labels if (one.label_id, one.digest()) not in known}
        self.said += new.values()
        return outcomes(labels, set(new), stored=self.said)

    def labels_of(self, trace_id: str, *, limit: int) -> list[StoredLabel]:
        stands = {order_of(one) for one in latest(self.said)}
        told = sorted((one for one in self.said if one.trace_id == trace_id), key=order_of, reverse=True)
        return [StoredLabel(one, NOON, None, latest=order_of(one) in stands) for one in told[:limit]]

    def port(self) -> LabelIntake:
        return LabelIntake(self, limits_of(IngestSettings()), lambda: datetime.now(UTC))
