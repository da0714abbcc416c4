"""The table of what opens the API: tokens that operators made, and sessions of people."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text, text

from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

credential = Table(
    "credential",
    metadata,
    Column("credential_id", BigInteger, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),  # SHA-256 of the secret, in hex; the secret is kept nowhere
    Column("kind", Text, nullable=False),  # "token" or "session"
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("subject", Text),  # issuer and the provider's id of a person
    Column("created_by", Text, nullable=False),
    _timestamp("created_at", default_now=True),
    _timestamp("expires_at", nullable=True),
    _timestamp("revoked_at", nullable=True),
    _timestamp("last_used_at", nullable=True),
    Index(
        "uq_credential_live_token", "name", unique=True, postgresql_where=text("kind = 'token' and revoked_at is null")
    ),
    Index(None, "expires_at"),
)
