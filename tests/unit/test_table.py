"""What operators read: changes in a unit that says what it is, and which streams may page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitor.cli.table import decomposition_text, effect_text, job_table, plan_table, progress_text, stream_table
from monitor.domain.alarm import Decomposition, Effect
from monitor.domain.job import Action, Hold, JobState, PlannedStart, RunProgress
from monitor.domain.stream import StreamKey, StreamStatus
from tests.commands import Run
from tests.unit.in_memory_ports import a_job

LOUD = StreamStatus(
    key=StreamKey("refusal", "*", "assistant", "patterns-1"),
    observations=900,
    mean=0.09,
    baseline_mean=0.03,
    baseline_lower=0.02,
    baseline_upper=0.04,
    evidence_log=1.2,
    last_timestamp=datetime(2026, 11, 21, tzinfo=UTC),
    unit="ratio",
)


def test_how_far_a_run_has_come_is_told_in_one_line_by_what_it_tells() -> None:
    whole = RunProgress("epoch 1", 30, 400, loss=0.41237, rate=2.504, seconds_left=147.6, phase="training")
    assert progress_text(whole) == "training, step 30 of 400 (8%), loss 0.4124, 2.5 steps/s, 0:02:28 left"
    assert progress_text(RunProgress("member 1 of 3", 10, 90)) == "training, step 10 of 90 (11%)"
    assert progress_text(RunProgress("loading pairs", 0, 0, phase="preparing")) == "loading pairs"


@pytest.mark.parametrize(
    ("state", "told"),
    [(JobState.RUNNING, "training, step 30 of 400 (8%)"), (JobState.QUEUED, "epoch 1")],
    ids=["of a run under way its figures", "of one that is gone its last line"],
)
def test_a_list_of_jobs_tells(state: JobState, told: str) -> None:
    job = a_job(state=state, progress="epoch 1", progress_detail=RunProgress("epoch 1", 30, 400))
    [shown] = job_table([job]).columns[-1].cells
    assert str(shown) == told


def test_a_plan_has_a_line_for_each_hold_with_its_end() -> None:
    until = datetime(2026, 11, 21, 6, tzinfo=UTC)
    holds = Hold("quiet_hours", "22:00-06:00 UTC", until), Hold("budget", "4.0 GPU hours")
    held = PlannedStart("alert on refusal", Action.DPO, "quiet_hours", "22:00-06:00 UTC", until, holds)
    starts = PlannedStart("alert on reward", Action.REWARD_REFRESH, "launch", "500 new preference pairs")
    columns = [[str(cell) for cell in column.cells] for column in plan_table([held, starts]).columns]
    assert columns == [
        ["alert on refusal", "", "alert on reward"],
        ["dpo", "", "reward_refresh"],
        ["quiet_hours", "budget", "launch"],
        ["22:00-06:00 UTC", "4.0 GPU hours", "500 new preference pairs"],
        ["2026-11-21 06:00:00Z", "", ""],
    ]


def test_a_change_of_a_rate_is_told_in_points() -> None:
    assert effect_text(Effect(0.0736, 0.0121, 0.149, "ratio")) == "+7.36 [+1.21, +14.9] points"
    assert effect_text(Effect(69.6, 31.1, 133.0, "tokens")) == "+69.6 [+31.1, +133] tokens"


def test_the_parts_of_a_change_say_nothing_of_rounding() -> None:
    assert decomposition_text(Decomposition(52.0, 8.0, 44.0, "tokens")) == "+52 tokens: +8 prompts, +44 model"
    split = Decomposition(0.144, -2.78e-17, 0.144, "ratio")
    assert decomposition_text(split) == "+14.4 points: +0 prompts, +14.4 model"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (LOUD, "1.20 ALARM"),
        (replace(LOUD, is_steady=False), "1.20 warning unsteady"),
        (replace(LOUD, key=StreamKey("input_shift", "*", "*", "kinds-1")), "1.20 warning"),
        (replace(LOUD, evidence_log=-0.3), "0.00"),
    ],
)
def test_a_stream_that_can_only_warn_is_no_alarm(status: StreamStatus, told: str) -> None:
    evidence = next(column for column in stream_table([status]).columns if column.header == "evidence")
    assert [str(text) for text in evidence.cells] == [told]


@pytest.mark.parametrize("command", ["alarms show", "alarms reask", "incidents ack", "jobs show"])
def test_a_number_that_nothing_can_have_is_refused_by_name(command: str, run: Run) -> None:
    done = run(*command.split(), "99999999999999999999")
    assert done.code == 2
    assert "less than or equal to 9223372036854775807" in " ".join(done.err.replace("│", " ").split())
