"""Traces, baselines and the audit without a database, kept in lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, date, datetime

from monitor.domain.audit import AuditQuery, AuditRow
from monitor.domain.baseline import BaselineQuery, TraceWindow, window_bounds
from monitor.domain.order import Actor
from monitor.domain.stored_trace import (
    FoundTraces,
    Said,
    TraceDetail,
    TraceObservation,
    TracePlace,
    TraceQuery,
    TraceRow,
    TraceScore,
    TraceText,
)
from monitor.domain.view import BaselineSummary
from monitor.drift.preview import FreezePreview, LawChange
from monitor.drift.summary import BaselineLaws, SignalSummary
from monitor.errors import Conflict

DAY = date(2026, 11, 21)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SAID = TraceText("c-1", "u-1", (Said("user", "Where is my order?"),), "On its way.", None, None)


def trace_row(trace_id: str, **changes: object) -> TraceRow:
    usual = TraceRow(
        trace_id=trace_id,
        timestamp=NOON,
        stored_on=DAY,
        policy_model="chat-2",
        cohort="billing",
        finish_reason="stop",
        input_tokens=12,
        output_tokens=40,
        output_tokens_source="reported",
        latency_seconds=0.8,
        feedback_rating=None,
        tool_calls=0,
        failed=False,
        repeated=False,
        truncated=False,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


@dataclass
class InMemoryRecords:
    rows: list[TraceRow] = field(default_factory=list)  # oldest first
    frozen: list[BaselineSummary] = field(default_factory=list)  # oldest first
    audited: list[AuditRow] = field(default_factory=list)  # oldest first
    stored: int = 1000  # traces
    laws: tuple[LawChange, ...] = ()  # that a preview tells
    expected: tuple[SignalSummary, ...] = ()  # of every baseline
    followed: dict[int, tuple[tuple[str, str, str], ...]] = field(default_factory=dict)  # signal, policy model, cohort

    def traces(self, query: TraceQuery, *, limit: int, after: TracePlace | None = None) -> FoundTraces:
        numbered = [(TracePlace(row.stored_on, 1, number), row) for number, row in enumerate(self.rows)][::-1]
        older = [(place, row) for place, row in numbered if after is None or place < after]
        page = older[:limit]
        fitting = tuple(
            row
            for _, row in page
            if query.trace_id in {None, row.trace_id}
            and query.cohort in {None, row.cohort}
            and query.policy_model in {None, row.policy_model}
            and (query.since is None or row.timestamp >= query.since)
            and (query.until is None or row.timestamp < query.until)
        )
        return FoundTraces(fitting, page[-1][0] if len(older) > limit else None)

    def trace(self, trace_id: str) -> TraceDetail | None:
        scores = (TraceScore("v1", 0.4, 0.3, 0.1),)
        seen = (TraceObservation("refusal", "1", 0.0),)
        return next((TraceDetail(row, scores, seen) for row in self.rows if row.trace_id == trace_id), None)

    def read(self, trace_id: str, *, actor: Actor) -> TraceDetail | None:
        found = self.trace(trace_id)
        if found is None:
            return None
        self.note(actor, "trace.read", f"trace {trace_id}")
        return replace(found, text=SAID)

    def baselines(self, wanted: BaselineQuery, *, limit: int, before: int | None = None) -> Sequence[BaselineSummary]:
        names = astuple(wanted)
        found = [
            row
            for row in self.frozen[::-1]
            if (before is None or row.baseline_id < before)
            and (wanted.is_open or any(_fits(names, law) for law in self.followed.get(row.baseline_id, ())))
        ]
        return found[:limit]

    def summary(self, baseline_id: int) -> BaselineSummary | None:
        return next((row for row in self.frozen if row.baseline_id == baseline_id), None)

    def laws_of(self, baseline_id: int) -> BaselineLaws | None:
        return None if self.summary(baseline_id) is None else BaselineLaws(baseline_id, 0, self.expected, ())

    def preview(self, window: TraceWindow) -> FreezePreview:
        start, stop = window_bounds(window, self.stored)
        active = self.frozen[-1].baseline_id if self.frozen else None
        return FreezePreview(start, stop, active, self.laws, ("lang=fr",), (), 2)

    def freeze(
        self, window: TraceWindow, *, actor: Actor, note: str = "", instead_of: int | None = None
    ) -> BaselineSummary:
        start, stop = window_bounds(window, self.stored)
        active = self.frozen[-1].baseline_id if self.frozen else None
        if instead_of not in {None, active}:
            raise Conflict(f"baseline {instead_of} is not the active one")
        self.frozen = [replace(row, active=False) for row in self.frozen]
        made = BaselineSummary(len(self.frozen) + 1, NOON, actor.name, note, start, stop, stop - start, start)
        self.frozen.append(made)
        self.note(actor, "baseline.freeze", f"baseline {made.baseline_id}")
        return made

    def audit(self, wanted: AuditQuery, *, limit: int, before: int | None = None) -> Sequence[AuditRow]:
        found = [
            row
            for row in self.audited[::-1]
            if wanted.actor in {None, row.actor}
            and wanted.subject in {None, row.subject}
            and (wanted.action in {None, row.action} or row.action.startswith(f"{wanted.action}."))
            and (wanted.since is None or row.at >= wanted.since)
            and (wanted.until is None or row.at < wanted.until)
            and (before is None or row.audit_id < before)
        ]
        return found[:limit]

    def note(self, actor: Actor, action: str, subject: str) -> None:
        row = AuditRow(len(self.audited) + 1, NOON, actor.name, actor.role, action, subject, {})
        self.audited.append(row)


def _fits(names: tuple[str | None, ...], law: tuple[str, ...]) -> bool:
    return all(name in {None, of} for name, of in zip(names, law, strict=True))
