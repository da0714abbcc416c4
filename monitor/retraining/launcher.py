"""What the dispatcher needs of a way to start runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from monitor.domain.job import RunProgress
from monitor.retraining.records import RunHandle


@dataclass(frozen=True, slots=True)
class RunStatus:
    exit_code: int | None  # None: still running
    progress: str | None  # the last thing it said
    log_tail: str = ""  # of a run that failed, or is gone
    gone: str | None = None  # why there is no run any more, although it neither failed nor ended by itself
    detail: RunProgress | None = None  # how far it has come, where it tells that in figures


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A run on a host that cannot be reached from this one."""

    beating: bool  # a sign of life of it is seen: it goes on there


class Run(Protocol):
    """A run that lives, or has ended and told how. It outlives this process."""

    @property
    def handle(self) -> RunHandle: ...

    def status(self) -> RunStatus: ...

    def fetch(self) -> None:
        """Bring what an ended run left into its folder; may take minutes, and may be called again."""
        ...

    def discard(self, *, resumed: bool) -> None:
        """Remove what is kept of an ended run outside its folder; *resumed*: its job's next run goes on from some."""
        ...

    def cancel(self) -> None:
        """End the run and all its processes; return when they are gone."""
        ...


class Launcher(Protocol):
    def handle(self, folder: Path) -> RunHandle:
        """Return what names the next start in *folder*; it is stored before that start."""
        ...

    def start(self, handle: RunHandle) -> Run:
        """Start a run of `spec.json` in the handle's folder; raise `OSError` where it cannot be started.

        After `Unavailable` it is called again with the same handle: there is one run of it, whatever was heard.
        """
        ...

    def attach(self, handle: RunHandle) -> Run | Elsewhere | None:
        """Take a run up again that another process started; None where there is none any more."""
        ...

    def found(self, folder: Path) -> Iterable[Run]:
        """Return the live runs of any job below *folder* that can be reached."""
        ...
