"""Runs as Jobs of Kubernetes, one pod each. A dispatcher on any machine reaches them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from monitor.errors import Unavailable
from monitor.extra import needed
from monitor.retraining.launcher import RunStatus
from monitor.retraining.launchers.kubernetes_files import Files, FilesOf, SharedFiles
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
from monitor.retraining.launchers.kubernetes_state import (
    ENDED_PHASES,
    Ended,
    Gone,
    JobSeen,
    Outcome,
    PodSeen,
    Waits,
    decide_outcome,
    seen_job,
    seen_pod,
)
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
_LOG_LINES, _ALL_LINES = 40, 100_000


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
        outcome = self._outcome()
        if isinstance(outcome, Waits) and outcome.expired:
            self.cancel()
            words = f"the pod did not start within {self._pending_seconds:g} s: {outcome.why}"
            return RunStatus(ExitCode.FAILED, words)
        if isinstance(outcome, Gone):
            return RunStatus(None, None, self._log_tail(outcome.pod), gone=outcome.why)
        if isinstance(outcome, Ended) and outcome.exit_code != ExitCode.GOOD:
            tail = self._log_tail(outcome.pod)
            return RunStatus(outcome.exit_code, outcome.words or last_line(tail), tail)
        progress = self._files.progress() if not isinstance(outcome, Waits) else None
        line = progress.line if progress is not None else None
        if isinstance(outcome, Ended):
            return RunStatus(outcome.exit_code, line, detail=progress)
        if isinstance(outcome, Waits):
            line = f"waiting: {outcome.why}"
        else:
            line = outcome.note or line or last_line(self._log_tail(outcome.pod))
        status = RunStatus(None, line, detail=progress)
        self._asked = time.monotonic(), status
        return status

    def _outcome(self) -> Outcome:
        """Ask the run's files, and Kubernetes where they don't tell that it ended well."""
        left = self._files.exit_code()
        if left == ExitCode.GOOD:
            return Ended(left)
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
        if isinstance(outcome, Gone) and job is not None and job.failed is None:
            self._api.delete_job(self._name)
        return outcome

    def fetch(self) -> None:
        self._files.fetch()
        file = Path(self.handle.folder) / LOG_FILE
        if not file.exists():  # a command of the template's own, or one that could not begin
            _, pods = self._look()
            if pods:
                file.write_text(self._api.log_tail(pods[-1].name, self._container, _ALL_LINES) + "\n", encoding="utf-8")

    def cancel(self) -> None:
        self._api.delete_job(self._name)
        deadline = time.monotonic() + self._grace_seconds
        while any(pod.phase not in ENDED_PHASES for pod in self._look()[1]):
            if time.monotonic() > deadline:  # its node is lost: whatever goes on there finds that it owns nothing
                log.warning("kubernetes_pod_still_ending", job=self._name, seconds=self._grace_seconds)
                break
            time.sleep(min(0.5, self._poll_seconds))
        self._files.discard(resumed=True)

    def discard(self, *, resumed: bool) -> None:
        self._files.discard(resumed=resumed)

    def _look(self) -> tuple[JobSeen | None, list[PodSeen]]:
        job = self._api.job(self._name)
        pods = self._api.pods(f"{TOKEN}={self.handle.token}")
        return seen_job(job) if job is not None else None, [seen_pod(pod, self._container) for pod in pods]

    def _log_tail(self, pod: str | None) -> str:
        """Return what the run said last: by its files, or by its pod where it left none."""
        tail = ""
        with suppress(Unavailable):
            tail = self._files.log_tail()
        if not tail and pod is not None:
            with suppress(Unavailable):
                tail = self._api.log_tail(pod, self._container, _LOG_LINES)
        return tail


class KubernetesLauncher:
    """Makes a Job a run, in one namespace. The Jobs of other deployments there are left alone."""

    def __init__(
        self,
        settings: KubernetesSettings,
        root: Path,
        api: KubernetesApi,
        *,
        poll_seconds: float = POLL_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._settings, self._api = settings, api
        self._template: Manifest = read_template(settings)
        self._place = Place.of(api.namespace, root, settings)
        self._poll_seconds, self._grace_seconds = poll_seconds, grace_seconds
        self._files_of: FilesOf = SharedFiles
        if settings.store is not None:
            with needed("kubernetes", "retrain.kubernetes.store"):
                from monitor.retraining.launchers.kubernetes_store import StoreFiles  # noqa: PLC0415 - an extra
                from monitor.runs.fsspec_store import FsspecStore  # noqa: PLC0415
            store = FsspecStore(settings.store, settings.store_options)
            self._files_of = lambda handle: StoreFiles(handle, store)

    @classmethod
    def of(cls, settings: RetrainSettings) -> KubernetesLauncher:
        with needed("kubernetes", "retrain.launcher = 'kubernetes'"):
            from monitor.retraining.launchers.kubernetes_api import KubernetesApi  # noqa: PLC0415 - an extra
        return cls(settings.kubernetes, settings.folder.resolve(), KubernetesApi(settings.kubernetes))

    def handle(self, folder: Path) -> RunHandle:
        return RunHandle(NAME, self._api.namespace, str(folder), uuid4().hex)

    def start(self, handle: RunHandle) -> KubernetesRun:
        """Give the pod its files and make the Job; one that an earlier call made is taken for this one's."""
        run = self._run(handle)
        if not self._belongs(self._api.job(job_name(handle)), handle):
            self._files_of(handle).give()
            manifest = fill_template(self._template, self._settings, self._place, handle)
            if not self._api.create_job(manifest) and not self._belongs(self._api.job(job_name(handle)), handle):
                raise FileExistsError(f"another Job is called {job_name(handle)} in {self._api.namespace}")
        return run

    def attach(self, handle: RunHandle) -> KubernetesRun | None:
        """Take up a run by its Job, or by the exit code that it left; a Job may have been removed after its end."""
        run = self._run(handle)
        if self._files_of(handle).exit_code() is not None:
            return run
        if self._belongs(self._api.job(job_name(handle)), handle) or self._api.pods(f"{TOKEN}={handle.token}"):
            return run
        return None

    def found(self, folder: Path) -> Iterator[KubernetesRun]:
        for job in self._api.jobs(f"{DEPLOYMENT}={self._place.deployment}"):
            handle, seen = handle_of(job), seen_job(job)
            if handle is None or seen.complete or seen.failed is not None or seen.deleted:
                continue
            if Path(handle.folder).is_relative_to(folder):
                yield self._run(handle)

    def _run(self, handle: RunHandle) -> KubernetesRun:
        return KubernetesRun(
            handle,
            self._api,
            self._files_of(handle),
            self._settings,
            container=self._template["spec"]["template"]["spec"]["containers"][0]["name"],
            poll_seconds=self._poll_seconds,
            grace_seconds=self._grace_seconds,
        )

    @staticmethod
    def _belongs(job: Mapping[str, Any] | None, handle: RunHandle) -> bool:
        return job is not None and handle_of(job) == handle
