"""What is sent to PostgreSQL in binary arrives as it was, and as psycopg itself would have sent it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import Engine, text

from monitor.domain.observation import micros_of
from monitor.domain.trace import Message, TokenSource, Trace
from monitor.ingest.offset import StoredOffset
from monitor.postgres.binary import BinaryArray, array_of_keys, array_of_texts, array_of_times
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.copy import driver_of
from monitor.postgres.engine import create_engine_for
from tests.traces import START, checkpoint, scored

pytestmark = pytest.mark.postgres
ODD = "tab\t, line\r\n, \\N, \\., \x01\x7f, 'quotes' \"both\", {a,b}, Größe, 東京, 😀"
MOMENTS = [datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC), START, datetime(2099, 7, 1, 1, 2, 3, 4, UTC)]
BARE = Trace("bare", START, "phi-2", None, output_tokens=0, cohort={"dataset": "koala"})
FULL = Trace(
    trace_id=f"full {ODD}",
    timestamp=MOMENTS[2],
    policy_model=f"phi {ODD}",
    response=ODD,
    messages=(Message("system", ""), Message("user", ODD)),
    conversation_id=ODD,
    cohort={"dataset": "koala"},
    reference_response=ODD * 1000,
    finish_reason=ODD,
    input_tokens=2**40,
    output_tokens=7,
    output_tokens_source=TokenSource.WORDS,
    latency_seconds=0.1,
    feedback_rating=-1.0,
    error=ODD,
    user_id=ODD,
    tool_calls=3,
    truncated=True,
)
COLUMNS = (
    "trace_id, timestamp, policy_model, response, conversation_id, reference_response, finish_reason, input_tokens,"
    " output_tokens, output_tokens_source, latency_seconds, feedback_rating, error, user_id, tool_calls, truncated"
)


def test_a_stored_trace_is_the_trace_that_came(engine: Engine) -> None:
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=5)
    store.begin({("traces", 0): StoredOffset(0)})
    store.write(checkpoint(scored([BARE, FULL])))
    place = "stored_on = (created_at at time zone 'utc')::date, cohort, repeated, ordinal, topic, partition"
    with engine.begin() as connection:
        rows = connection.execute(text(f"select {COLUMNS} from trace order by ordinal")).all()  # noqa: S608
        messages = connection.execute(text("select messages from trace order by ordinal")).scalars().all()
        join = "trace join log_entry using (entry_id) order by ordinal"
        places = connection.execute(text(f"select {place}, record_offset from {join}")).all()  # noqa: S608
    names = COLUMNS.split(", ")
    assert [tuple(row) for row in rows] == [tuple(getattr(trace, name) for name in names) for trace in (BARE, FULL)]
    assert messages == [[], [{"role": "system", "content": ""}, {"role": "user", "content": ODD}]]
    assert places == [(True, "dataset=koala", False, at, "traces", 0, at) for at in (0, 1)]


@pytest.mark.parametrize(
    ("kind", "array", "values"),
    [
        ("text[]", array_of_texts([ODD, None, "", "ascii"]), [ODD, None, "", "ascii"]),
        ("text[]", array_of_texts([]), []),
        ("bytea[]", array_of_keys([b"\x00" * 16, bytes(range(16))]), [b"\x00" * 16, bytes(range(16))]),
        ("bytea[]", array_of_keys([]), []),
        ("timestamptz[]", array_of_times(micros_of(MOMENTS)), MOMENTS),
        ("timestamptz[]", array_of_times(np.empty(0, np.int64)), []),
    ],
    ids=["texts", "no texts", "keys", "no keys", "times", "no times"],
)
def test_an_array_is_what_psycopg_would_have_sent(
    engine: Engine, kind: str, array: BinaryArray, values: list[object]
) -> None:
    with engine.begin() as connection:
        query = f"select %b::{kind}, %b::{kind} is not distinct from %s::{kind}"  # noqa: S608
        found = driver_of(connection).execute(query.encode(), [array, array, values]).fetchone()
    assert found == (values, True)


def test_texts_arrive_in_a_session_that_would_be_of_another_encoding(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "latin1")
    engine = create_engine_for(postgres_url)
    test_a_stored_trace_is_the_trace_that_came(engine)
    engine.dispose()
