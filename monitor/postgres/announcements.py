"""Announcements: written with what they tell of, and how far each channel has told them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, insert, null, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.release import Announcement, Channel, Delivery, Waiting
from monitor.postgres import schema
from monitor.postgres.document import clean, document
from monitor.postgres.engine import transaction

_NEXT = text(
    "select a.*, coalesce(d.attempts, 0) as attempts from announcement a left join announcement_delivery d"
    " on d.announcement_id = a.announcement_id and d.channel = :channel where d.delivered_at is null"
    " order by a.announcement_id limit 1"
)
_IS_DUE = text(
    "select not exists (select from announcement_delivery where announcement_id = :id and channel = :channel"
    " and retry_at > clock_timestamp())"
)
_WAITING = text(
    "select count(*) as announcements,"
    " coalesce(extract(epoch from clock_timestamp() - min(a.created_at)), 0) as seconds"
    " from announcement a left join announcement_delivery d"
    " on d.announcement_id = a.announcement_id and d.channel = :channel where d.delivered_at is null"
)


class PostgresAnnouncements:
    """`retraining.work.Announcements` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, job_id: int, event: str, version: str, payload: Mapping[str, object]) -> None:
        row = {"job_id": job_id, "event": event, "version": version, "payload": document(payload)}
        self._connection.execute(insert(schema.announcement).values(row))


class AnnouncementLog:
    """What is still to be told, and what was."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def due(self, channel: Channel) -> tuple[Announcement, int] | None:
        """Return the oldest that *channel* has not told, with its attempts so far; None while it waits or is none."""
        with transaction(self._engine) as connection:
            row = connection.execute(_NEXT, {"channel": channel}).mappings().one_or_none()
            if row is None:
                return None
            is_due = connection.execute(_IS_DUE, {"id": row["announcement_id"], "channel": channel}).scalar_one()
            return (_announcement(row), row["attempts"]) if is_due else None

    def told(self, announcement_id: int, channel: Channel) -> None:
        self._note(announcement_id, channel, delivered_at=func.clock_timestamp(), retry_at=null(), error=null())

    def failed(self, announcement_id: int, channel: Channel, error: str, *, retry_seconds: float) -> None:
        later = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, retry_seconds)
        self._note(announcement_id, channel, delivered_at=null(), retry_at=later, error=clean(error))

    def waiting(self, channel: Channel) -> Waiting:
        with transaction(self._engine) as connection:
            row = connection.execute(_WAITING, {"channel": channel}).one()
        return Waiting(row.announcements, float(row.seconds))

    def announcements(self, *, limit: int, before: int | None = None) -> Sequence[Announcement]:
        """Return the newest first, with how far each channel has come; those numbered below *before*, if given."""
        newest = select(schema.announcement).order_by(schema.announcement.c.announcement_id.desc()).limit(limit)
        if before is not None:
            newest = newest.where(schema.announcement.c.announcement_id < before)
        delivery = schema.announcement_delivery
        with transaction(self._engine) as connection:
            rows = connection.execute(newest).mappings().all()
            of_those = delivery.c.announcement_id.in_([row["announcement_id"] for row in rows])
            found = connection.execute(select(delivery).where(of_those).order_by(delivery.c.channel)).all()
        by_number: dict[int, list[Delivery]] = {}
        for row in found:
            told = Delivery(Channel(row.channel), row.delivered_at, row.attempts, row.retry_at, row.error)
            by_number.setdefault(row.announcement_id, []).append(told)
        return [_announcement(row, tuple(by_number.get(row["announcement_id"], ()))) for row in rows]

    def _note(self, announcement_id: int, channel: Channel, **values: Any) -> None:
        table = schema.announcement_delivery
        statement = upsert(table).values(announcement_id=announcement_id, channel=channel, attempts=1, **values)
        again = statement.on_conflict_do_update(
            constraint=table.primary_key,
            set_={**values, "attempts": table.c.attempts + 1},
            where=table.c.delivered_at.is_(None),  # a late word of a leader that was replaced changes nothing
        )
        with transaction(self._engine) as connection:
            connection.execute(again)


def _announcement(row: RowMapping, deliveries: tuple[Delivery, ...] = ()) -> Announcement:
    return Announcement(
        announcement_id=row["announcement_id"],
        job_id=row["job_id"],
        event=row["event"],
        version=row["version"],
        payload=row["payload"],
        created_at=row["created_at"],
        deliveries=deliveries,
    )
