"""The commands over HTTP: what they say is what they say of the database itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.app.baselines import Baselines
from monitor.app.ports import ports_of
from monitor.demo.traffic import DRIFTED, NORMAL
from monitor.domain.audit import AuditQuery
from monitor.domain.baseline import TraceWindow
from monitor.domain.job import Action
from monitor.domain.order import Actor, Role
from monitor.drift.controller import Controller, ControllerRules
from monitor.drift.fold import FoldRules
from monitor.drift.freeze import NullRule
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.audit import PostgresAuditLog
from monitor.settings.root import Settings
from tests.commands import Run
from tests.integration.job_parts import prefer
from tests.integration.reasking import Ward, calls
from tests.integration.reviewing import store_items
from tests.served import served

pytestmark = pytest.mark.postgres
GOOD, FAILED, BAD_USAGE = 0, 1, 2
TOKENS = {"a-viewer-of-the-site": "viewer", "an-operator-of-the-site": "operator"}
VIEWER, OPERATOR = TOKENS
RULES = ControllerRules(FoldRules(), 0, NullRule())
LONGER = replace(DRIFTED, name="longer", length_factor=2.0, refusal_rate=NORMAL.refusal_rate)


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    """A server over a database with a baseline, a drift that was found, and two jobs."""
    settings, ada = Settings(), Actor("ada", Role.OPERATOR)
    ward = Ward(engine)
    for first in range(0, 600, 300):
        ward.write(calls(NORMAL, "billing", 300, first=first, seed=first))
    Baselines(engine, settings).freeze(TraceWindow(last=500), actor=ada, note="the first")
    ward.write(calls(LONGER, "billing", 300, first=600, seed=600))
    controller = Controller(PostgresFoldStore(engine), RULES)
    for _ in range(3):
        controller.tick()
    ports = ports_of(engine, settings)
    ports.jobs.start_job(Action.REWARD_REFRESH, "a look", actor=ada, force=True)
    with served(ports, tokens=TOKENS) as address:
        yield address


READS = (
    "drift status",
    "drift status --json",
    "drift correlations --json",
    "drift moved",
    "drift moved --json",
    "alarms list",
    "alarms list --json --limit 1",
    "alarms show 1",
    "alarms explain 1",
    "alarms explain 1 --json",
    "incidents list",
    "incidents list --json",
    "incidents show 1",
    "baseline show",
    "baseline show --json",
    "baseline list",
    "baseline freeze --last 300 --preview",
    "baseline freeze --last 300 --preview --json",
    "jobs list",
    "jobs list --json",
    "jobs show 1",
    "jobs plan --json",
    "models list --json",
    "models announcements",
    "winrate --json",
    "probes list --json",
    "review agreement --json",
    "erase list --json",
    "baseline list --signal response_length --json",
    "models list --state champion",
    "tokens list",
    "tokens list --ended --json",
    "preferences list --json",
    "review status",
    "review status --json",
    "notify status --json",
    "signals --json",
)


def test_what_is_read_over_http_is_what_is_read_from_the_database(run: Run, url: str, postgres_url: str) -> None:
    for words in READS:
        here = run(*words.split(), POSTGRES__URL=postgres_url)
        there = run(*words.split(), "--server", url, TOKEN=OPERATOR)
        assert (words, there.code, there.out) == (words, here.code, here.out)
        assert here.code == GOOD, (words, here.err)
        assert here.out
        assert "─" not in here.out
        assert "\x1b" not in here.out


def test_what_is_ordered_over_http_is_done_and_named_in_the_audit(
    run: Run, url: str, postgres_url: str, engine: Engine
) -> None:
    def order(words: str) -> str:
        done = run("--server", url, *words.split(), TOKEN=OPERATOR)
        assert (done.code, done.err) == (GOOD, "")
        return done.out

    alarm_id = json.loads(order("alarms list --state open --json"))[0]["alarm_id"]
    assert order(f"alarms ack {alarm_id} --note seen") == f"alarm {alarm_id} is acknowledged\n"
    assert order(f"alarms snooze {alarm_id} --hours 2") == f"alarm {alarm_id} is snoozed\n"
    assert order(f"alarms reopen {alarm_id}") == f"alarm {alarm_id} is open\n"
    assert order("incidents ack 1").startswith("incident 1 is acknowledged")
    assert order("jobs cancel 1") == "job 1 (reward_refresh) is cancelled\n"
    assert order("baseline freeze --last 300 --note again") == "baseline 2 is frozen from the traces 600 to 899\n"
    assert '"erasure_id": 1' in run("--server", url, "erase", "--user", "x", "--yes", "--json", TOKEN=OPERATOR).out
    log = PostgresAuditLog(engine).audit(AuditQuery(action="alarm"), limit=10)
    assert [row.action for row in log] == ["alarm.reopen", "alarm.snooze", "alarm.acknowledge"]
    assert {row.role for row in log} == {"operator"}
    listed = run("jobs", "list", "--json", POSTGRES__URL=postgres_url).out
    assert '"state": "cancelled"' in listed


def test_criteria_and_gold_over_http_are_what_they_are_in_the_database(
    run: Run, url: str, postgres_url: str, engine: Engine, tmp_path: Path
) -> None:
    store_items(engine, range(2))

    def there(*words: object) -> str:
        done = run(*words, "--server", url, TOKEN=OPERATOR)
        assert (done.code, done.err) == (GOOD, "")
        return done.out

    (tmp_path / "criteria").write_text("Which is more helpful?")
    assert there("review", "criteria", "add", "2", tmp_path / "criteria").startswith("criteria 2 are kept")
    assert there("review", "criteria", "activate", "2") == "criteria 2 are in force\n"
    assert there("review", "gold", "t-1", 1, "--kind", "refusal").endswith("is gold: its refusal is 1\n")
    for words in ("review criteria list", "review criteria list --json", "review criteria show 2"):
        assert there(*words.split()) == run(*words.split(), POSTGRES__URL=postgres_url).out
    log = json.loads(there("review", "status", "--json"))
    assert log["items"]["done"] == 1


def test_a_token_is_made_over_http_opens_the_server_and_is_ended(run: Run, url: str) -> None:
    made = run("tokens", "create", "--name", "ci", "--role", "viewer", "--days", "0", "--server", url, TOKEN=OPERATOR)
    assert (made.code, "never ends" in made.err) == (GOOD, True)
    secret = made.out.strip()
    assert run("jobs", "list", "--server", url, TOKEN=secret).code == GOOD
    assert run("tokens", "list", "--server", url, TOKEN=secret).code == FAILED
    (listed,) = json.loads(run("tokens", "list", "--json", "--server", url, TOKEN=OPERATOR).out)
    number = str(listed["credential_id"])
    assert run("tokens", "revoke", number, "--server", url, TOKEN=OPERATOR).out == f"{number} is revoked\n"
    assert run("jobs", "list", "--server", url, TOKEN=secret).code == BAD_USAGE
    again = run("tokens", "revoke", number, "--server", url, TOKEN=OPERATOR)
    assert (again.code, "was revoked before" in again.err) == (FAILED, True)


def test_files_are_the_same_over_http_and_the_audit_keeps_who_took_and_brought_texts(
    run: Run, url: str, postgres_url: str, engine: Engine, tmp_path: Path
) -> None:
    store_items(engine, range(12))
    prefer(engine, "p-1")
    here, there = tmp_path / "here", tmp_path / "there"
    for name, words in (("items", "review export --format jsonl"), ("pairs.jsonl", "preferences export")):
        for folder in (here, there):
            folder.mkdir(exist_ok=True)
        local = run(*words.split(), here / name, POSTGRES__URL=postgres_url)
        remote = run(*words.split(), there / name, "--server", url, TOKEN=OPERATOR)
        assert (remote.code, remote.out) == (local.code, local.out.replace(str(here), str(there))), remote.err
    files = sorted(file.name for file in here.iterdir())
    assert files == ["items", "pairs.card.json", "pairs.jsonl"]
    assert [(there / name).read_bytes() for name in files] == [(here / name).read_bytes() for name in files]
    assert (here / "pairs.jsonl").read_text()
    lines = [json.loads(line) | {"annotator": "ada", "value": 1} for line in (there / "items").read_text().splitlines()]
    (there / "judged").write_text("\n".join([*map(json.dumps, lines), "no line"]))
    brought = [
        run("review", "import", there / "judged", "--format", "jsonl", "--server", url, TOKEN=OPERATOR)
        for _ in range(2)
    ]
    assert [done.out for done in brought] == [
        "answers: 12 new, 0 known, 1 refused\n",
        "answers: 0 new, 12 known, 1 refused\n",
    ]
    assert "judged: line 13: " in brought[0].err
    assert run("review", "export", there / "x", "--format", "jsonl", "--server", url, TOKEN=VIEWER).code == FAILED
    asked = run("alarms", "reask", "1", "--server", url, TOKEN=OPERATOR)
    assert (asked.code, "drift.reference.endpoint is not set" in asked.err) == (FAILED, True)
    log = PostgresAuditLog(engine)
    kept = [(row.action, row.actor.partition("-")[0]) for row in log.audit(AuditQuery(action="review"), limit=10)]
    assert kept[:2] == [("review.import", "operator")] * 2
    assert ("review.export", "operator") in kept
    (read,) = log.audit(AuditQuery(action="preferences"), limit=10)
    assert read.detail == {"pairs": 1, "kept": False}


def test_a_refusal_names_the_server_and_what_was_wanted(run: Run, url: str) -> None:
    def refused(*words: str, **variables: str) -> tuple[int, str]:
        done = run(*words, **variables)
        assert done.out == ""
        return done.code, done.err

    code, said = refused("alarms", "list", "--server", url)
    assert code == BAD_USAGE
    assert said.startswith(f"rlhf-monitor: {url}: GET /api/v1/whoami: no token was sent")
    code, said = refused("alarms", "ack", "1", "--server", url, TOKEN=VIEWER)
    assert code == FAILED
    assert f"{url}: POST /api/v1/alarms/1/acknowledge: you have the role 'viewer'" in said
    code, said = refused("alarms", "show", "99", "--server", url, TOKEN=OPERATOR)
    assert (code, said) == (FAILED, "rlhf-monitor: there is no alarm 99: `alarms list` shows them\n")
    code, said = refused("jobs", "approve", "1", "--server", url, TOKEN=OPERATOR)
    assert code == FAILED
    assert "POST /api/v1/jobs/1/approve: job 1" in said
    assert OPERATOR not in said


def test_what_works_on_the_database_alone_says_so(run: Run, url: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{OPERATOR}\n")
    for words in ("review refusals x", "drift report --out x", "notify test", "db check", "score x"):
        done = run(*words.split(), "--server", url, "--token-file", token)
        assert (done.code, words, "without --server and MONITOR_SERVER" in done.err) == (BAD_USAGE, words, True)
