"""The active baseline's window: exported for a candidate to score, and the laws that come of it stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, func, select, text, update

from monitor.domain.baseline import BaselineExtension
from monitor.drift.stored import BaselineWindow, WindowTrace
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.streams import PostgresFoldStore, active_baseline
from monitor.runs.artifact import HashedFile

EXPORT_ROWS = 500  # fetched at once: more would be memory, and a transaction that is idle while they are written
_WINDOW = text(
    "select place as trace_index, cohort, policy_model, messages, response, reference_response from baseline_trace"
    " where baseline_id = :baseline_id order by place"
)
_COHORTS = text("select place, cohort, policy_model from baseline_trace where baseline_id = :baseline_id")


class PostgresBaselineTraces:
    """The dispatcher's `BaselineTraces` and drift's `WindowSource`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def export(self, path: Path) -> HashedFile | None:
        """Write the active baseline's traces, as `RunSpec.rescore` describes them; None where none are kept."""
        with transaction(self._engine) as connection:
            active = active_baseline(connection)
            if active is None:
                return None
            paged = connection.execution_options(yield_per=EXPORT_ROWS)
            rows = paged.execute(_WINDOW, {"baseline_id": active.baseline_id})
            digest, count = hashlib.sha256(), 0
            with path.open("wb") as target:
                for row in rows:
                    form = {
                        "index": row.trace_index,
                        "messages": row.messages,
                        "response": row.response,
                        "reference_response": row.reference_response,
                    }
                    line = msgspec.json.encode(form) + b"\n"
                    target.write(line)
                    digest.update(line)
                    count += 1
        if not count:
            path.unlink()
            return None
        return HashedFile(str(path.absolute()), digest.hexdigest(), count)

    def window(self) -> BaselineWindow | None:
        with transaction(self._engine) as connection:
            active = active_baseline(connection)
            if active is None:
                return None
            rows = connection.execute(_COHORTS, {"baseline_id": active.baseline_id})
            traces = {row.place: WindowTrace(row.cohort, row.policy_model) for row in rows}
            if not traces:  # texts are not stored: there is nothing to score again
                return None
        window = active.baseline
        subjects = PostgresFoldStore(self._engine).subjects(window.first_place, window.stop_place)
        return BaselineWindow(active.baseline_id, active.revision, window, traces, subjects)


class PostgresBaselines:
    """`retraining.work.Baselines` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def extend(self, extension: BaselineExtension | None) -> bool:
        baseline = schema.baseline.c
        if extension is None:
            active = select(func.count()).select_from(schema.baseline).where(baseline.active)
            return self._connection.execute(active).scalar_one() == 0
        same = baseline.baseline_id == extension.baseline_id, baseline.revision == extension.revision, baseline.active
        changed = {"content": extension.content, "revision": baseline.revision + 1}
        return self._connection.execute(update(schema.baseline).where(*same).values(changed)).rowcount == 1
