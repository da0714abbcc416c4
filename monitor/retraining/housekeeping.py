"""What is kept of attempts and candidates, and what is removed.

An attempt's folder goes when its job has ended or begins its next attempt, unless it holds a candidate that is
still of use: the champion, the one before it, one that waits for its promotion, and the newest
`retrain.keep_candidates` of the others of its role. Of the rest the job's events keep the log's tail. What a job keeps
for its next attempt, its inputs and checkpoints, goes when there can be none.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.domain.job import LIVE, JobState
from monitor.retraining.records import HELD, JobRecord
from monitor.retraining.run_folder import CHECKPOINTS_FOLDER, INPUTS_FOLDER
from monitor.retraining.work import Transactions
from monitor.runs.action import ACTIONS
from monitor.settings.retrain import RetrainSettings


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    job_id: int
    attempt: int
    path: Path


def decide_removals(
    found: Sequence[AttemptFolder], jobs: Mapping[int, JobRecord], kept_versions: Collection[str]
) -> tuple[AttemptFolder, ...]:
    """Return the folders to remove; those of a job that the database does not know are left alone."""

    def is_kept(folder: AttemptFolder) -> bool:
        record = jobs.get(folder.job_id)
        if record is None:
            return True
        if record.job.state in HELD or record.handle is not None:
            return folder.attempt == record.job.attempt
        if record.result is None or record.job.candidate_version not in kept_versions:
            return False
        return Path(record.result.candidate.path).is_relative_to(folder.path)

    return tuple(folder for folder in found if not is_kept(folder))


def may_run_again(record: JobRecord) -> bool:
    """Say whether the job has a run, or may yet have another."""
    return record.job.state in LIVE - {JobState.PASSED} or record.handle is not None


class AttemptFolders:
    """The dispatcher's `Housekeeping`, over `retrain.folder` as this host sees it."""

    def __init__(self, settings: RetrainSettings, begin: Transactions) -> None:
        self._root = settings.folder.resolve()
        self._keep = settings.keep_candidates
        self._begin = begin

    def tidy(self) -> None:
        found = [folder for path in self._root.glob("job-*/attempt-*") if (folder := _folder(path)) is not None]
        kept_for_next = [
            (int(path.parent.name.removeprefix("job-")), path)
            for name in (INPUTS_FOLDER, CHECKPOINTS_FOLDER)
            for path in self._root.glob(f"job-*/{name}")
            if path.parent.name.removeprefix("job-").isdecimal()
        ]
        if not found and not kept_for_next:
            return
        with self._begin() as work:
            jobs = work.jobs.by_number({item.job_id for item in found} | {job_id for job_id, _ in kept_for_next})
            roles = {kind.result.role for kind in ACTIONS.values()}
            pointers = [work.registry.pointer(role) for role in roles]
            named = {name for pointer in pointers if pointer for name in (pointer.version, pointer.previous) if name}
            waiting = {item.job.candidate_version for item in work.jobs.in_states({JobState.PASSED})} - {None}
            others: set[str] = set()
            kept = named | {version for version in waiting if version}
            for role in roles:
                of_role = [name for name in work.registry.candidates(role) if name not in named | waiting]
                others |= set(of_role)
                kept |= set(of_role[: self._keep])
            removed = decide_removals(found, jobs, kept)
            for folder in removed:
                version = jobs[folder.job_id].job.candidate_version
                if version in others and version not in kept:
                    work.registry.remove(version)
        for folder in removed:
            shutil.rmtree(folder.path, ignore_errors=True)
        for job_id, path in kept_for_next:
            if job_id in jobs and not may_run_again(jobs[job_id]):
                shutil.rmtree(path, ignore_errors=True)


def _folder(path: Path) -> AttemptFolder | None:
    job, attempt = path.parent.name.removeprefix("job-"), path.name.removeprefix("attempt-")
    return AttemptFolder(int(job), int(attempt), path) if job.isdecimal() and attempt.isdecimal() else None
