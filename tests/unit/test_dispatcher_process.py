"""A run as a local process: what it may see, how it ends, and what a dead daemon leaves."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.retraining.launchers.local_process import (
    PROCESS_FILE,
    LocalProcess,
    LocalProcessLauncher,
)
from monitor.runs.attempt import EXIT_CODE_FILE, LOG_FILE
from monitor.runs.progress import PROGRESS_FILE, RunProgress, write_progress
from monitor.settings.policy import AnsweringServerSettings, PolicySettings
from monitor.settings.retrain import RetrainSettings
from tests.processes import is_alive

SLEEPS = "import time; time.sleep(60)"
DEADLINE_SECONDS = 20

Start = Callable[[str], LocalProcess]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "job-1" / "attempt-1"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start a program as a run; whatever is left of it ends with the test."""
    started = []

    def start(program: str) -> LocalProcess:
        launcher = LocalProcessLauncher(command=(sys.executable, "-c", program), grace_seconds=0.5)
        run = launcher.start(launcher.handle(folder))
        started.append(run)
        return run

    yield start
    for run in started:
        run.cancel()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def has_ended(run: LocalProcess) -> bool:
    return run.status().exit_code is not None


def test_a_run_sees_none_of_the_daemons_secrets(start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_KAFKA__SASL_PASSWORD", "secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    run = start("import os, json; print(json.dumps(dict(os.environ)))")
    wait_until(lambda: has_ended(run))
    seen = json.loads((folder / LOG_FILE).read_text())
    assert "secret" not in seen.values()
    assert seen["CUDA_VISIBLE_DEVICES"] == "1"
    assert "PATH" in seen


def test_a_run_sees_the_keys_of_the_servers_that_answer_for_a_policy_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHAMPION_KEY", "CANDIDATE_KEY", "OTHER_KEY"):
        monkeypatch.setenv(name, "secret")
    champion = AnsweringServerSettings(url="http://127.0.0.1:1", api_key_variable="CHAMPION_KEY")
    candidate = AnsweringServerSettings(url="http://127.0.0.1:1", api_key_variable="CANDIDATE_KEY")
    policy = PolicySettings(champion_server=champion, candidate_server=candidate)
    launcher = LocalProcessLauncher.of(RetrainSettings(policy=policy))
    run = launcher.start(launcher.handle(folder))
    environment = Path(f"/proc/{json.loads((folder / PROCESS_FILE).read_text())['pid']}/environ")
    wait_until(lambda: environment.read_bytes() != b"")  # a program that is just being loaded has none yet
    seen = {line.split(b"=", 1)[0] for line in environment.read_bytes().split(b"\0")}
    run.cancel()
    assert {b"CHAMPION_KEY", b"CANDIDATE_KEY"} <= seen
    assert b"OTHER_KEY" not in seen


def test_a_failed_run_tells_its_exit_code_and_its_last_words(start: Start) -> None:
    run = start("import sys; print('loading'); sys.exit('no space left on device')")
    wait_until(lambda: has_ended(run))
    assert run.status().exit_code == 1
    assert run.status().progress == "no space left on device"


def test_progress_is_the_line_the_run_wrote_last(start: Start, folder: Path) -> None:
    run = start(SLEEPS)
    assert run.status().progress is None
    told = RunProgress("member 1 of 3", 10, 90, loss=0.4, rate=2.5, seconds_left=32.0, phase="training")
    write_progress(folder / PROGRESS_FILE, told)
    assert (run.status().progress, run.status().detail) == ("member 1 of 3", told)
    (folder / PROGRESS_FILE).write_text('{"line": "of an older release", "done": 1, "total": 2}')
    assert run.status().detail == RunProgress("of an older release", 1, 2)
    (folder / PROGRESS_FILE).write_text("{")
    assert (run.status().progress, run.status().detail) == (None, None)


def test_cancelling_ends_a_run_that_will_not_listen_and_its_children(start: Start, folder: Path) -> None:
    run = start(
        "import pathlib, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]);"
        "pathlib.Path('part').write_text(str(child.pid));"
        "pathlib.Path('part').rename('child');"
        "time.sleep(60)"
    )
    wait_until((folder / "child").exists)
    child = int((folder / "child").read_text())
    run.cancel()
    assert run.status().exit_code is not None
    wait_until(lambda: not is_alive(child))


def test_another_launcher_takes_a_run_up_and_learns_how_it_ends(start: Start, folder: Path) -> None:
    run = start(
        "import pathlib, time\n"
        "while not pathlib.Path('told').exists():\n"
        "    time.sleep(0.01)\n"
        "raise SystemExit(7)\n"
    )  # fmt: skip
    attached = LocalProcessLauncher().attach(run.handle)
    assert isinstance(attached, LocalProcess)
    assert attached.status().exit_code is None
    (folder / "told").touch()
    wait_until(lambda: has_ended(attached))
    assert attached.status().exit_code == 7


def test_a_run_that_ended_while_nobody_watched_still_tells_how(start: Start) -> None:
    run = start("print('done')")
    wait_until(lambda: has_ended(run))
    attached = LocalProcessLauncher().attach(run.handle)
    assert isinstance(attached, LocalProcess)
    assert attached.status().exit_code == 0


def test_a_run_another_process_started_is_cancelled_with_its_children(start: Start, folder: Path) -> None:
    run = start(
        "import pathlib, subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]);"
        "pathlib.Path('part').write_text(str(child.pid)); pathlib.Path('part').rename('child');"
        "time.sleep(60)"
    )
    wait_until((folder / "child").exists)
    (found,) = LocalProcessLauncher(grace_seconds=0.5).found(folder.parents[1])
    found.cancel()
    wait_until(lambda: has_ended(run))
    wait_until(lambda: not is_alive(int((folder / "child").read_text())))


def test_a_run_that_left_no_exit_code_and_no_process_is_gone(start: Start, folder: Path) -> None:
    run = start(SLEEPS)
    run.cancel()
    (folder / EXIT_CODE_FILE).write_text(" ")  # as after a loss of power
    assert run.status().exit_code == -9
    assert LocalProcessLauncher().attach(run.handle) is None


def test_a_run_nobody_noted_does_not_begin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk is full, or the daemon is killed between the process's start and its note."""

    def full(_path: Path, _value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monitor.retraining.launchers.local_process.write_file", full)
    launcher = LocalProcessLauncher(command=(sys.executable, "-c", "open('ran', 'w')"))
    with pytest.raises(OSError, match="No space left"):
        launcher.start(launcher.handle(folder))
    time.sleep(0.5)
    assert not (folder / "ran").exists()


def test_a_run_whose_folder_is_removed_ends(start: Start, folder: Path) -> None:
    run = start(SLEEPS)
    shutil.rmtree(folder)
    wait_until(lambda: has_ended(run))


@pytest.mark.parametrize("started", ["1", ""])
def test_a_process_that_only_has_the_runs_number_is_left_alone(start: Start, folder: Path, started: str) -> None:
    run = start(SLEEPS)
    mark = json.loads((folder / PROCESS_FILE).read_text())
    (folder / PROCESS_FILE).write_text(json.dumps(mark | {"started": started}))
    assert LocalProcessLauncher().attach(run.handle) is None
    assert list(LocalProcessLauncher().found(folder.parents[1])) == []
    assert not has_ended(run)
