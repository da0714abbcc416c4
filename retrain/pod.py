"""`python -m retrain.pod --folder FOLDER --token TOKEN`: carries out a run in a pod, and leaves how it ended.

It prints the run's log as it grows, and keeps it as `run.log`. The exit code is left beside the result only by a run
that ended by itself: one that was told to end leaves none, and is begun again. A run whose folder belongs to another
start by now is of no use to anybody, and is ended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from monitor.errors import InvalidInput, InvalidSetting, Unavailable
from monitor.extra import needed
from monitor.runs.attempt import EXIT_CODE_FILE, LOG_FILE, owner
from monitor.runs.spec import SPEC_FILE

RUN = (sys.executable, "-m", "retrain")
ROUND_SECONDS = 1.0
NOT_BEGUN, NOT_DELIVERED = 70, 75
_PATIENCE_SECONDS = 600.0  # for a store that does not answer before or after the run


class Place(Protocol):
    """Where the run's files come from and go to."""

    def receive(self) -> None: ...

    def keep(self) -> bool:
        """Put what there is by now where it outlives the pod; False where the run is not wanted any more."""
        ...

    def deliver(self, exit_code: int | None) -> None:
        """Leave everything; None for a run that did not end by itself."""
        ...


class SharedFolder:
    """A volume that the daemon sees too."""

    def __init__(self, folder: Path, token: str) -> None:
        self._folder, self._token = folder, token

    def receive(self) -> None:
        if not self.keep():
            raise InvalidInput(f"{self._folder}: belongs to another start of the run, or is not mounted here")

    def keep(self) -> bool:
        return owner(self._folder) == self._token

    def deliver(self, exit_code: int | None) -> None:
        if exit_code is not None and self.keep():
            (self._folder / EXIT_CODE_FILE).write_text(str(exit_code), encoding="ascii")


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = RUN) -> int:
    parser = argparse.ArgumentParser(prog="python -m retrain.pod", description="Carry out one run in a pod.")
    parser.add_argument("--folder", type=Path, required=True, help="of the attempt; spec.json lies there")
    parser.add_argument("--token", required=True, help="of this start")
    parser.add_argument("--store", help="fsspec URL through which files come and go; none: the folder is shared")
    parser.add_argument("--store-options", type=json.loads, default={}, help="of fsspec's file system, as JSON")
    given = parser.parse_args(arguments)
    # The first process of a container ignores what it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        place: Place = SharedFolder(given.folder, given.token)
        if given.store is not None:
            with needed("kubernetes", "a run whose files come from a store"):
                from retrain.pod_store import StoredFolder  # noqa: PLC0415 - an extra
            place = StoredFolder(given.folder, given.token, given.store, given.store_options)
        if not _patiently(place.receive, _PATIENCE_SECONDS):
            return NOT_BEGUN
    except (InvalidInput, InvalidSetting) as error:
        print(f"retrain.pod: {error}", flush=True)  # noqa: T201 - the pod's log
        return NOT_BEGUN
    return carry_out(place, given.folder, [*command, "--spec", str(given.folder / SPEC_FILE)])


def carry_out(place: Place, folder: Path, command: Sequence[str]) -> int:
    """Run the command to its end; return what the pod ends with."""
    told: list[int] = []
    with (folder / LOG_FILE).open("wb") as written, (folder / LOG_FILE).open("rb") as read:
        run = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
        )

        def pass_on(number: int, _frame: object) -> None:
            told.append(number)
            _signal(run, number)

        signal.signal(signal.SIGTERM, pass_on)
        while (code := _wait(run)) is None:
            _show(read.read())
            if not _is_wanted(place):
                pass_on(signal.SIGKILL, None)
        _signal(run, signal.SIGKILL)  # workers may outlive the run
        _show(read.read())
    if told:
        _patiently(lambda: place.deliver(None), 0.0)  # what is not kept within the grace is trained again
        return 128 + signal.SIGTERM
    if not _patiently(lambda: place.deliver(code), _PATIENCE_SECONDS):
        return NOT_DELIVERED
    return code if code >= 0 else 128 - code


def _patiently(step: Callable[[], None], seconds: float) -> bool:
    """Take a step again and again while the store, or the volume, is away; say whether it was taken."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            step()
        except (Unavailable, OSError) as error:
            print(f"retrain.pod: {error}", flush=True)  # noqa: T201 - the pod's log
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(5.0)


def _wait(run: subprocess.Popen[bytes]) -> int | None:
    try:
        return run.wait(timeout=ROUND_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _is_wanted(place: Place) -> bool:
    try:
        return place.keep()
    except (Unavailable, OSError):  # a later round may do better
        return True


def _signal(run: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(run.pid, number)


def _show(printed: bytes) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(printed)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
