"""What a policy's run is given to read: prompts of the last days, an alarm's, and answers with a thumb."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, text

from monitor.domain.cohort import ALL
from monitor.domain.label import PREFERENCE, RATING, LabelSource, Verdict
from monitor.postgres.engine import transaction
from monitor.postgres.labels import PostgresLabels
from monitor.runs.artifact import HashedFile

DRAWN_FOR_ONE = 3  # prompts drawn for each that is replayed: a run leaves out those that are like what it learns from
MAX_JUDGED = 5_000  # the latest
MAX_THUMBS = 100_000
_ASKED_AND_ANSWERED = (
    "not repeated and error is null and response is not null and not truncated and tool_calls = 0"
    " and jsonb_array_length(messages) > 0"
)
_SINCE = f"stored_on >= (cast(:since as timestamptz) at time zone 'utc')::date and {_ASKED_AND_ANSWERED}"
_COUNT = text(f"select count(*) from trace where {_SINCE}")  # noqa: S608
_TEXTS = (
    "select t.trace_id, t.conversation_id, t.messages, t.response, t.reference_response, t.cohort, t.timestamp"
    " from trace t join chosen c on t.stored_on = c.stored_on and t.entry_id = c.entry_id and t.ordinal = c.ordinal"
)
# The places alone are sorted: texts of a week do not fit into memory.
_DRAW = text(
    "with chosen as (select stored_on, entry_id, ordinal, md5(trace_id || :key) as drawn from trace"  # noqa: S608
    f" where {_SINCE} order by drawn, trace_id limit :limit) {_TEXTS} order by c.drawn, t.trace_id"
)
_ALARM = text(
    "select a.onset_timestamp as onset, a.created_at - interval '7 days' as since, a.cohort, a.policy_model, a.examples"
    " from job j join alarm a using (alarm_id) where j.job_id = :job_id"
)
_ALARMED = text(
    "with chosen as (select stored_on, entry_id, ordinal, md5(trace_id || :key) as drawn from trace"  # noqa: S608
    f" where {_SINCE} and timestamp >= :onset and (:cohort = '{ALL}' or cohort = :cohort)"
    " and (trace_id = any(:examples) or policy_model = :policy_model or :policy_model = '{OTHER}')"
    f" order by trace_id <> all(:examples), drawn, trace_id limit :limit) {_TEXTS} order by c.drawn, t.trace_id"
)
_JUDGED = text(
    "with recent as (select trace_id, max(timestamp) as at from label where kind = 'preference' and source = 'human'"
    " and withdrawn_at is null and timestamp >= :since group by trace_id order by at desc, trace_id limit :limit)"
    " select trace_id, conversation_id, messages, response, reference_response, cohort, at as timestamp"
    " from preference_text join recent using (trace_id) where reference_response is not null order by at, trace_id"
)
_DRAWN_WITH = text(
    "select trace_id, probability from review_item where kind = 'preference' and counted and trace_id = any(:trace_ids)"
)
_THUMBED = text(
    "with thumbed as (select trace_id from label where kind = 'rating' and withdrawn_at is null group by trace_id),"  # noqa: S608
    f" chosen as (select stored_on, entry_id, ordinal from trace where {_ASKED_AND_ANSWERED} and"
    " (feedback_rating <> 0 or trace_id in (select trace_id from thumbed))"
    " order by timestamp desc, trace_id limit :limit)"
    f" {_TEXTS} order by t.timestamp, t.trace_id"
)
_NEW_THUMBS = text(
    f"with answered as (select trace_id, entry_id, stored_on, feedback_rating from trace where {_ASKED_AND_ANSWERED})"  # noqa: S608
    " select count(*) from ("
    " select trace_id from answered join log_entry using (entry_id) where feedback_rating <> 0"
    " and (cast(:since as timestamptz) is null or (created_at > :since"
    "  and stored_on >= (cast(:since as timestamptz) at time zone 'utc')::date))"
    " union select trace_id from answered join label using (trace_id) where kind = 'rating' and value <> 0.5"
    " and withdrawn_at is null and (cast(:since as timestamptz) is null or received_at > :since)) as thumbed"
)
_RATINGS = text("select trace_id, feedback_rating from trace where trace_id = any(:trace_ids) and feedback_rating <> 0")


@dataclass(frozen=True, slots=True)
class Draw:
    """How many of a time's prompts are drawn: a share of them, within bounds. The same key draws the same."""

    since: datetime
    ratio: float
    least: int
    most: int
    key: str

    def size(self, among: int) -> int:
        return min(max(math.ceil(self.ratio * among), self.least), self.most, among)


@dataclass(frozen=True, slots=True)
class Drawn:
    file: HashedFile  # with more rows than are wanted, where there are more
    wanted: int


class PostgresPolicyTexts:
    """Writes the files of `runs.policy.PolicyInputs`; the same tables give the same bytes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._labels = PostgresLabels(engine)

    def replay(self, path: Path, draw: Draw) -> Drawn:
        """Write prompts drawn from the traces that came since, each with its answer and what people said of it."""
        with transaction(self._engine) as connection:
            wanted = draw.size(connection.execute(_COUNT, {"since": draw.since}).scalar_one())
            bounds = {"since": draw.since, "key": draw.key, "limit": DRAWN_FOR_ONE * wanted}
            rows = _rows(connection, _DRAW, bounds)
            return Drawn(write_lines(path, _numbered(self._judged(connection, rows))), wanted)

    def judged(self, path: Path, since: datetime) -> HashedFile | None:
        """Write the answers that people judged since; None where there are none."""
        with transaction(self._engine) as connection:
            rows = _rows(connection, _JUDGED, {"since": since, "limit": MAX_JUDGED})
            found = [row for row in self._judged(connection, rows) if row["human"] is not None]
        return write_lines(path, _numbered(found)) if found else None

    def asked(self, path: Path, job_id: int, *, limit: int) -> HashedFile | None:
        """Write prompts of the traces that the job's alarm is about, its examples first; None without an alarm."""
        with transaction(self._engine) as connection:
            alarm = connection.execute(_ALARM, {"job_id": job_id}).mappings().one_or_none()
            if alarm is None:
                return None
            rows = _rows(connection, _ALARMED, {**alarm, "key": f"job {job_id}", "limit": limit})
        told = ({name: row[name] for name in ("trace_id", "messages", "cohort")} for row in rows)
        return write_lines(path, _numbered(told)) if rows else None

    def feedback(self, path: Path) -> HashedFile | None:
        """Write the answers with a thumb whose texts are kept; None where there are none."""
        with transaction(self._engine) as connection:
            rows = _rows(connection, _THUMBED, {"limit": MAX_THUMBS})
            said = self._thumbs(connection, [row["trace_id"] for row in rows])
        found = [_thumb_line(row, said[row["trace_id"]]) for row in rows if row["trace_id"] in said]
        return write_lines(path, found) if found else None

    def _judged(self, connection: Connection, rows: Iterable[RowMapping]) -> list[dict[str, Any]]:
        found = list(rows)
        trace_ids = [row["trace_id"] for row in found]
        said = self._labels.verdicts(connection, PREFERENCE, trace_ids)
        drawn = connection.execute(_DRAWN_WITH, {"trace_ids": trace_ids})
        with_probability = {row.trace_id: row.probability for row in drawn}
        return [_replay_line(row, said.get(row["trace_id"]), with_probability.get(row["trace_id"])) for row in found]

    def _thumbs(self, connection: Connection, trace_ids: list[str]) -> dict[str, bool]:
        """Return which answers are desirable; a thumb that came as a label is later than the trace's own."""
        said = {row.trace_id: row.feedback_rating > 0 for row in connection.execute(_RATINGS, {"trace_ids": trace_ids})}
        verdicts = self._labels.verdicts(connection, RATING, trace_ids, sources=frozenset(LabelSource))
        undecided = {trace_id for trace_id, verdict in verdicts.items() if verdict.value == 0.5}
        said |= {trace_id: verdict.value > 0.5 for trace_id, verdict in verdicts.items()}
        return {trace_id: desirable for trace_id, desirable in said.items() if trace_id not in undecided}


def count_thumbs(connection: Connection, since: datetime | None) -> int:
    """Return how many answers whose text is kept were given a thumb since, by their trace or by a label; None: ever."""
    thumbs: int = connection.execute(_NEW_THUMBS, {"since": since}).scalar_one()
    return thumbs


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> HashedFile:
    """Write one JSON object a line and return the file's hash."""
    digest, count = hashlib.sha256(), 0
    with path.open("wb") as target:
        for row in rows:
            line = msgspec.json.encode(row) + b"\n"
            target.write(line)
            digest.update(line)
            count += 1
    return HashedFile(str(path.resolve()), digest.hexdigest(), count)


def _rows(connection: Connection, query: Any, bounds: Mapping[str, object]) -> list[RowMapping]:
    return list(connection.execute(query, dict(bounds)).mappings())


def _numbered(rows: Iterable[Mapping[str, object]]) -> Iterator[dict[str, object]]:
    for index, row in enumerate(rows):
        yield {"index": index, **row}


def _replay_line(row: RowMapping, verdict: Verdict | None, selected: float | None) -> dict[str, Any]:
    """Return a replay's row; a verdict counts where it is known with which probability it was asked for."""
    line = {name: row[name] for name in ("trace_id", "conversation_id", "messages", "response", "cohort")}
    reference = row["reference_response"]
    probability = selected if verdict is None or verdict.probability is None else verdict.probability
    if verdict is None or reference is None or probability is None:
        return line | {"human": None}
    human = {"value": verdict.value, "probability": probability, "reference_response": reference}
    return line | {"human": human}


def _thumb_line(row: RowMapping, desirable: bool) -> dict[str, Any]:
    line = {name: row[name] for name in ("conversation_id", "messages", "response", "cohort")}
    return {"feedback_id": row["trace_id"], **line, "desirable": desirable, "timestamp": row["timestamp"]}
