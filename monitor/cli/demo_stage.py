"""The demo's stage: what every chapter plays on, waits for and speaks through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.domain.alarm import AlarmKind, AlarmState, Severity
from monitor.domain.job import Action, Job, JobState
from monitor.domain.text import for_terminal
from monitor.signals.estimand import LABEL_SIGNALS

if TYPE_CHECKING:
    from monitor.demo.player import Player
    from monitor.domain.alarm import StoredAlarm
    from monitor.web.app import Ports

FOLD_SECONDS, JOB_SECONDS = 60.0, 600.0
TELL_SECONDS = 5.0  # between two lines about a job's progress
ENDED = frozenset({JobState.PROMOTED, JobState.FAILED_GATE, JobState.FAILED, JobState.CANCELLED})
OF_LABELS = frozenset(signal.name for signal in LABEL_SIGNALS)


class Missed(Exception):
    """A chapter of the story did not happen; the message says what was seen instead."""


class Stage:
    """The running parts, and the narrator; the parts stand here once they are up."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()
        self.ports: Ports
        self.player: Player
        self.stop: threading.Event
        self.failure: BaseException | None = None  # of a part that runs in a thread
        self._played = 0  # records of traces

    def play(
        self,
        what: str,
        records: Iterable[bytes],
        total: int,
        *,
        per_second: float | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        from monitor.demo import script

        columns = (TextColumn("   {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            task = bar.add_task(what, total=total)

            def ended() -> bool:
                self.check()
                return until()

            self._played += self.player.play(
                script.TRACES_TOPIC,
                records,
                per_second=per_second or script.PER_SECOND,
                until=ended,
                played=lambda sent: bar.update(task, completed=sent),
            )

    def found(self, kind: AlarmKind) -> list[StoredAlarm]:
        """Return the open alarms of one kind; others tell of silence, and the player pauses at times."""
        return [
            found for found in self.ports.alarms.alarms(state=AlarmState.OPEN, limit=100) if found.alarm.kind is kind
        ]

    def alerts(self) -> list[StoredAlarm]:
        """Return the pages on what is known as soon as a trace is."""
        return [
            found
            for found in self.found(AlarmKind.DRIFT)
            if found.alarm.severity is Severity.ALERT and found.alarm.stream.signal not in OF_LABELS
        ]

    def knows(self, signal: str) -> bool:
        """Say whether the baseline holds a law of *signal*: what labels tell has one once there are enough of them."""
        laws = self.ports.streams.laws()
        return laws is not None and any(law.signal == signal for law in laws.signals)

    def settle(self) -> None:
        """Wait until every record that was played is stored, as what it is, and folded; nothing may trickle beside."""

        def settled() -> bool:
            seen = self.ports.overview.overview()
            stored = seen.traces + seen.duplicates + sum(seen.dead_letters.values()) + sum(seen.skipped.values())
            return stored >= self._played and not seen.fold_lag_traces

        self.until(settled, FOLD_SECONDS, "the traffic to be stored and folded")

    def started_job(self, action: Action) -> Job:
        """Wait for a job of *action*, and say why it was started."""

        def found() -> Job | None:
            return next((job for job in self.ports.jobs.jobs(limit=10) if job.action is action), None)

        self.until(lambda: found() is not None, FOLD_SECONDS, f"a {action} job to be started")
        job = found()
        assert job is not None
        self.say(f"job {job.job_id} ({job.action}) was started by {job.requested_by}: {job.reason}")
        return job

    def follow(self, job_id: int) -> Job:
        told, said = "", 0.0
        deadline = time.monotonic() + JOB_SECONDS
        while time.monotonic() < deadline:
            self.check()
            detail = self.ports.jobs.job(job_id)
            assert detail is not None
            news = detail.job.progress or detail.job.state.value
            if news != told and time.monotonic() - said >= TELL_SECONDS:
                self.say(news)
                told, said = news, time.monotonic()
            if detail.job.state in ENDED:
                return detail.job
            time.sleep(0.5)
        raise Missed(f"job {job_id} did not end within {JOB_SECONDS:.0f} s; it is {told}")

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise Missed(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.25)

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.stop.is_set():
            raise Missed("stopped by a signal")

    def heading(self, title: str) -> None:
        self.console.print(f"\n{title}", style="bold", markup=False)

    def say(self, line: str) -> None:
        self.console.print(f"  {time.monotonic() - self.started:5.1f} s  {for_terminal(line)}", markup=False)
