"""The answers to changes, kept for a day by the keys that their senders gave."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

from monitor.domain.kept_answer import KeptAnswer, KeyUse, Sent
from monitor.domain.order import Actor
from monitor.postgres.engine import transaction

FORGOTTEN_AT_ONCE = 1000  # rows, beside a claim
_FORGET = text(
    "delete from kept_answer where ctid = any(array(select ctid from kept_answer"
    " where claimed_at < now() - interval '24 hours' order by claimed_at limit :rows for update skip locked))"
)
_CLAIM = text(
    "insert into kept_answer (actor, role, key, digest) values (:actor, :role, :key, :digest)"
    " on conflict do nothing returning key"
)
_MINE = " where actor = :actor and role = :role and key = :key"
_FIND = text(f"select digest, status, media_type, body from kept_answer{_MINE}")  # noqa: S608
_KEEP = text(
    f"update kept_answer set status = :status, media_type = :media_type, body = :body{_MINE} and status is null"  # noqa: S608
)
_RELEASE = text(f"delete from kept_answer{_MINE} and status is null")  # noqa: S608


class PostgresKeptAnswers:
    """`web.idempotency.Keys`: the replicas share them, and a restart forgets none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, actor: Actor, sent: Sent) -> KeyUse | KeptAnswer:
        with transaction(self._engine) as connection:
            connection.execute(_FORGET, {"rows": FORGOTTEN_AT_ONCE})
            taken = connection.execute(_CLAIM, _names(actor, sent) | {"digest": sent.digest}).first()
            if taken is not None:
                return KeyUse.FIRST
            row = connection.execute(_FIND, _names(actor, sent)).one_or_none()
        if row is None or (bytes(row.digest) == sent.digest and row.status is None):
            return KeyUse.UNANSWERED  # released this moment, or under way
        if bytes(row.digest) != sent.digest:
            return KeyUse.OTHER
        return KeptAnswer(row.status, row.media_type, bytes(row.body))

    def keep(self, actor: Actor, sent: Sent, given: KeptAnswer) -> None:
        told = {"status": given.status, "media_type": given.media_type, "body": given.body}
        with transaction(self._engine) as connection:
            connection.execute(_KEEP, _names(actor, sent) | told)

    def release(self, actor: Actor, sent: Sent) -> None:
        with transaction(self._engine) as connection:
            connection.execute(_RELEASE, _names(actor, sent))


def _names(actor: Actor, sent: Sent) -> dict[str, Any]:
    return {"actor": actor.name, "role": actor.role, "key": sent.key}
