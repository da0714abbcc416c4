"""Why a server, or this side, ended a connection before it was of use; and which part of `postgres.url` to look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    words: tuple[str, ...]  # all of them stand in what libpq or the server said
    plain: str  # for everybody; nothing of what was said


# The first that fits. What the server says comes after FATAL, in its own language where lc_messages is another.
REFUSALS = (
    Refusal(("password authentication failed",), "PostgreSQL refuses the user or the password of postgres.url"),
    Refusal(("no password supplied",), "PostgreSQL wants a password, and postgres.url has none"),
    Refusal(
        ("does not match host name",),
        "PostgreSQL's certificate is for another host: name the host in postgres.url as the certificate does",
    ),
    Refusal(
        ("certificate verify failed",),
        "PostgreSQL's certificate has expired, or no authority in sslrootcert of postgres.url has signed it",
    ),
    Refusal(
        ("requires a valid client certificate",),
        "PostgreSQL wants a client's certificate: set sslcert and sslkey in postgres.url",
    ),
    Refusal(
        ("SSL error", "alert"),
        "PostgreSQL refuses the client's certificate: look at sslcert in postgres.url, and whether it has expired",
    ),
    Refusal(
        ("server does not support SSL",),
        "PostgreSQL speaks no TLS there, and sslmode in postgres.url asks for it",
    ),
    Refusal(
        ("pg_hba.conf",),
        "PostgreSQL lets nobody in this way (pg_hba.conf): look at user, database and sslmode in postgres.url",
    ),
    Refusal(("root certificate file",), "the file of sslrootcert in postgres.url cannot be used"),
    Refusal(("certificate file",), "the file of sslcert in postgres.url cannot be used"),
    Refusal(("private key file",), "the file of sslkey in postgres.url cannot be used"),
    Refusal(("FATAL", "database", "does not exist"), "the database of postgres.url is not there"),
)


def explain(said: str) -> str | None:
    """Return in plain words what *said*, the failure of a connection, means; None where it is no refusal."""
    return next((one.plain for one in REFUSALS if all(words in said for words in one.words)), None)
