"""PostgreSQL over TLS: everything is checked on both sides, and a refusal says which part of the URL to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from monitor.errors import InvalidSetting, Unavailable
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.migrate import upgrade
from tests.certificates import Certificate
from tests.commands import Run
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka, in_ci
from tests.secured_postgres import PASSWORD, SecuredPostgres
from tests.traces import line, trace


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredPostgres]:
    server = SecuredPostgres()
    try:
        server.__enter__()
    except Unavailable as reason:
        if in_ci():
            raise
        pytest.skip(f"no PostgreSQL with TLS: {reason}")
    try:
        yield server
    finally:
        server.__exit__(None, None, None)


def client(certificate: Certificate) -> dict[str, Any]:
    return {"sslcert": certificate.certfile, "sslkey": certificate.keyfile}


def first_answer(url: str) -> object:
    engine = create_engine_for(url)
    try:
        with transaction(engine) as connection:
            return connection.exec_driver_sql("select ssl from pg_stat_ssl where pid = pg_backend_pid()").scalar()
    finally:
        engine.dispose()


refusals: dict[str, tuple[Callable[[SecuredPostgres], str], str]] = {
    "a wrong password": (lambda it: it.url(password="hunter2"), "refuses the user or the password of postgres.url"),
    "another host's certificate": (
        lambda it: it.url(host="localhost"),
        "is for another host: name the host in postgres.url as the certificate does",
    ),
    "an authority of somebody else": (
        lambda it: it.url(sslrootcert=it.stranger.cafile),
        "no authority in sslrootcert of postgres.url has signed it",
    ),
    "an authority's file that is not there": (
        lambda it: it.url(sslrootcert="/nowhere/ca.crt"),
        "the file of sslrootcert in postgres.url cannot be used",
    ),
    "no TLS": (lambda it: it.url(sslmode="disable"), "look at user, database and sslmode in postgres.url"),
    "no certificate of the client's": (
        lambda it: it.url(sslcert=None, sslkey=None),
        "wants a client's certificate: set sslcert and sslkey in postgres.url",
    ),
    "a client's certificate by somebody else": (
        lambda it: it.url(**client(it.stranger.issue("other"))),
        "refuses the client's certificate: look at sslcert in postgres.url",
    ),
    "a client's certificate that has expired": (
        lambda it: it.url(**client(it.authority.issue("old", age=timedelta(days=30)))),
        "refuses the client's certificate: look at sslcert in postgres.url",
    ),
    "a key of another certificate": (
        lambda it: it.url(sslkey=it.stranger.issue("other").keyfile),
        "the file of sslkey in postgres.url cannot be used",
    ),
    "a database that is not there": (
        lambda it: it.url().replace("/postgres?", "/nothing?"),
        "the database of postgres.url is not there",
    ),
}


def test_everything_is_checked_and_the_connection_is_encrypted(secured: SecuredPostgres) -> None:
    assert first_answer(secured.url()) is True


def test_the_files_may_be_named_by_libpq_s_own_variables(
    secured: SecuredPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"SSLMODE": "verify-full", "SSLROOTCERT": secured.authority.cafile}
    variables |= {"SSLCERT": secured.client.certfile, "SSLKEY": secured.client.keyfile}
    for name, value in variables.items():
        monkeypatch.setenv(f"PG{name}", str(value))
    without: dict[str, Any] = {"sslmode": None, "sslrootcert": None, "sslcert": None, "sslkey": None}
    assert "ssl" not in secured.url(**without)
    assert first_answer(secured.url(**without)) is True
    with pytest.raises(Unavailable, match="is for another host"):
        first_answer(secured.url(host="localhost", **without))


@pytest.mark.parametrize(("url", "said"), refusals.values(), ids=refusals)
def test_a_refusal_names_the_part_of_the_url_and_the_password_never(
    secured: SecuredPostgres, url: Callable[[SecuredPostgres], str], said: str
) -> None:
    with pytest.raises(Unavailable) as refused:
        first_answer(url(secured))
    assert said in str(refused.value)
    assert said in refused.value.plain  # /readyz tells it to everybody
    assert "127.0.0.1" not in refused.value.plain
    for secret in ("hunter2", PASSWORD):
        assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sslmode=verify-full", "sslmode=verify"), 'postgres.url: invalid sslmode value: "verify"'),
        (("sslmode=", "sslmod="), 'postgres.url: invalid connection option "sslmod"'),
    ],
    ids=["a value", "an option"],
)
def test_a_word_that_libpq_does_not_know_is_a_wrong_setting(
    secured: SecuredPostgres, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        first_answer(secured.url().replace(*change))
    assert str(refused.value) == said


def test_a_server_that_is_away_is_no_wrong_setting() -> None:
    for host in ("/nowhere", "127.0.0.1:1", "nowhere.invalid"):
        away = "?host=/nowhere" if host.startswith("/") else ""
        with pytest.raises(Unavailable) as reason:
            first_answer(f"postgresql://monitor@{'' if away else host}/database{away}")
        assert reason.value.plain == "PostgreSQL is away, or refuses its work"


def test_a_password_with_an_at_sign_that_is_not_quoted_is_not_told() -> None:
    with pytest.raises(InvalidSetting, match="%40 stands for an @") as refused:
        create_engine_for("postgresql://monitor:hun@ter:two@host/database")
    assert "ter:two" not in str(refused.value)


def test_a_command_ends_with_the_refusal_in_one_line(secured: SecuredPostgres, run: Run) -> None:
    done = run("jobs", "list", POSTGRES__URL=secured.url(password="hunter2"))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("rlhf-monitor: PostgreSQL refuses the user or the password of postgres.url: ")
    assert "hunter2" not in done.err


def test_the_daemon_works_over_it_says_why_it_waits_and_goes_on_when_it_is_let_in_again(
    secured: SecuredPostgres, kafka: Kafka
) -> None:
    url = secured.url()
    upgrade(url)
    site = Site(kafka, url)
    with running(site.settings()) as daemon:
        site.send([line(trace(1))])
        wait_for(lambda: site.count("trace") == 1, "a trace")
        ready = f"http://127.0.0.1:{daemon.port}/readyz"
        secured.set_password("changed")
        wait_for(lambda: "refuses the user or the password" in httpx.get(ready).text, "the reason")
        assert httpx.get(ready).status_code == 503
        assert PASSWORD not in httpx.get(ready).text
        secured.set_password(PASSWORD)
        site.send([line(trace(2))])
        wait_for(lambda: site.count("trace") == 2, "a trace after it")
        deadline = time.monotonic() + 30
        while httpx.get(ready).status_code != 200:
            assert time.monotonic() < deadline, httpx.get(ready).text
            time.sleep(0.2)
