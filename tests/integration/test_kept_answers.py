"""The answers to changes in PostgreSQL, over restarts and between replicas."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from monitor.domain.kept_answer import Claim, KeptAnswer, KeyUse, Sent
from monitor.domain.order import Actor, Role
from monitor.errors import Conflict
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.kept_answers import CLAIM_SECONDS, PostgresKeptAnswers, note_made
from tests.integration.keyed_program import keyed_client

pytestmark = pytest.mark.postgres
PROGRAM = Path(__file__).with_name("keyed_program.py")
ERASE = {"kind": "user", "name": "nobody"}  # leaves its record, though nothing is found
ADA = Actor("ada", Role.OPERATOR)
SENT = Sent("k-1", b"a" * 32)
GIVEN = KeptAnswer(201, "application/json", b'{"a": 1}')


def claimed(keys: PostgresKeptAnswers, actor: Actor = ADA, sent: Sent = SENT) -> Claim:
    found = keys.claim(actor, sent)
    assert isinstance(found, Claim)
    return found


def let_pass(engine: Engine, seconds: float) -> None:
    with transaction(engine) as connection:
        earlier = "update kept_answer set claimed_at = claimed_at - make_interval(secs => :seconds)"
        connection.execute(text(earlier), {"seconds": seconds})


def test_an_answer_is_there_after_a_restart_and_goes_after_a_day(engine: Engine, postgres_url: str) -> None:
    keys = PostgresKeptAnswers(engine)
    mine = claimed(keys)
    assert keys.claim(ADA, SENT) is KeyUse.UNANSWERED
    keys.keep(mine, GIVEN)
    later = create_engine_for(postgres_url, pool_size=2)
    assert PostgresKeptAnswers(later).claim(ADA, SENT) == GIVEN
    later.dispose()
    assert keys.claim(ADA, Sent("k-1", b"b" * 32)) is KeyUse.OTHER
    claimed(keys, Actor("ada", Role.VIEWER))
    let_pass(engine, 25 * 3600)
    assert claimed(keys).number == 1
    with transaction(engine) as connection:
        assert connection.execute(text("select count(*) from kept_answer")).scalar_one() == 1


def test_a_released_key_is_free_and_a_kept_answer_is_not_released(engine: Engine) -> None:
    keys = PostgresKeptAnswers(engine)
    keys.release(claimed(keys))
    mine = claimed(keys)
    keys.keep(mine, GIVEN)
    keys.release(mine)
    keys.keep(mine, KeptAnswer(500, "", b""))
    assert keys.claim(ADA, SENT) == GIVEN


def test_of_many_that_claim_a_key_at_once_one_gets_it(engine: Engine) -> None:
    keys, found = PostgresKeptAnswers(engine), list[Claim | KeyUse | KeptAnswer]()
    threads = [threading.Thread(target=lambda: found.append(keys.claim(ADA, SENT))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(use, Claim) for use in found) == 1
    assert found.count(KeyUse.UNANSWERED) == 5


def test_who_has_lost_the_key_changes_nothing_and_keeps_no_answer(engine: Engine) -> None:
    keys = PostgresKeptAnswers(engine)
    slow = claimed(keys)
    let_pass(engine, CLAIM_SECONDS + 1)
    quick = claimed(keys)
    assert (slow.number, quick.number) == (1, 2)

    def change(claim: Claim) -> None:
        with keys.making(claim), transaction(engine) as connection:
            connection.execute(text("update kept_answer set media_type = 'changed'"))
            note_made(connection)

    with pytest.raises(Conflict, match="a later request"):
        change(slow)
    assert keys.claim(ADA, SENT) is KeyUse.UNANSWERED
    change(quick)
    keys.release(quick)  # of no use: the change is made
    keys.keep(slow, KeptAnswer(409, "", b""))
    assert keys.claim(ADA, SENT) is KeyUse.MADE
    keys.keep(quick, GIVEN)
    assert keys.claim(ADA, SENT) == GIVEN


@pytest.mark.parametrize("killed", ["before", "after"])
def test_a_change_whose_process_is_killed_is_made_once_by_whoever_sends_it_again(
    engine: Engine, postgres_url: str, killed: str
) -> None:
    body, headers = json.dumps(ERASE), {"Idempotency-Key": "k-1"}
    done = subprocess.run([sys.executable, str(PROGRAM), postgres_url, "k-1", body, killed], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    client = keyed_client(engine)

    def send() -> tuple[int, str | None, int]:
        answer = client.post("/api/v1/erasures", content=body, headers=headers)
        return (
            answer.status_code,
            answer.headers.get("Idempotency-Replayed"),
            len(client.get("/api/v1/erasures").json()),
        )

    made = int(killed == "after")
    assert send() == (409, None, made)  # for all that is known it goes on
    let_pass(engine, CLAIM_SECONDS + 1)
    if made:
        assert send() == (409, None, 1)
        assert "was made" in client.post("/api/v1/erasures", content=body, headers=headers).json()["detail"]
    else:
        assert send() == (200, None, 1)
        assert send() == (200, "true", 1)
