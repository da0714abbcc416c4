"""Runs as local processes, each in a session and with an environment of its own; they outlive the daemon."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from monitor.errors import InvalidInput
from monitor.retraining.launcher import Elsewhere, RunStatus
from monitor.retraining.launchers import local_watch
from monitor.retraining.records import RunHandle
from monitor.runs.attempt import EXIT_CODE_FILE, LOG_FILE, last_line, left_exit_code, left_progress, log_tail
from monitor.runs.file import read_file, write_file
from monitor.runs.spec import SPEC_FILE
from monitor.settings.retrain import RetrainSettings

NAME = "local_process"
PROCESS_FILE = "process.json"
BEAT_FILE = "beat"
KILLED = -signal.SIGKILL
_POLL_SECONDS = 0.02

# An allow-list, because a run needs no Kafka, database or API, and so none of their secrets either.
_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    | {"CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}
    | {"HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "XDG_CACHE_HOME"}
    | {"TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
)


def run_environment(environment: Mapping[str, str], *, named: Collection[str] = ()) -> dict[str, str]:
    """Return what a run may see of the daemon's environment, *named* variables too; its log is written as it speaks."""
    allowed = _PASSED_ON.union(named)
    passed = {name: value for name, value in environment.items() if name in allowed or name.startswith("LC_")}
    return passed | {"PYTHONUNBUFFERED": "1"}


def host_id() -> str:
    """Name this boot of this machine, and the space its process numbers are counted in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{os.uname().nodename}"


@dataclass(frozen=True, slots=True)
class _Process:
    """The process that watches a run; its group has the same number.

    It is taken for the run's only if it started at the noted tick: numbers are used again.
    """

    handle: RunHandle
    pid: int
    started: str

    def is_alive(self) -> bool:
        state, started = _state_of(self.pid)
        if started != self.started or state not in {"Z", "X"}:
            return started == self.started
        with suppress(ChildProcessError):  # another process's child, or an orphan
            os.waitpid(self.pid, os.WNOHANG)
        return False

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # gone already, or never ours
            os.killpg(self.pid, number)


class LocalProcess:
    """A run on this host, or one that has ended in a folder that this host sees."""

    def __init__(self, handle: RunHandle, process: _Process, *, grace_seconds: float) -> None:
        self.handle = handle
        self._process = process
        self._folder = Path(handle.folder)
        self._grace_seconds = grace_seconds

    def status(self) -> RunStatus:
        alive = self._process.is_alive()  # before the exit code: it is written before the process ends
        exit_code = left_exit_code(self._folder)
        if exit_code is None and not alive:
            exit_code = KILLED
        if exit_code is None or exit_code == 0:
            progress = left_progress(self._folder)
            return RunStatus(exit_code, progress.line if progress is not None else None, detail=progress)
        tail = log_tail(self._folder)
        return RunStatus(exit_code, last_line(tail), tail)

    def fetch(self) -> None:
        """Its files lie where they are read."""

    def discard(self, *, resumed: bool) -> None:
        """There is nothing of it elsewhere."""

    def cancel(self) -> None:
        """Ask the group to end, and after the grace period make it."""
        if not self._process.is_alive():
            return
        self._process.signal(signal.SIGTERM)
        self._wait(self._grace_seconds)
        self._process.signal(signal.SIGKILL)  # data loader workers may outlive their parent
        self._wait(self._grace_seconds)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._process.is_alive() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


class LocalProcessLauncher:
    """Starts `python -m retrain` beside the daemon; everything it prints goes to `run.log` in the run's folder.

    A run on another host is believed alive while its `beat` is seen to move, by this host's clock, at least
    once in `silence_seconds`; where the folder is not shared nothing is seen of it.
    """

    def __init__(
        self,
        *,
        command: Sequence[str] = (sys.executable, "-m", "retrain"),
        grace_seconds: float = 10.0,
        silence_seconds: float = 60.0,
        host: Callable[[], str] = host_id,
        named: Collection[str] = (),
    ) -> None:
        self._command = tuple(command)
        self._grace_seconds = grace_seconds
        self._silence_seconds = silence_seconds
        self._host = host()
        self._named = frozenset(named)
        self._beats: dict[str, tuple[int, float]] = {}  # by token: the last beat seen, and when it was first seen

    @classmethod
    def of(cls, settings: RetrainSettings) -> LocalProcessLauncher:
        """Return one whose runs see the keys of the servers that answer for a policy, and no other secret."""
        servers = (settings.policy.champion_server, settings.policy.candidate_server)
        keys = [server.api_key_variable for server in servers if server is not None and server.api_key_variable]
        return cls(silence_seconds=settings.lease_seconds, named=keys)

    def handle(self, folder: Path) -> RunHandle:
        return RunHandle(NAME, self._host, str(folder), uuid4().hex)

    def start(self, handle: RunHandle) -> LocalProcess:
        folder = Path(handle.folder)
        (folder / EXIT_CODE_FILE).write_text(" " * local_watch.EXIT_CODE_CHARACTERS, encoding="ascii")
        (folder / BEAT_FILE).touch()
        watch = [sys.executable, "-I", "-S", local_watch.__file__, str(folder)]
        reading, writing = os.pipe()
        try:
            pid = os.posix_spawn(
                sys.executable,
                [*watch, *self._command, "--spec", str(folder / SPEC_FILE)],
                run_environment(os.environ, named=self._named),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reading, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(folder / LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigdef=[signal.SIGPIPE],
            )
            process = _Process(handle, pid, _state_of(pid)[1] or "")
            write_file(folder / PROCESS_FILE, process)
            os.write(writing, b"1")  # only now the run begins: from here on every process that looks can find it
        finally:
            os.close(reading)
            os.close(writing)
        return LocalProcess(handle, process, grace_seconds=self._grace_seconds)

    def attach(self, handle: RunHandle) -> LocalProcess | Elsewhere | None:
        folder = Path(handle.folder)
        process = _read_mark(folder / PROCESS_FILE)
        if process is not None and process.handle == handle:
            run = LocalProcess(handle, process, grace_seconds=self._grace_seconds)
            if left_exit_code(folder) is not None or (handle.host == self._host and process.is_alive()):
                return run
        if handle.host != self._host:
            return Elsewhere(beating=self._is_beating(handle))
        return None

    def found(self, folder: Path) -> Iterator[LocalProcess]:
        for file in folder.glob(f"job-*/*/{PROCESS_FILE}"):
            process = _read_mark(file)
            if process is not None and process.handle.host == self._host and process.is_alive():
                yield LocalProcess(process.handle, process, grace_seconds=self._grace_seconds)

    def _is_beating(self, handle: RunHandle) -> bool:
        """Compare the beat with the one seen before: two hosts' clocks are never compared."""
        try:
            beat = (Path(handle.folder) / BEAT_FILE).stat().st_mtime_ns
        except OSError:
            return False  # not shared
        now = time.monotonic()
        last, since = self._beats.get(handle.token, (None, now))
        if beat != last:
            self._beats[handle.token] = (beat, now)
            return True
        return now - since < self._silence_seconds


def _read_mark(file: Path) -> _Process | None:
    try:
        return read_file(file, _Process)
    except InvalidInput:
        return None  # there is none, or one of another release


def _state_of(pid: int) -> tuple[str | None, str | None]:
    """Return the process's state and its start in ticks since the boot; twice None where there is no such process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None, None
    after_name = status.rpartition(")")[2].split()  # the name, in brackets, may hold spaces
    return after_name[0], after_name[19]
