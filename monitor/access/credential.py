"""Secrets that stand for somebody: access tokens and sessions, known by their digest alone."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from monitor.domain.order import Actor
from monitor.errors import Unavailable

SECRET_BYTES = 32
FRESH_SECONDS = 5.0  # for which a holder is not looked up again: so long a revoked secret may still open
AWAY_SECONDS = 900.0  # for which a known holder stays known while the database is away
MAX_HOLDERS = 4096  # remembered at once; the one that was silent longest is forgotten


class CredentialKind(StrEnum):
    TOKEN = "token"  # noqa: S105 - made by an operator, for a program or a person
    SESSION = "session"  # of a person whom the provider let in


@dataclass(frozen=True, slots=True)
class Credential:
    """What is kept of a secret."""

    credential_id: int
    kind: CredentialKind
    name: str
    role: str  # of `domain.order.Role`
    subject: str | None  # issuer and the provider's own id of a person; None for a token
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None  # to the hour


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a secret stands for, until when."""

    actor: Actor
    expires_at: datetime | None

    def is_known_at(self, moment: datetime) -> bool:
        return self.expires_at is None or moment < self.expires_at


class Credentials(Protocol):
    """Finds holders; safe from any thread."""

    def holder(self, digest: str) -> Holder | None:
        """Return whom *digest* stands for now; None where nobody, raise `Unavailable` where that cannot be told."""
        ...


def new_secret() -> str:
    """Return 32 random bytes in URL-safe base64: what nobody guesses needs no slow hash."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: bytes) -> str:
    """Return the SHA-256 of *secret* in hex: what is kept in its place."""
    return sha256(secret).hexdigest()


@dataclass(frozen=True, slots=True)
class _Known:
    holder: Holder
    at: float  # the clock when it was looked up


class RememberedCredentials:
    """Remembers holders for some seconds, and for longer while the database is away."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def holder(self, digest: str) -> Holder | None:
        with self._lock:
            known = self._known.get(digest)
        if known is not None and self._clock() - known.at < FRESH_SECONDS:
            return self._if_live(known.holder)
        try:
            found = self._credentials.holder(digest)
        except Unavailable:
            if known is None or self._clock() - known.at > AWAY_SECONDS:
                raise
            return self._if_live(known.holder)
        self._remember(digest, found)
        return found

    def forget(self) -> None:
        """Look everybody up again: a secret was ended in this process."""
        with self._lock:
            self._known.clear()

    def _if_live(self, holder: Holder) -> Holder | None:
        return holder if holder.is_known_at(self._now()) else None

    def _remember(self, digest: str, holder: Holder | None) -> None:
        with self._lock:
            if holder is None:
                self._known.pop(digest, None)
                return
            self._known[digest] = _Known(holder, self._clock())
            self._known.move_to_end(digest)
            while len(self._known) > MAX_HOLDERS:
                self._known.popitem(last=False)
