"""Tokens and sessions in memory, as `web.routes.access.CredentialStore` wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from monitor.access.credential import Credential, CredentialKind, Holder
from monitor.access.person import Person
from monitor.domain.order import Actor, Role
from monitor.errors import Conflict, NotFound, Unavailable

MADE = datetime(2026, 11, 21, 5, tzinfo=UTC)


@dataclass
class InMemoryCredentials:
    made_at: datetime = MADE
    kept: dict[str, Credential] = field(default_factory=dict)  # by digest
    is_away: bool = False
    asked: int = 0

    def holder(self, digest: str) -> Holder | None:
        self.asked += 1
        if self.is_away:
            raise Unavailable("away", plain="PostgreSQL is away")
        one = self.kept.get(digest)
        if one is None or one.revoked_at is not None:
            return None
        return Holder(Actor(one.name, Role(one.role)), one.expires_at)

    def create_token(self, digest: str, name: str, role: Role, lifetime: timedelta | None, *, by: Actor) -> Credential:
        if any(one.name == name and one.revoked_at is None for one in self.kept.values()):
            raise Conflict(f"a token named {name!r} is in use")
        return self._keep(digest, CredentialKind.TOKEN, Person(Actor(name, role), ""), lifetime, by)

    def open_session(self, digest: str, person: Person, lifetime: timedelta) -> None:
        self._keep(digest, CredentialKind.SESSION, person, lifetime, person.actor)

    def close_session(self, digest: str, actor: Actor) -> None:
        self.revoke(self.kept[digest].credential_id, by=actor)

    def revoke(self, credential_id: int, *, by: Actor) -> None:
        digest = next((digest for digest, one in self.kept.items() if one.credential_id == credential_id), None)
        if digest is None:
            raise NotFound(f"credential {credential_id} is not known")
        self.kept[digest] = replace(self.kept[digest], revoked_at=MADE)

    def credentials(self, *, ended: bool, limit: int, before: int | None = None) -> Sequence[Credential]:
        found = [one for one in reversed(self.kept.values()) if ended or one.revoked_at is None]
        return [one for one in found if before is None or one.credential_id < before][:limit]

    def _keep(
        self, digest: str, kind: CredentialKind, person: Person, lifetime: timedelta | None, by: Actor
    ) -> Credential:
        number, actor = len(self.kept) + 1, person.actor
        end = None if lifetime is None else self.made_at + lifetime
        made = Credential(number, kind, actor.name, actor.role, person.subject, by.name, self.made_at, end, None, None)
        self.kept[digest] = made
        return made
