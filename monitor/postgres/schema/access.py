"""The tables of who may use the API, tokens and sessions, and of changes that are sent twice and made once."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

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

# What was answered to changes that their senders named by a key, for a day.
kept_answer = Table(
    "kept_answer",
    metadata,
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of path, query and body
    _timestamp("claimed_at", default_now=True),
    Column("claims", Integer, nullable=False, server_default="1"),  # requests that had the key, one after another
    Column("made", Boolean, nullable=False, server_default=text("false")),  # written with the change itself
    Column("status", Integer),  # null: the request goes on, or its process ended before it answered
    Column("media_type", Text),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("actor", "role", "key"),
    Index(None, "claimed_at"),
)
