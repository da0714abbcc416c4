"""A monitor whose pages of lists have rows, with texts of strangers in them."""

from __future__ import annotations

from dataclasses import replace

from monitor.domain.audit import AuditRow
from monitor.domain.job import Check, JobState, RunProgress, Verdict
from monitor.domain.view import BaselineSummary
from monitor.notify.notice import Event, ReceiverStatus, Waiting
from monitor.runs.lineage import Lineage
from monitor.runs.model import ModelDetail, ModelState, RegisteredModel
from tests.hostile import LABELS
from tests.unit.in_memory_letters import LetterTopic, a_letter
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, a_job
from tests.unit.in_memory_records import NOON, trace_row

PATHS = ("/jobs", "/models", "/traces", "/baselines", "/notifications", "/dead-letters", "/audit")
VERDICT = Verdict(False, (Check("calibration", False, 0.14, 0.05, 0.05, "0.14 against 0.05"),), "ab" * 32)
HOSTILE = "".join(LABELS.values())


def model(version: str, job_id: int | None = None) -> RegisteredModel:
    return RegisteredModel(version, "ab" * 32, NOW, job_id, None)


def fill_listings(monitor: InMemoryMonitor) -> None:
    progress = RunProgress("train", 120, 400, 0.41, 2.0, 140.0)
    first = replace(model("reward-1"), state=ModelState.PREVIOUS)
    second = replace(model("reward-2", 2), state=ModelState.CHAMPION, promoted_at=NOW, promoted_by="ada")
    lineage = Lineage(action="reward_refresh", base_sha256="cd" * 32, champion="reward-1", scorer=None)
    monitor.registered = [first, second]
    monitor.details = {"reward-2": ModelDetail(second, "/models/2", lineage, f"# Card\n{HOSTILE}")}
    rows = [trace_row(f"t-{number}", cohort=f"c{number % 2}") for number in range(150)]
    monitor.stored_records.rows = [*rows, trace_row(HOSTILE, cohort=HOSTILE, failed=True)]
    monitor.stored_records.frozen = [BaselineSummary(1, NOON, "ada", HOSTILE, 0, 900, 900, 0)]
    monitor.stored_records.audited = [
        AuditRow(1, NOON, HOSTILE, "operator", "alarm.snooze", "alarm 7", {"note": HOSTILE})
    ]
    waits = Waiting("incident-7", 7, Event.OPENED, HOSTILE, NOON, 3, NOON, False, HOSTILE)
    monitor.receivers = [
        ReceiverStatus("oncall", "slack", "alert", 1, 60.0, NOON, HOSTILE, 6, NOON, (waits,)),
        ReceiverStatus("team", "email", "warning", 0, 0.0, None, None),
    ]
    monitor.letters = LetterTopic([a_letter(1, detail=HOSTILE), a_letter(2, reason=HOSTILE)]).port()
    monitor.kept = {
        1: a_job(1, JobState.FAILED_GATE, verdict=VERDICT),
        2: a_job(2, JobState.RUNNING, progress="step 120", progress_detail=progress, reason=HOSTILE),
    }
