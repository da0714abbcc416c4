"""Runs as local processes, each in a process group and with an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from monitor.errors import InvalidInput
from monitor.retraining.dispatcher import RunStatus
from monitor.runs.progress import PROGRESS_FILE, read_progress
from monitor.runs.spec import SPEC_FILE

LOG_FILE = "run.log"
PROCESS_FILE = "process.json"
_LOG_TAIL_BYTES = 4_096

# An allow-list, because a run needs no Kafka, database or API, and so none of their secrets either.
_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    | {"CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}
    | {"HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "XDG_CACHE_HOME"}
    | {"TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
)


def run_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a run may see of the daemon's environment; its log is written as it speaks."""
    passed = {name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith("LC_")}
    return passed | {"PYTHONUNBUFFERED": "1"}


class LocalProcess:
    """A started run; its process group has the number of its first process."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, *, grace_seconds: float) -> None:
        self._process = process
        self._folder = folder
        self._grace_seconds = grace_seconds

    def status(self) -> RunStatus:
        exit_code = self._process.poll()
        failed = exit_code is not None and exit_code != 0
        return RunStatus(exit_code, _last_line(self._folder / LOG_FILE) if failed else self._progress())

    def cancel(self) -> None:
        """Ask the group to end, and after the grace period make it."""
        if self._process.poll() is not None:
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=self._grace_seconds)
        _signal_group(self._process.pid, signal.SIGKILL)  # data loader workers may outlive their parent
        self._process.wait()

    def _progress(self) -> str | None:
        try:
            progress = read_progress(self._folder / PROGRESS_FILE)
        except InvalidInput:
            return None  # a run's progress is a courtesy; its result is what is read strictly
        return progress.line if progress is not None else None


class LocalProcessLauncher:
    """Starts `python -m retrain` beside the daemon; everything it prints goes to `run.log` in the run's folder."""

    def __init__(
        self, *, command: Sequence[str] = (sys.executable, "-m", "retrain"), grace_seconds: float = 10.0
    ) -> None:
        self._command = tuple(command)
        self._grace_seconds = grace_seconds

    def start(self, folder: Path) -> LocalProcess:
        with (folder / LOG_FILE).open("wb") as log:
            process = subprocess.Popen(
                [*self._command, "--spec", str(folder / SPEC_FILE)],
                cwd=folder,
                env=run_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        run = LocalProcess(process, folder, grace_seconds=self._grace_seconds)
        mark = {"pid": process.pid, "started": _start_ticks(process.pid)}
        try:
            (folder / PROCESS_FILE).write_text(json.dumps(mark), encoding="utf-8")
        except OSError:
            run.cancel()
            raise
        return run

    def stop_stale(self, job_folder: Path) -> None:
        """Kill the runs a dead daemon left on this machine.

        A process is taken for the run only if it started at the recorded tick of
        this machine's clock: numbers are used again, and folders may be shared.
        Where the system tells no start times, a stale run is left to end by
        itself; its folder is no longer read.
        """
        for file in job_folder.glob(f"*/{PROCESS_FILE}"):
            pid, started = _read_mark(file)
            if pid is not None and started is not None and _start_ticks(pid) == started:
                _signal_group(pid, signal.SIGKILL)


def _read_mark(file: Path) -> tuple[int | None, str | None]:
    try:
        mark = json.loads(file.read_text(encoding="utf-8"))
        return int(mark["pid"]), mark["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None  # half-written when the daemon died


def _start_ticks(pid: int) -> str | None:
    """Return the boot's id and the process's start in ticks since that boot, or None if there is none to be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    after_name = status.rpartition(")")[2].split()  # the name, in brackets, may hold spaces
    return f"{boot}:{after_name[19]}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # gone already, or never ours
        os.killpg(pid, number)


def _last_line(log: Path) -> str | None:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return None
    return next((line.strip() for line in reversed(lines) if line.strip()), None)
