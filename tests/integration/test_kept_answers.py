"""The answers to changes in PostgreSQL, over restarts and between replicas."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from monitor.domain.kept_answer import KeptAnswer, KeyUse, Sent
from monitor.domain.order import Actor, Role
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.kept_answers import PostgresKeptAnswers

pytestmark = pytest.mark.postgres
ADA = Actor("ada", Role.OPERATOR)
SENT = Sent("k-1", b"a" * 32)
GIVEN = KeptAnswer(201, "application/json", b'{"a": 1}')


def test_an_answer_is_there_after_a_restart_and_goes_after_a_day(engine: Engine, postgres_url: str) -> None:
    keys = PostgresKeptAnswers(engine)
    assert keys.claim(ADA, SENT) is KeyUse.FIRST
    assert keys.claim(ADA, SENT) is KeyUse.UNANSWERED
    keys.keep(ADA, SENT, GIVEN)
    later = create_engine_for(postgres_url, pool_size=2)
    assert PostgresKeptAnswers(later).claim(ADA, SENT) == GIVEN
    later.dispose()
    assert keys.claim(ADA, Sent("k-1", b"b" * 32)) is KeyUse.OTHER
    assert keys.claim(Actor("ada", Role.VIEWER), SENT) is KeyUse.FIRST
    with transaction(engine) as connection:
        connection.execute(text("update kept_answer set claimed_at = now() - interval '25 hours'"))
    assert keys.claim(ADA, SENT) is KeyUse.FIRST
    with transaction(engine) as connection:
        assert connection.execute(text("select count(*) from kept_answer")).scalar_one() == 1


def test_a_released_key_is_free_and_a_kept_answer_is_not_released(engine: Engine) -> None:
    keys = PostgresKeptAnswers(engine)
    keys.claim(ADA, SENT)
    keys.release(ADA, SENT)
    assert keys.claim(ADA, SENT) is KeyUse.FIRST
    keys.keep(ADA, SENT, GIVEN)
    keys.release(ADA, SENT)
    keys.keep(ADA, SENT, KeptAnswer(500, "", b""))
    assert keys.claim(ADA, SENT) == GIVEN


def test_of_many_that_claim_a_key_at_once_one_gets_it(engine: Engine) -> None:
    keys, found = PostgresKeptAnswers(engine), list[KeyUse | KeptAnswer]()
    threads = [threading.Thread(target=lambda: found.append(keys.claim(ADA, SENT))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(use.name for use in found if isinstance(use, KeyUse)) == ["FIRST", *["UNANSWERED"] * 5]
