"""Access tokens and sessions, by the digest of their secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import IntegrityError

from monitor.access.credential import Credential, CredentialKind, Holder
from monitor.access.person import Person
from monitor.domain.order import Actor, Role
from monitor.errors import Conflict, NotFound
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author

KEPT_DAYS = 30  # for which a session that has ended is still listed

_HOLDER = text(
    "select name, role, expires_at, last_used_at is null or last_used_at < now() - interval '1 hour' as unmarked"
    " from credential where digest = :digest and revoked_at is null and (expires_at is null or expires_at > now())"
)
_MARK = text("update credential set last_used_at = now() where digest = :digest")
_ADD = text(
    "insert into credential (digest, kind, name, role, subject, created_by, expires_at)"
    " values (:digest, :kind, :name, :role, :subject, :by, now() + :lifetime) returning *"
)
_LIST = text(
    "select * from credential where (:all or revoked_at is null and (expires_at is null or expires_at > now()))"
    " and (cast(:before as bigint) is null or credential_id < :before) order by credential_id desc limit :limit"
)
_REVOKE = text(
    "update credential set revoked_at = now() where credential_id = :id and revoked_at is null returning kind, name"
)
_KNOWN = text("select 1 from credential where credential_id = :id")
_CLOSE = text(
    "update credential set revoked_at = now()"
    " where digest = :digest and kind = 'session' and revoked_at is null returning name"
)
_FORGET = text("delete from credential where kind = 'session' and expires_at < now() - make_interval(days => :days)")


class PostgresCredentials:
    """`access.credential.Credentials`, and what makes and ends them; every change is audited."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holder(self, digest: str) -> Holder | None:
        with transaction(self._engine) as connection:
            row = connection.execute(_HOLDER, {"digest": digest}).one_or_none()
            if row is not None and row.unmarked:
                connection.execute(_MARK, {"digest": digest})
        return None if row is None else Holder(Actor(row.name, Role(row.role)), row.expires_at)

    def create_token(self, digest: str, name: str, role: Role, lifetime: timedelta | None, *, by: Actor) -> Credential:
        """Keep a token's digest; raise `Conflict` where a token of that name is in use."""
        given = {"kind": CredentialKind.TOKEN, "name": name, "role": role, "subject": None, "by": by.name}
        try:
            with transaction(self._engine) as connection:
                made = connection.execute(_ADD, given | {"digest": digest, "lifetime": lifetime}).one()
                _record(connection, "token.create", made.credential_id, by, name=name, role=role.value)
        except IntegrityError:
            raise Conflict(f"a token named {name!r} is in use: revoke it first, or choose another name") from None
        return _credential(made)

    def open_session(self, digest: str, person: Person, lifetime: timedelta) -> None:
        actor = person.actor
        given = {"kind": CredentialKind.SESSION, "name": actor.name, "role": actor.role, "by": actor.name}
        with transaction(self._engine) as connection:
            connection.execute(_FORGET, {"days": KEPT_DAYS})
            row = connection.execute(
                _ADD, given | {"subject": person.subject, "digest": digest, "lifetime": lifetime}
            ).one()
            _record(connection, "login", row.credential_id, actor, subject=person.subject)

    def close_session(self, digest: str, actor: Actor) -> None:
        """End a session; nothing where it has ended."""
        with transaction(self._engine) as connection:
            if connection.execute(_CLOSE, {"digest": digest}).one_or_none() is not None:
                _record(connection, "logout", actor.name, actor)

    def revoke(self, credential_id: int, *, by: Actor) -> None:
        """End a token or a session; raise `NotFound` for an unknown one, `Conflict` for one that was ended."""
        with transaction(self._engine) as connection:
            ended = connection.execute(_REVOKE, {"id": credential_id}).one_or_none()
            if ended is None:
                known = connection.execute(_KNOWN, {"id": credential_id}).one_or_none() is not None
                found = Conflict if known else NotFound
                raise found(f"credential {credential_id} {'was revoked before' if known else 'is not known'}")
            _record(connection, f"{ended.kind}.revoke", credential_id, by, name=ended.name)

    def credentials(self, *, ended: bool, limit: int, before: int | None = None) -> Sequence[Credential]:
        """Return the newest first, those that are good, or with *ended* all that are kept.

        Where *before* is given, those numbered below it.
        """
        with transaction(self._engine) as connection:
            wanted = {"all": ended, "limit": limit, "before": before}
            return [_credential(row) for row in connection.execute(_LIST, wanted)]


def _record(connection: Connection, action: str, what: object, by: Actor, **detail: str) -> None:
    PostgresAudit(connection).record(action, str(what), by=Author(by.name, by.role), detail=detail)


def _credential(row: Row[Any]) -> Credential:
    return Credential(
        row.credential_id,
        CredentialKind(row.kind),
        row.name,
        row.role,
        row.subject,
        row.created_by,
        row.created_at,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
    )
