"""Preference pairs: read from events and labels, counted for the trigger, exported for a run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from math import inf
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, text

from monitor.domain.label import LabelSource
from monitor.labels.card import PairText, describe_set, pair_line
from monitor.labels.pairs import Judgement, Pair, PairRules, PairSource, decide_pairs, parts_of
from monitor.postgres.engine import transaction
from monitor.runs.artifact import HashedFile

READ_ROWS = 20_000  # in one transaction
_WRITE_PAIRS = 1_000


def _digests(*columns: str) -> str:
    """The prompt and two answers as `Judgement.content` has them; JSONB has one text, whoever wrote it."""
    return " || ".join(f"substr(sha256(convert_to({column}, 'UTF8')), 1, 16)" for column in columns)


_READ_EVENTS = text(
    "with unread as (select preference_id from preference where content is null limit :limit for update skip locked)"  # noqa: S608
    f" update preference p set content = {_digests('messages::text', 'chosen', 'rejected')} from unread"
    " where p.preference_id = unread.preference_id"
)
# Of a trace without a reference response a refusal alone can be judged: such a text is part of no pair.
_REFERENCE = "coalesce(t.reference_response, '')"
_KEEP_TEXTS = text(
    "insert into preference_text"  # noqa: S608
    " (trace_id, content, messages, response, reference_response, conversation_id, user_id, cohort, policy_model)"
    f" select t.trace_id, {_digests('t.messages::text', 't.response', _REFERENCE)}, t.messages, t.response,"
    " t.reference_response, t.conversation_id, t.user_id, t.cohort, t.policy_model from ("
    "  select trace_id, bool_or(kind = 'refusal') as alone from label where kind in ('preference', 'refusal')"
    "  and source <> 'user' and withdrawn_at is null"
    "  and not exists (select from preference_text kept where kept.trace_id = label.trace_id) group by trace_id"
    " ) labelled join stored_trace s using (trace_id)"
    " join trace t on t.stored_on = s.stored_on and t.entry_id = s.entry_id and t.ordinal = s.ordinal"
    " where t.response is not null and (t.reference_response is not null or alone) and not t.truncated"
    " limit :limit on conflict do nothing"
)
_WITHOUT_TEXT = text(
    "select count(distinct trace_id) from label where kind = 'preference' and source <> 'user' and withdrawn_at is null"
    " and not exists (select from preference_text kept where kept.trace_id = label.trace_id"
    "  and kept.reference_response is not null)"
)
# A preference event that was erased has an empty content; one that is not read yet has none.
# What holds news since :since, with the two answers either way round.
_NEWS = (
    "with news as ("
    "  select content from preference where received_at > :since and length(content) > 0 union"
    "  select t.content from label l join preference_text t using (trace_id)"
    "  where t.reference_response is not null and l.kind = 'preference' and l.source <> 'user'"
    "  and l.received_at > :since"
    "), wanted as materialized ("
    "  select content from news union"
    "  select substr(content, 1, 16) || substr(content, 33, 16) || substr(content, 17, 16) from news"
    ") "
)
_OF_NEWS = " and content in (select content from wanted)"
_EVENTS = (
    "select 'event' as source, preference_id as id, ''::bytea as digest, preference_id as subject, content,"
    " case when tie then 0.5 else 1.0 end as value, timestamp, cohort, annotator_id, criteria_version,"
    " 'human' as by, null as conversation_id, dimensions from preference where length(content) > 0"
)
# A later content of a label's id takes the place of the earlier one; one that was withdrawn is no judgement.
_LABELS = (
    "select case when l.label_id in (select label_id from review_verdict where label_id is not null) then 'review'"
    " else 'label' end, l.label_id, l.digest, l.trace_id, t.content, l.value, l.timestamp, t.cohort, l.annotator_id,"
    " l.criteria_version, l.source, t.conversation_id, l.dimensions"
    " from label l join preference_text t using (trace_id)"
    " where t.reference_response is not null and l.kind = 'preference' and l.source <> 'user'"
    " and l.withdrawn_at is null and not exists ("
    "  select from label later where later.label_id = l.label_id and later.withdrawn_at is null"
    "  and (later.timestamp, later.digest) > (l.timestamp, l.digest)"
    ")"
)
_EVENT_TEXTS = text(
    "select preference_id as subject, messages, chosen as first, rejected as second, content from preference"
    " where preference_id = any(:subjects)"
)
_TRACE_TEXTS = text(
    "select trace_id as subject, messages, response as first, reference_response as second, content"
    " from preference_text where trace_id = any(:subjects)"
)


class PostgresPreferences:
    """The pairs a reward model learns from, by *rules*: what was said in events, on the review page and in labels."""

    def __init__(self, engine: Engine, rules: PairRules = PairRules()) -> None:
        self._engine = engine
        self._rules = rules

    def read_new(self, *, seconds: float = inf) -> None:
        """Read which prompts and answers new events are about, and keep the text of traces that were labelled.

        What is left when the *seconds* are over is left for the next time.
        """
        until, more = time.monotonic() + seconds, True
        while more and time.monotonic() < until:
            with transaction(self._engine) as connection:
                more = read_new(connection)

    def count_since(self, since: datetime | None) -> int:
        """Return how many pairs hold a judgement that was received after *since*; all of them for None."""
        with transaction(self._engine) as connection:
            return count_pairs(connection, since, self._rules)

    def export(self, path: Path, card: Path) -> HashedFile:
        """Write every pair to *path* as `RunSpec.preferences` describes it, the oldest first, and its data card.

        The same tables give the same bytes.
        """
        self.read_new()
        with transaction(self._engine) as connection:
            connection.execute(text("set transaction isolation level repeatable read"))
            found = decide_pairs(judgements(connection), self._rules)
            digest = sha256()
            with path.open("wb") as file:
                for line in _lines(connection, found.pairs):
                    digest.update(line)
                    file.write(line)
            gone = connection.execute(_WITHOUT_TEXT).scalar_one()
        told = describe_set(found, self._rules, file_sha256=digest.hexdigest(), without_text=gone)
        card.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
        return HashedFile(path=str(path.resolve()), sha256=told.sha256, rows=told.pairs)


def read_new(connection: Connection) -> bool:
    read = connection.execute(_READ_EVENTS, {"limit": READ_ROWS}).rowcount
    kept = connection.execute(_KEEP_TEXTS, {"limit": READ_ROWS}).rowcount
    return max(read, kept) == READ_ROWS


def count_pairs(connection: Connection, since: datetime | None, rules: PairRules) -> int:
    """Count by the rules by which an export chooses, over the answers of which there are news."""
    read_new(connection)
    return len(decide_pairs(judgements(connection, since), rules).pairs)


def judgements(
    connection: Connection, since: datetime | None = None, *, newest: int | None = None
) -> Iterator[Judgement]:
    """Yield what was said of the answers that hold news since *since*, of all for None; the *newest* so many alone."""
    query = f"{_EVENTS} union all {_LABELS}"
    if since is not None:
        query = f"{_NEWS}{_EVENTS}{_OF_NEWS} union all {_LABELS}{_OF_NEWS}"
    if newest is not None:
        query += " order by timestamp desc limit :newest"
    given = {"since": since, "newest": newest}
    for row in connection.execute(text(query), {name: value for name, value in given.items() if value is not None}):
        yield Judgement(
            source=PairSource(row.source),
            judgement_id=row.id,
            digest=bytes(row.digest),
            subject=row.subject,
            content=bytes(row.content),
            value=float(row.value),
            timestamp=row.timestamp,
            cohort=row.cohort,
            annotator_id=row.annotator_id,
            criteria_version=row.criteria_version,
            by=LabelSource(row.by),
            conversation_id=row.conversation_id,
            dimensions=row.dimensions,
        )


def _lines(connection: Connection, pairs: Sequence[Pair]) -> Iterator[bytes]:
    for start in range(0, len(pairs), _WRITE_PAIRS):
        some = pairs[start : start + _WRITE_PAIRS]
        texts = dict(_texts(connection, some))
        for pair in some:
            yield pair_line(pair, texts[pair.content]).encode() + b"\n"


def _texts(connection: Connection, pairs: Iterable[Pair]) -> Iterator[tuple[bytes, PairText]]:
    """Yield each pair's text, by its content: the chosen answer first."""
    wanted = {(pair.oldest.source is PairSource.EVENT, pair.oldest.subject): pair for pair in pairs}
    for is_event, query in ((True, _EVENT_TEXTS), (False, _TRACE_TEXTS)):
        subjects = [subject for event, subject in wanted if event == is_event]
        for row in connection.execute(query, {"subjects": subjects}):
            content = wanted[is_event, row.subject].content
            chosen_first = parts_of(bytes(row.content))[1] == parts_of(content)[1]
            chosen, rejected = (row.first, row.second) if chosen_first else (row.second, row.first)
            yield content, PairText(row.messages, chosen, rejected)
