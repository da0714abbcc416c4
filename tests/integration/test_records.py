"""Traces, baselines and the audit in PostgreSQL, as the API reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace as changed
from sqlalchemy import Engine

from monitor.app.baselines import Baselines
from monitor.demo.traffic import NORMAL
from monitor.domain.audit import AuditQuery
from monitor.domain.baseline import BaselineQuery, TraceWindow
from monitor.domain.order import Actor, Role
from monitor.domain.stored_trace import TracePlace, TraceQuery
from monitor.drift.preview import FreezePreview, LawChange
from monitor.errors import Conflict
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.audit import PostgresAuditLog
from monitor.postgres.views.traces import PostgresTraces
from monitor.settings.root import Settings
from tests.integration.reasking import Ward, calls

pytestmark = pytest.mark.postgres
ADA = Actor("ada", Role.OPERATOR)


@pytest.fixture
def ward(engine: Engine) -> Ward:
    """Six hundred traces: the later half of two cohorts, and the last ten of another model."""
    ward = Ward(engine)
    ward.write(calls(NORMAL, "billing", 300, first=0, seed=1))
    later = calls(NORMAL, "billing", 150, first=300, seed=2)
    later += [changed(one, cohort={"dataset": "coding"}) for one in calls(NORMAL, "coding", 150, first=450, seed=3)]
    ward.write([changed(one, policy_model="other") if place >= 290 else one for place, one in enumerate(later)])
    return ward


def search(traces: PostgresTraces, query: TraceQuery, *, limit: int) -> tuple[list[str], int]:
    """Return the ids of all pages, and how many pages it took."""
    found: list[str] = []
    after: TracePlace | None = None
    for page in range(1, 1000):
        look = traces.traces(query, limit=limit, after=after)
        found += [row.trace_id for row in look.traces]
        after = look.goes_on_behind
        if after is None:
            return found, page
    raise AssertionError("the listing does not end")


def test_pages_of_traces_hold_each_once_and_the_newest_first(ward: Ward, engine: Engine) -> None:
    found, looks = search(PostgresTraces(engine), TraceQuery(), limit=250)
    assert (len(found), len(set(found)), looks) == (600, 600, 3)
    everything = PostgresTraces(engine).traces(TraceQuery(), limit=1000)
    assert [row.trace_id for row in everything.traces] == found
    assert everything.goes_on_behind is None


def test_a_filter_is_answered_in_looks_of_bounded_size(ward: Ward, engine: Engine) -> None:
    traces = PostgresTraces(engine, scanned_rows=100)
    rare, looks = search(traces, TraceQuery(policy_model="other"), limit=50)
    assert (len(rare), looks >= 6) == (10, True)
    coding, _ = search(traces, TraceQuery(cohort="dataset=coding"), limit=50)
    assert len(coding) == 150
    rows = {row.trace_id: row for row in traces.traces(TraceQuery(), limit=100).traces}
    latest = max(row.timestamp for row in rows.values())
    since = latest - timedelta(seconds=20)
    lately, _ = search(traces, TraceQuery(since=since, until=latest), limit=7)
    assert set(lately) == {name for name, row in rows.items() if since <= row.timestamp < latest}
    assert lately


def test_a_trace_is_told_with_its_signals_and_its_text_to_who_is_kept_in_the_audit(ward: Ward, engine: Engine) -> None:
    traces, log = PostgresTraces(engine), PostgresAuditLog(engine)
    (row,) = traces.traces(TraceQuery(cohort="dataset=coding"), limit=1).traces
    known = traces.trace(row.trace_id)
    assert known is not None
    assert (known.trace, known.text) == (row, None)
    values = {seen.signal: seen.value for seen in known.observations}
    assert values["response_length"] == row.output_tokens
    assert values["refusal"] <= 1.0
    assert log.audit(AuditQuery(action="trace"), limit=10) == []
    read = traces.read(row.trace_id, actor=ADA)
    assert read is not None
    assert read.text is not None
    assert read.text.messages[-1].role == "user"
    assert read.text.response
    (kept,) = log.audit(AuditQuery(action="trace", actor="ada"), limit=10)
    assert (kept.action, kept.subject, kept.role) == ("trace.read", f"trace {row.trace_id}", "operator")
    assert traces.read("nobody's", actor=ADA) is None
    assert traces.trace("nul\x00") is None
    assert len(log.audit(AuditQuery(), limit=10)) == 1


def test_a_preview_changes_nothing_and_tells_what_freezing_then_changes(ward: Ward, engine: Engine) -> None:
    baselines = Baselines(engine, Settings())
    first = baselines.freeze(TraceWindow(first=0, stop=300), actor=ADA, note="the first")
    seen = baselines.preview(TraceWindow(last=300))
    assert (seen.first_trace, seen.stop_trace, seen.instead_of) == (300, 600, first.baseline_id)
    assert (seen.cohorts_added, seen.cohorts_lost) == (("dataset=coding",), ())
    assert baselines.baselines(BaselineQuery(), limit=10)[0] == first
    length = change_of(seen, "response_length")
    assert length.before is not None
    assert length.after is not None
    assert (length.before.observations, length.after.observations) == (300, 300)
    ward.raise_alarm(onset=310, place=400)
    assert baselines.preview(TraceWindow(last=300)).alarms_superseded == 1
    with pytest.raises(Conflict, match="baseline 99 is not the active one"):
        baselines.freeze(TraceWindow(last=300), actor=ADA, instead_of=99)
    second = baselines.freeze(TraceWindow(last=300), actor=ADA, instead_of=first.baseline_id)
    laws = baselines.laws_of(second.baseline_id)
    assert laws is not None
    assert {law.signal: law.mean for law in laws.signals}["response_length"] == length.after.mean
    assert [row.active for row in baselines.baselines(BaselineQuery(), limit=10)] == [True, False]

    def found(before: int | None = None, **names: str) -> list[int]:
        return [row.baseline_id for row in baselines.baselines(BaselineQuery(**names), limit=10, before=before)]

    older, newer = first.baseline_id, second.baseline_id
    assert found(before=newer) == [older]
    assert found(signal="response_length", policy_model="*") == found() == [newer, older]
    assert found(cohort="dataset=coding") == [newer]
    assert found(cohort="dataset=coding", before=newer) == []
    assert found(cohort="dataset=all", signal="response_length") == [newer, older]
    assert found(signal="latency") == found(policy_model="nobody's") == found(cohort='a" || true') == []
    done = PostgresAuditLog(engine).audit(AuditQuery(action="baseline.freeze"), limit=10)
    assert [row.subject for row in done] == [f"baseline {second.baseline_id}", f"baseline {first.baseline_id}"]


def change_of(seen: FreezePreview, signal: str) -> LawChange:
    return next(change for change in seen.laws if change.signal == signal)


def test_a_window_that_is_not_there_is_refused_and_nothing_is_frozen(ward: Ward, engine: Engine) -> None:
    baselines = Baselines(engine, Settings())
    with pytest.raises(Conflict, match="the last 601 traces are not among the 600 stored"):
        baselines.freeze(TraceWindow(last=601), actor=ADA)
    assert baselines.baselines(BaselineQuery(), limit=1) == []
    assert PostgresFoldStore(engine).active() is None
