"""The active baseline's traces: exported for a candidate to score, and its scores made into laws."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Engine, Row, text

from monitor.domain.signal import DISAGREEMENT, REWARD
from monitor.drift.baseline import NullRule, SignalBaseline, Window, build_signal_baseline
from monitor.drift.stored import ActiveBaseline
from monitor.errors import Conflict
from monitor.postgres.engine import transaction
from monitor.postgres.streams import active_baseline, extend_baseline, hold_freezes
from monitor.runs.artifact import HashedFile
from monitor.runs.result import RunResult

_WINDOW = text(
    "select place as trace_index, cohort, policy_model, messages, response from baseline_trace"
    " where baseline_id = :baseline_id order by place"
)


class _Score(msgspec.Struct, frozen=True):
    """A row of `RunResult.rescored`."""

    index: int
    mean: float
    disagreement: float


class PostgresBaselineTraces:
    """The dispatcher's `BaselineTraces`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def export(self, path: Path) -> HashedFile | None:
        """Write the active baseline's traces, as `RunSpec.rescore` describes them; None without a baseline."""
        with transaction(self._engine) as connection:
            active = active_baseline(connection)
            if active is None:
                return None
            return _write(path, _window_rows(connection, active))


def rebuild_reward_baseline(connection: Connection, result: RunResult, rule: NullRule) -> None:
    """Give the promoted scorer's streams their laws over the same window, from the run's own re-scoring.

    Called in the promotion's transaction. Raises `Conflict` where the baseline was frozen or replaced
    since the run began, so that its scores are of other traces or of none, and where they cannot be read.
    """
    hold_freezes(connection)
    active = active_baseline(connection)
    if active is None:
        return
    if result.rescored is None:
        raise Conflict(
            f"baseline {active.baseline_id} was frozen after the run began, which scored none of its traces: "
            "wanted a run on the present baseline"
        )
    traces = {row.trace_index: row for row in _window_rows(connection, active)}
    scores = {score.index: score for score in _read(Path(result.rescored.path))}
    strangers = scores.keys() - traces.keys()
    if strangers:
        raise Conflict(
            f"the run scored {len(strangers)} traces that are not in baseline {active.baseline_id}: "
            "it was frozen anew; wanted a run on the present baseline"
        )
    laws = _laws(result.candidate.version, traces, scores, rule)
    extend_baseline(connection, replace(active, baseline=active.baseline.extended(laws)))


def _laws(
    version: str, traces: dict[int, Row[Any]], scores: dict[int, _Score], rule: NullRule
) -> Iterator[SignalBaseline]:
    order = sorted(scores)
    values = {
        REWARD.name: [scores[index].mean for index in order],
        DISAGREEMENT.name: [scores[index].disagreement for index in order],
    }
    for signal, column in values.items():
        window = Window(
            signal=signal,
            scorer_version=version,
            cohorts=[traces[index].cohort for index in order],
            policy_models=[traces[index].policy_model for index in order],
            values=np.array(column, dtype=np.float64),
        )
        law = build_signal_baseline(window, rule)
        if law is not None:
            yield law


def _window_rows(connection: Connection, active: ActiveBaseline) -> list[Row[Any]]:
    return list(connection.execute(_WINDOW, {"baseline_id": active.baseline_id}))


def _write(path: Path, rows: Iterable[Row[Any]]) -> HashedFile:
    digest, count = hashlib.sha256(), 0
    with path.open("wb") as target:
        for row in rows:
            line = msgspec.json.encode({"index": row.trace_index, "messages": row.messages, "response": row.response})
            target.write(line + b"\n")
            digest.update(line + b"\n")
            count += 1
    return HashedFile(str(path.absolute()), digest.hexdigest(), count)


def _read(path: Path) -> list[_Score]:
    decoder = msgspec.json.Decoder(_Score)
    try:
        with path.open("rb") as lines:
            return [decoder.decode(line) for line in lines]
    except (OSError, msgspec.MsgspecError) as error:  # a process on another machine may not see the run's folder
        raise Conflict(f"the run's scores of the baseline cannot be read: {error}; wanted the file it wrote") from None
