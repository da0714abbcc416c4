"""The replays of dead letters, as the audit keeps them."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from secrets import token_hex

from sqlalchemy import Engine, select

from monitor.domain.order import Actor
from monitor.postgres import schema
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author

ACTION, KEY = "dead_letters.replay", "key_sha256"
MAX_DIGITS = 18  # of a row's number


class PostgresReplays:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, topic: str, records: Mapping[str, int], told: Mapping[str, object], *, actor: Actor) -> str:
        """Keep that *records*, so many by topic, are about to be written from *topic*; return the token they bear."""
        secret = token_hex(16)
        detail = {"records": records, **told, KEY: sha256(secret.encode()).hexdigest()}
        with transaction(self._engine) as connection:
            number = PostgresAudit(connection).keep(ACTION, topic, by=Author(actor.name, actor.role), detail=detail)
        return f"{number}-{secret}"

    def written(self, token: str) -> Mapping[str, int]:
        """Return how many records by topic the replay of *token* wrote; none where no replay gave it."""
        number, _, secret = token.partition("-")
        if not (number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS):
            return {}
        column = schema.audit.c
        row = select(column.detail).where(column.audit_id == int(number), column.action == ACTION)
        with transaction(self._engine) as connection:
            detail = connection.execute(row).scalar_one_or_none() or {}
        is_its = hmac.compare_digest(sha256(secret.encode()).hexdigest(), str(detail.get(KEY)))
        return detail["records"] if is_its else {}
