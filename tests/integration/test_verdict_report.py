"""A verdict's report from the run to the operator: kept with the verdict, and never in its way."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from sqlalchemy import select, text

from monitor.domain.job import Action, JobState
from monitor.postgres import schema
from monitor.postgres.retention import PostgresRetention, Retention
from monitor.retraining.dispatcher import Step
from monitor.retraining.gate import judge
from monitor.retraining.records import Report
from monitor.retraining.report.page import REPORT_FILE, Judged
from monitor.runs.artifact import policy_artifact
from monitor.runs.policy import POLICY
from monitor.settings.retrain import GateSettings
from tests.commands import Run
from tests.integration.job_parts import OPERATOR, Parts, drive, prefer
from tests.integration.released import passed_job, policy_folder, policy_result

pytestmark = pytest.mark.postgres


def test_a_verdicts_report_is_kept_written_and_its_evidence_checked(
    parts: Parts, run: Run, postgres_url: str, tmp_path: Path
) -> None:
    parts.adopt_champion()
    prefer(parts.engine, "p-1")
    parts.start()
    drive(parts.dispatcher(promotion="manual"), Step.JUDGED)
    page = parts.service.verdict_page(1)
    assert page is not None
    assert b"The gate lets the candidate through" in page
    [beside] = (tmp_path / "runs").glob(f"job-1/attempt-1/{REPORT_FILE}")
    assert beside.read_bytes() == page
    out = tmp_path / "told.html"
    assert run("jobs", "report", "1", "--out", out, POSTGRES__URL=postgres_url).code == 0
    assert out.read_bytes() == page
    good = run("jobs", "report", "1", "--check", POSTGRES__URL=postgres_url)
    assert (good.code, "candidate" in good.out, "changed" in good.out) == (0, True, False)
    [spec] = (tmp_path / "runs").glob("job-1/attempt-1/spec.json")
    spec.write_text("{}")
    bad = run("jobs", "report", "1", "--check", POSTGRES__URL=postgres_url)
    assert bad.code == 1
    assert f"what was asked for, {spec}: changed" in bad.out
    none = run("jobs", "report", "2", POSTGRES__URL=postgres_url)
    assert none.code != 0
    assert "job 2 has no report" in none.err


def test_a_report_that_cannot_be_made_is_an_event_and_the_verdict_stands(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Judged) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("monitor.retraining.report.page.make_report", fail)
    parts.adopt_champion()
    parts.start()
    drive(parts.dispatcher(promotion="manual"), Step.JUDGED)
    assert parts.job().state is JobState.PASSED
    assert parts.service.verdict_page(1) is None
    assert parts.notes()[-1] == "the verdict's report could not be made: RecursionError: too deep"


def test_a_policy_that_failed_its_gate_waits_for_a_signed_override(parts: Parts, tmp_path: Path) -> None:
    artifact = policy_artifact(policy_folder(tmp_path / "candidate", "weights"))
    result = policy_result(artifact, None)
    verdict = judge(Action.DPO, result, GateSettings())
    assert not verdict.passed
    job_id = passed_job(parts.engine, Action.DPO, result, None, verdict)
    assert parts.releases.promote_passed("automatic") is None
    job = parts.service.override(job_id, "the suites were not at hand", actor=OPERATOR)
    assert job.state is JobState.PROMOTED
    assert parts.registry.champion_version(POLICY) == artifact.version
    with parts.engine.connect() as connection:
        query = select(schema.audit.c.detail).where(schema.audit.c.action == "gate.override")
        signed = connection.execute(query).scalar_one()
    assert {"length", "over_refusal", "sycophancy"} <= set(signed["failed_checks"])


def test_an_attempt_judged_again_replaces_the_page_which_goes_in_its_time(parts: Parts) -> None:
    parts.start()
    for words in (b"first", b"second"):
        with parts.begin() as work:
            work.jobs.keep_report(1, Report("ab", gzip.compress(words)))
    assert parts.service.verdict_page(1) == b"second"
    PostgresRetention(parts.engine, Retention(0, 0, 0, pair_days=40)).tidy()
    assert parts.service.verdict_page(1) == b"second"
    with parts.engine.begin() as connection:
        connection.execute(text("update job_report set created_at = created_at - interval '50 days'"))
    PostgresRetention(parts.engine, Retention(0, 0, 0, pair_days=40)).tidy()
    assert parts.service.verdict_page(1) is None
