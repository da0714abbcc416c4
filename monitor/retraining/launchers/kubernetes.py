"""Runs as Jobs of Kubernetes, one pod each. A dispatcher on any machine reaches them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from monitor.errors import Unavailable
from monitor.extra import needed
from monitor.retraining.launcher import RunStatus
from monitor.retraining.launchers.kubernetes_files import Files, FilesOf, SharedFiles, StoreFiles
from monitor.retraining.launchers.kubernetes_job import (
    DEPLOYMENT,
    NAME,
    TOKEN,
    Manifest,
    Place,
    fill_template,
    handle_of,
    job_name,
    read_template,
)
from monitor.retraining.launchers.kubernetes_state import Ended, Gone, JobSeen, PodSeen, Waits, decide_outcome
from monitor.retraining.records import RunHandle
from monitor.runs.attempt import LOG_FILE, last_line
from monitor.runs.result import ExitCode
from monitor.settings.launch import KubernetesSettings
from monitor.settings.retrain import RetrainSettings

if TYPE_CHECKING:
    from monitor.retraining.launchers.kubernetes_api import KubernetesApi

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0  # the dispatcher asks more often than the API should be asked
GRACE_SECONDS = 40.0  # a pod is given 30 by the packaged template
_LOG_LINES = 40


class KubernetesRun:
    """One Job with its pod, wherever that runs."""

    def __init__(
        self,
        handle: RunHandle,
        api: KubernetesApi,
        files: Files,
        settings: KubernetesSettings,
        *,
        container: str,
        poll_seconds: float,
        grace_seconds: float,
    ) -> None:
        self.handle = handle
        self._name = job_name(handle)
        self._api, self._files = api, files
        self._container = container
        self._pending_seconds = settings.pending_seconds
        self._poll_seconds, self._grace_seconds = poll_seconds, grace_seconds
        self._asked: tuple[float, RunStatus] | None = None
        self._ending_since: float | None = None

    def status(self) -> RunStatus:
        """Ask, but not more often than the API should be; a run that ended or is gone is told at once."""
        if self._asked is not None and time.monotonic() - self._asked[0] < self._poll_seconds:
            return self._asked[1]
        status = self._status()
        running = status.exit_code is None and status.gone is None
        self._asked = (time.monotonic(), status) if running else None
        return status

    def _status(self) -> RunStatus:
        left = self._files.exit_code()
        if left == ExitCode.GOOD:
            return RunStatus(left, self._files.progress())
        job: JobSeen | None = None
        pods: list[PodSeen] = []
        with suppress(*([Unavailable] if left is not None else [])):
            job, pods = self._look()
            left = self._files.exit_code()  # it may have ended in between
        now = time.monotonic()
        if job is not None and not job.deleted and not any(pod.ending or pod.disrupted for pod in pods):
            self._ending_since = None
        elif self._ending_since is None:
            self._ending_since = now
        outcome = decide_outcome(
            job,
            pods,
            left_code=left,
            now=datetime.now(UTC),
            pending_seconds=self._pending_seconds,
            ending_seconds=now - self._ending_since if self._ending_since is not None else 0.0,
        )
        if isinstance(outcome, Waits):
            if not outcome.expired:
                return RunStatus(None, f"waiting: {outcome.why}")
            self.cancel()
            words = f"the pod did not start within {self._pending_seconds:g} s: {outcome.why}"
            return RunStatus(ExitCode.FAILED, words)
        if isinstance(outcome, Gone):
            if job is not None and job.failed is None:
                self._api.delete_job(self._name)
            return RunStatus(None, None, self._log_tail(outcome.pod), gone=outcome.why)
        if isinstance(outcome, Ended):
            tail = self._log_tail(outcome.pod) if outcome.exit_code else ""
            return RunStatus(outcome.exit_code, outcome.words or last_line(tail), tail)
        return RunStatus(None, outcome.note or self._files.progress() or self._said(outcome.pod))

    def fetch(self) -> None:
        self._files.fetch()
        file = Path(self.handle.folder) / LOG_FILE
        if not file.exists():  # a command of the template's own, or one that could not begin
            _, pods = self._look()
            if pods:
                file.write_text(self._api.log_tail(pods[-1].name, self._container, lines=None) + "\n", encoding="utf-8")

    def cancel(self) -> None:
        self._api.delete_job(self._name)
        deadline = time.monotonic() + self._grace_seconds
        while any(pod.phase not in {"Succeeded", "Failed"} for pod in self._look()[1]):
            if time.monotonic() > deadline:  # its node is lost: whatever goes on there finds that it owns nothing
                log.warning("kubernetes_pod_still_ending", job=self._name, seconds=self._grace_seconds)
                break
            time.sleep(min(0.5, self._poll_seconds))
        self._files.discard()

    def _look(self) -> tuple[JobSeen | None, list[PodSeen]]:
        job = self._api.job(self._name)
        pods = self._api.pods(f"{TOKEN}={self.handle.token}")
        return job, pods
