"""A dispatcher's process is killed, or told to leave, after each of its steps: one run, one promotion, no orphan."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.domain.job import JobState
from monitor.postgres.engine import create_engine_for
from tests.integration.job_parts import Parts, wait_until
from tests.real_kafka import ROOT

pytestmark = pytest.mark.postgres
RETRAINING = "monitor.retraining"
UNTOLD = "the process was marked and not told to begin"
CALLS = {
    "the lease was taken": f"{RETRAINING}.lease:LeasedJobs.take",
    "the folder was filled": f"{RETRAINING}.run_folder:RunFolders.prepare",
    "the run was noted": f"{RETRAINING}.lease:LeasedJobs.running",
    UNTOLD: f"{RETRAINING}.launchers.local_process:write_file",
    "the run was started": f"{RETRAINING}.launchers.local_process:LocalProcessLauncher.start",
    "a heartbeat": f"{RETRAINING}.lease:LeasedJobs.heartbeat",
    "the run had ended": f"{RETRAINING}.dispatcher:collect_result",
    "the result was noted": f"{RETRAINING}.lease:LeasedJobs.evaluating",
    "the verdict": f"{RETRAINING}.lease:LeasedJobs.judged",
    "the promotion": f"{RETRAINING}.release:Releases.promote_passed",
}


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url, pool_size=4)
    yield engine
    engine.dispose()


def dispatch(url: str, folder: Path, call: str, number: signal.Signals) -> int:
    words = [url, str(folder), call, str(int(number))]
    program = [sys.executable, "-m", "tests.integration.dispatching_program", *words]
    return subprocess.run(program, cwd=ROOT, timeout=120, check=False).returncode


def processes_of(folder: Path) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to leave"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_dispatcher_that_goes_in_the_middle_loses_no_run_and_starts_none_twice(
    engine: Engine, postgres_url: str, tmp_path: Path, call: str, number: signal.Signals
) -> None:
    parts = Parts(engine, tmp_path)
    parts.adopt_champion()
    parts.start()
    code = dispatch(postgres_url, tmp_path, call, number)
    assert code == (-number if number is signal.SIGKILL else 0)
    if number is signal.SIGKILL:
        if call == CALLS[UNTOLD]:
            wait_until(lambda: not processes_of(tmp_path))  # as it will have by the time that the lease has run out
        parts.run_out()  # what time does to a lease nobody keeps
    following = parts.dispatcher("slow", owner="the next one")

    def is_promoted() -> bool:
        following.tick()
        return parts.job().state is JobState.PROMOTED

    wait_until(is_promoted, seconds=60)
    following.close()
    job = parts.job()
    assert (job.state, job.attempt) == (JobState.PROMOTED, 1)
    assert parts.events().count("promoted") == 1
    assert (tmp_path / "starts").read_text().count("\n") == 1
    assert parts.registry.champion_version() == job.candidate_version
    deadline = time.monotonic() + 10
    while processes_of(tmp_path):
        assert time.monotonic() < deadline, processes_of(tmp_path)
        time.sleep(0.05)
