"""The answers to changes, kept for a day by the keys that their senders gave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection, Engine, text

from monitor.domain.kept_answer import Claim, KeptAnswer, KeyUse, Sent
from monitor.domain.order import Actor
from monitor.errors import Conflict
from monitor.postgres.engine import transaction

FORGOTTEN_AT_ONCE = 1000  # rows, beside a claim
CLAIM_SECONDS = 60.0  # a request that has made nothing for so long loses its key to the next one
_FORGET = text(
    "delete from kept_answer where ctid = any(array(select ctid from kept_answer"
    " where claimed_at < now() - interval '24 hours' order by claimed_at limit :rows for update skip locked))"
)
_CLAIM = text(
    "insert into kept_answer as kept (actor, role, key, digest) values (:actor, :role, :key, :digest)"
    " on conflict (actor, role, key) do update set claims = kept.claims + 1, claimed_at = now()"
    " where kept.digest = excluded.digest and kept.status is null and not kept.made"
    " and kept.claimed_at < now() - make_interval(secs => :seconds) returning claims"
)
_MINE = " where actor = :actor and role = :role and key = :key"
_FIND = text(f"select digest, made, status, media_type, body from kept_answer{_MINE}")  # noqa: S608
_HELD = f"{_MINE} and claims = :number and status is null"
_MAKE = text(f"update kept_answer set made = true{_HELD}")  # noqa: S608
_KEEP = text(
    f"update kept_answer set status = :status, media_type = :media_type, body = :body{_HELD}"  # noqa: S608
)
_RELEASE = text(f"delete from kept_answer{_HELD} and not made")  # noqa: S608
_MAKING: ContextVar[Claim | None] = ContextVar("making", default=None)


class PostgresKeptAnswers:
    """`web.idempotency.Keys`: the replicas share them, and a restart forgets none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, actor: Actor, sent: Sent) -> Claim | KeyUse | KeptAnswer:
        names = {"actor": actor.name, "role": actor.role, "key": sent.key}
        with transaction(self._engine) as connection:
            connection.execute(_FORGET, {"rows": FORGOTTEN_AT_ONCE})
            wanted = names | {"digest": sent.digest, "seconds": CLAIM_SECONDS}
            number = connection.execute(_CLAIM, wanted).scalar_one_or_none()
            if number is not None:
                return Claim(actor, sent, number)
            row = connection.execute(_FIND, names).one_or_none()
        if row is None:
            return KeyUse.UNANSWERED  # released this moment
        if bytes(row.digest) != sent.digest:
            return KeyUse.OTHER
        if row.status is None:
            return KeyUse.MADE if row.made else KeyUse.UNANSWERED
        return KeptAnswer(row.status, row.media_type, bytes(row.body))

    @contextmanager
    def making(self, claim: Claim) -> Iterator[None]:
        token = _MAKING.set(claim)
        try:
            yield
        finally:
            _MAKING.reset(token)

    def keep(self, claim: Claim, given: KeptAnswer) -> None:
        told = {"status": given.status, "media_type": given.media_type, "body": given.body}
        with transaction(self._engine) as connection:
            connection.execute(_KEEP, _names(claim) | told)

    def release(self, claim: Claim) -> None:
        with transaction(self._engine) as connection:
            connection.execute(_RELEASE, _names(claim))


def note_made(connection: Connection) -> None:
    """Note with the key of the request under way, if it has one, that its change is made: in the change's transaction.

    Raises `Conflict`, so that nothing is changed, where another request has taken the key over.
    """
    claim = _MAKING.get()
    if claim is not None and not connection.execute(_MAKE, _names(claim)).rowcount:
        raise Conflict("this took so long that a later request with its Idempotency-Key has made the change")


def _names(claim: Claim) -> dict[str, Any]:
    return {"actor": claim.actor.name, "role": claim.actor.role, "key": claim.sent.key, "number": claim.number}
