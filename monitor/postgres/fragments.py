"""Parts of calls that wait for others: stored with the offsets they came at, gone with the trace they are part of."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from monitor.ingest.join_call import Held
from monitor.ingest.part import Part
from monitor.pipeline.checkpoint import Checkpoint
from monitor.postgres.binary import array_of_texts
from monitor.postgres.copy import driver_of

# Two workers that store one half of a call each at the same time see nothing of each other: so long after it came,
# a part is looked at again.
LOOK_AGAIN_SECONDS = 2.0
LEASE_SECONDS = 30.0  # for a worker that claimed parts and is gone
CLAIMED_PARTS = 2000  # at a time
_PARTS = (
    "select fragment_id, extract(epoch from now() - received_at)::float8, topic, partition, record_offset, part"
    " from fragment where trace = any(%b::text[]) order by fragment_id"
)
_INSERT = (
    "insert into fragment (trace, due_at, topic, partition, record_offset, part)"
    " select trace, now() + make_interval(secs => %s), topic, partition, record_offset, part"
    " from unnest(%b::text[], %b::text[], %b::int[], %b::bigint[], %b::bytea[]) with ordinality"
    " as fresh(trace, topic, partition, record_offset, part, number) order by number"
)
_DELETE = (  # in one order everywhere: workers that meet do not deadlock
    "delete from fragment where fragment_id in"
    " (select fragment_id from fragment where fragment_id = any(%b::bigint[]) order by fragment_id for update)"
)
# A part that was looked at again is due next when its time to wait is over, and then at the end of a lease.
_CLAIM = (
    "update fragment set due_at = case when received_at + make_interval(secs => %s) > now()"
    " then received_at + make_interval(secs => %s) else now() + make_interval(secs => %s) end"
    " where fragment_id in (select fragment_id from fragment where due_at <= now()"
    " order by due_at limit %s for update skip locked) returning trace"
)
_OLDEST = (
    "update fragment set due_at = now() + make_interval(secs => %s) where fragment_id in"
    " (select fragment_id from fragment order by fragment_id limit %s for update skip locked) returning trace"
)
# A span inside of a call is known as the call is: what comes of it later is no other call.
_ALIASES = (
    "insert into stored_trace (trace_id, entry_id, ordinal, stored_on)"
    " select inside.name, stored.entry_id, stored.ordinal, stored.stored_on"
    " from unnest(%b::text[], %b::text[]) as inside(name, call)"
    " join stored_trace stored on stored.trace_id = inside.call"
    " on conflict do nothing"
)
_COUNT = "select count(*), coalesce(extract(epoch from now() - min(received_at)), 0)::float8 from fragment"


def parts_of(connection: Connection, traces: Sequence[str]) -> list[Held]:
    """Return what waits of the requests *traces*, in the order in which it came."""
    rows = driver_of(connection).execute(_PARTS, [array_of_texts(traces)])
    return [
        Held(_DECODER.decode(part), (topic, partition, offset), age, number)
        for number, age, topic, partition, offset, part in rows
    ]


def store_parts(connection: Connection, checkpoint: Checkpoint, *, patience_seconds: float) -> None:
    """Store the parts of *checkpoint* that wait, delete those that are over, and name the spans that its calls hold.

    The traces of *checkpoint* are stored already.
    """
    driver, held = driver_of(connection), checkpoint.waits
    if held:
        columns = (
            [item.part.trace for item in held],
            [item.position[0] for item in held],
            [item.position[1] for item in held],
            [item.position[2] for item in held],
            [_ENCODER.encode(item.part) for item in held],
        )
        driver.execute(_INSERT, [min(LOOK_AGAIN_SECONDS, patience_seconds), *columns])
    if checkpoint.done:
        driver.execute(_DELETE, [list(checkpoint.done)])
    if checkpoint.aliases:
        names, calls = zip(*sorted(checkpoint.aliases), strict=True)  # in one order, as above
        driver.execute(_ALIASES, [list(names), list(calls)])


def claim_due(connection: Connection, *, patience_seconds: float) -> set[str]:
    """Return requests with parts that are due; nobody else is given those parts before the lease ends."""
    values = [patience_seconds, patience_seconds, LEASE_SECONDS, CLAIMED_PARTS]
    return {trace for (trace,) in driver_of(connection).execute(_CLAIM, values)}


def claim_oldest(connection: Connection, count: int) -> set[str]:
    """Return the requests of the *count* parts that have waited longest."""
    return {trace for (trace,) in driver_of(connection).execute(_OLDEST, [LEASE_SECONDS, count])}


def count_parts(connection: Connection) -> tuple[int, float]:
    """Return how many parts wait, and for how many seconds the oldest has."""
    found = driver_of(connection).execute(_COUNT).fetchone()
    return (0, 0.0) if found is None else (found[0], found[1])


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Part)
