"""Deleting the texts of a conversation or a user from every table that holds them, and the record of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, text

from monitor.domain.covariates import Covariates
from monitor.domain.erasure import Erasure, ErasureSubject, SubjectKind, SubjectTexts
from monitor.domain.order import Actor
from monitor.ingest.part import Part
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.document import clean
from monitor.postgres.engine import transaction
from monitor.retraining.records import HELD, Author

ERASED = "[erased]"  # in place of an error's text: that there was one is told
SYSTEM_ROLES = frozenset({"system", "developer"})
LEAST_CHARACTERS = 24  # of an answer by which a preference event without a trace id is found: "Yes." is everybody's
_COLUMN = {SubjectKind.CONVERSATION: "conversation_id", SubjectKind.USER: "user_id"}
# Whoever copies texts into these tables waits, and then finds none to copy.
_HOLD = text(
    "lock table baseline_trace, preference_text, preference, preference_pair, job_report in share row exclusive mode"
)
_TEXTS = (
    "select trace_id, conversation_id, messages, response, reference_response from {table} where {column} = :name"
    " and (response is not null or jsonb_array_length(messages) > 0)"
)
_TRACES = (
    "update trace set messages = '[]', response = null, reference_response = null, conversation_id = null,"
    " user_id = null, error = case when error is null then null else :erased end where {column} = :name"
)
_BY_TRACE = {
    "baseline_traces": "delete from baseline_trace where trace_id = any(:ids)",
    "labelled_traces": "delete from preference_text where trace_id = any(:ids)",
    "review_items": "update review_item set state = 'missing', missing = 'text_gone' where trace_id = any(:ids)"
    " and (state = 'open' or (gold is not null and state = 'done'))",
    "review_notes": "update review_verdict v set note = '' from review_item i where i.item_id = v.item_id"
    " and i.trace_id = any(:ids) and v.note <> ''",
}
_CLAIMS = text("delete from review_claim c using review_item i where i.item_id = c.item_id and i.trace_id = any(:ids)")
# The event itself stays, so that its record is known if it is read again.
_EVENTS = text(
    "update preference set messages = '[]', chosen = '', rejected = '', content = ''"
    " where (trace_id = any(:ids) or chosen = any(:answers) or rejected = any(:answers)) and messages <> '[]'"
    " returning preference_id"
)
_PAIRS = text(
    "delete from preference_pair where line::jsonb ->> 'conversation_id' = any(:conversations) or exists ("
    " select from jsonb_array_elements(line::jsonb -> 'judgements') as judged(one)"
    "  where (one ->> 0 = 'event' and one ->> 1 = any(:events))"
    "  or (one ->> 0 <> 'event' and one ->> 1 in (select label_id from label where trace_id = any(:ids))))"
)
_FRAGMENTS = text("select fragment_id, trace, part from fragment")
_DROP_FRAGMENTS = text("delete from fragment where trace = any(:traces)")
_PAGES = text("select job_id, page from job_report order by job_id")
_DROP_PAGES = text("delete from job_report where job_id = any(:job_ids)")
_ENTRIES = text("select trace_id, entry_id from stored_trace where trace_id = any(:ids)")
_SKETCHES = (
    "select entry_id, subject_ids, covariates, covariates_version from log_subject"
    " where covariates is not null and {condition}"
)
_OF_ENTRIES, _OF_NAMES = "entry_id = any(:entries)", "subject_ids && cast(:ids as text[])"
_SET_SKETCHES = text("update log_subject set covariates = :covariates where entry_id = :entry_id")
_RECORD = text(
    "insert into erasure (actor, kind, sha256, deleted) values (:actor, :kind, :sha256, cast(:deleted as jsonb))"
    " returning erasure_id, at"
)
_LIST = text(
    "select erasure_id, at, actor, kind, sha256, deleted from erasure"
    " where cast(:before as bigint) is null or erasure_id < :before order by erasure_id desc limit :limit"
)
_NAMES = text("select sha256, max(at) as at from erasure group by sha256")
_LIVE = text("select job_id from job where state = any(:held) or handle is not null")


class PostgresErasures:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def texts_of(self, subject: ErasureSubject) -> SubjectTexts:
        """Return what the subject's texts are; where the trace's own are gone, those of its copies."""
        with transaction(self._engine) as connection:
            return _gather(_rows(connection, subject))

    def live_jobs(self) -> frozenset[int]:
        """Return the jobs that have a run: its files are in use."""
        with transaction(self._engine) as connection:
            return frozenset(connection.execute(_LIVE, {"held": sorted(HELD)}).scalars())

    def count(self, subject: ErasureSubject, *, actor: Actor, quotes: Callable[[bytes, SubjectTexts], bool]) -> Erasure:
        """Return what `erase` would delete from the database; nothing is changed."""
        with self._engine.connect() as connection, connection.begin() as begun:
            deleted = _delete(connection, subject, quotes)
            begun.rollback()
        return Erasure(subject.kind, subject.sha256, actor.name, deleted)

    def erase(
        self,
        subject: ErasureSubject,
        *,
        actor: Actor,
        quotes: Callable[[bytes, SubjectTexts], bool],
        beside: Mapping[str, int],
    ) -> Erasure:
        """Delete the subject's texts and record it, in one transaction.

        *quotes* says whether a report's page (gzip) holds any of the texts; *beside* is what was deleted elsewhere.
        """
        with transaction(self._engine) as connection:
            deleted = {**_delete(connection, subject, quotes), **beside}
            told = {"kind": subject.kind.value, "sha256": subject.sha256, "actor": actor.name}
            row = connection.execute(_RECORD, told | {"deleted": msgspec.json.encode(deleted).decode()}).one()
            detail = {"sha256": subject.sha256, "deleted": deleted}
            PostgresAudit(connection).record(
                "erase", f"a {subject.kind.value}", by=Author(actor.name, actor.role), detail=detail
            )
        return Erasure(subject.kind, subject.sha256, actor.name, deleted, row.erasure_id, row.at)

    def erasures(self, *, limit: int, before: int | None = None) -> Sequence[Erasure]:
        """Return the newest first, those numbered below *before* where it is given."""
        with transaction(self._engine) as connection:
            return [
                Erasure(SubjectKind(row.kind), row.sha256, row.actor, dict(row.deleted), row.erasure_id, row.at)
                for row in connection.execute(_LIST, {"limit": limit, "before": before})
            ]

    def erased(self) -> Mapping[str, datetime]:
        """Return when each name was erased last, by its SHA-256: the name itself is kept nowhere."""
        with transaction(self._engine) as connection:
            return {row.sha256: row.at for row in connection.execute(_NAMES)}


def _rows(connection: Connection, subject: ErasureSubject) -> Iterator[RowMapping]:
    for table in ("trace", "baseline_trace", "preference_text"):
        query = text(_TEXTS.format(table=table, column=_COLUMN[subject.kind]))
        yield from connection.execute(query, {"name": clean(subject.name)}).mappings()


def _gather(rows: Iterator[RowMapping]) -> SubjectTexts:
    ids, conversations, answers, prompts = set[str](), set[str](), set[str](), set[str]()
    for row in rows:
        ids.add(row["trace_id"])
        conversations |= {row["conversation_id"]} - {None}
        answers |= {row["response"], row["reference_response"]} - {None}
        prompts |= {said["content"] for said in row["messages"] if said["role"] not in SYSTEM_ROLES} - {""}
    return SubjectTexts(frozenset(ids), frozenset(conversations), frozenset(answers), frozenset(prompts))


def _delete(
    connection: Connection, subject: ErasureSubject, quotes: Callable[[bytes, SubjectTexts], bool]
) -> dict[str, int]:
    """Delete, and return how many of what; rows that are counted elsewhere stay, without their texts."""
    connection.execute(_HOLD)
    found = _gather(_rows(connection, subject))
    ids = sorted(found.trace_ids)
    named = found.conversations | ({clean(subject.name)} if subject.kind is SubjectKind.CONVERSATION else set())
    traces = text(_TRACES.format(column=_COLUMN[subject.kind]))
    deleted = {"traces": connection.execute(traces, {"name": clean(subject.name), "erased": ERASED}).rowcount}
    answers = [answer for answer in found.answers if len(answer) >= LEAST_CHARACTERS]
    events = list(connection.execute(_EVENTS, {"ids": ids, "answers": answers}).scalars())
    deleted["preference_events"] = len(events)
    pairs = {"ids": ids, "events": events, "conversations": sorted(named)}
    deleted["training_pairs"] = connection.execute(_PAIRS, pairs).rowcount
    connection.execute(_CLAIMS, {"ids": ids})
    for name, statement in _BY_TRACE.items():
        deleted[name] = connection.execute(text(statement), {"ids": ids}).rowcount
    deleted["fragments"] = _drop_fragments(connection, subject, found)
    quoting = [row.job_id for row in connection.execute(_PAGES) if quotes(bytes(row.page), found)]
    deleted["verdict_reports"] = connection.execute(_DROP_PAGES, {"job_ids": quoting}).rowcount
    deleted["sketches"] = _drop_sketches(connection, found.trace_ids)
    return deleted


def _drop_fragments(connection: Connection, subject: ErasureSubject, found: SubjectTexts) -> int:
    """Drop every part that waits of a request of which one part names the subject, or whose call is stored already."""
    requests = {name.rpartition("-")[0] for name in found.trace_ids}
    traces = set[str]()
    for row in connection.execute(_FRAGMENTS):
        part = msgspec.msgpack.decode(row.part, type=Part)
        told = part.conversation_id if subject.kind is SubjectKind.CONVERSATION else part.user_id
        if told == subject.name or row.trace in requests:
            traces.add(row.trace)
    return connection.execute(_DROP_FRAGMENTS, {"traces": sorted(traces)}).rowcount


def _drop_sketches(connection: Connection, trace_ids: frozenset[str]) -> int:
    """Take the prompts' sketches and embeddings out of the log: a text can be guessed from them.

    The whole log is looked through for a trace whose id is forgotten already (`retention.trace_id_days`).
    """
    entries = {row.trace_id: row.entry_id for row in connection.execute(_ENTRIES, {"ids": sorted(trace_ids)})}
    query = _SKETCHES.format(condition=_OF_ENTRIES if entries.keys() == trace_ids else _OF_NAMES)
    asked = {"ids": sorted(trace_ids), "entries": sorted(set(entries.values()))}
    dropped = 0
    for row in connection.execute(text(query), asked).all():
        known = Covariates.decode(bytes(row.covariates), row.covariates_version)
        own = [place for place, name in enumerate(row.subject_ids or ()) if name in trace_ids]
        dropped += len(own)
        values = {"covariates": known.without_prompts(own).encode(), "entry_id": row.entry_id}
        connection.execute(_SET_SKETCHES, values)
    return dropped
