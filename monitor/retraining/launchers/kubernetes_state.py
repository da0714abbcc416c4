"""What a Job and its pod say of a run: that it waits, goes on, has ended, or is gone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.runs.result import ExitCode

OUT_OF_MEMORY = 137
# A pod that was told to end may take its grace; one whose node is lost stays like that for ever.
ENDING_SECONDS = 60.0
# Reasons of a pod that was ended from outside, or never admitted by its node.
_OUTSIDE = {"Evicted", "NodeLost", "NodeShutdown", "NodeAffinity", "Preempting", "Shutdown", "Terminated"}


@dataclass(frozen=True, slots=True)
class JobSeen:
    created: datetime
    started: datetime | None = None  # None while it is suspended
    complete: bool = False
    failed: tuple[str, str] | None = None  # reason and message
    deleted: bool = False  # it is being removed with its pods


@dataclass(frozen=True, slots=True)
class PodSeen:
    name: str
    phase: str
    created: datetime
    reason: str = ""
    message: str = ""
    disrupted: str | None = None  # why it is ended from outside
    ending: bool = False
    held_up: str | None = None  # why it has not started
    exit_code: int | None = None  # of the container that trains
    ended_by: tuple[str, str] = ("", "")  # reason and message of that


@dataclass(frozen=True, slots=True)
class Waits:
    why: str
    expired: bool  # for longer than is borne


@dataclass(frozen=True, slots=True)
class GoesOn:
    note: str | None = None
    pod: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    exit_code: int
    words: str | None = None
    pod: str | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """It did not end by itself: another try may do better, and counts as the same one."""

    why: str
    pod: str | None = None


Outcome = Waits | GoesOn | Ended | Gone


def decide_outcome(
    job: JobSeen | None,
    pods: Sequence[PodSeen],
    *,
    left_code: int | None,
    now: datetime,
    pending_seconds: float,
    ending_seconds: float,
) -> Outcome:
    """Say what became of a run.

    *left_code* is the exit code that the run itself left beside its result; it is believed before anything that
    is said of the pod. *ending_seconds*: for how long the pod has been seen to end.
    """
    pod = max(pods, key=lambda pod: pod.created) if pods else None
    if left_code is not None:
        return Ended(left_code, _own_words(pod) if left_code else None, pod.name if pod else None)
    if job is None or job.deleted:
        return Gone("the Job was deleted")
    if job.complete:
        return Ended(ExitCode.GOOD, pod=pod.name if pod else None)
    if job.failed is not None and job.failed[0] == "DeadlineExceeded":
        return Ended(ExitCode.FAILED, "it took longer than retrain.kubernetes.deadline_seconds and was ended")
    if job.failed is not None and job.failed[0] == "PodFailurePolicy":
        return Gone(job.failed[1], pod.name if pod else None)
    if pod is None:
        if job.failed is not None:
            return Gone("the pod was deleted")
        return _waiting(job, "the Job has no pod yet", now, pending_seconds)
    if pod.phase in {"Succeeded", "Failed"}:
        return _ended(pod)
    if pod.ending or pod.disrupted is not None:
        why = f"the pod {pod.name} is ended from outside: {pod.disrupted or 'it was deleted'}"
        return Gone(why, pod.name) if ending_seconds > ENDING_SECONDS else GoesOn(why, pod.name)
    if pod.phase == "Pending":
        return _waiting(job, pod.held_up or "the pod is about to start", now, pending_seconds)
    if pod.phase == "Unknown":
        return GoesOn(f"the node of the pod {pod.name} does not answer", pod.name)
    return GoesOn(pod=pod.name)


def _waiting(job: JobSeen, why: str, now: datetime, pending_seconds: float) -> Waits:
    if job.started is None:
        return Waits("the Job is suspended, or nobody has seen to it yet", expired=False)
    return Waits(why, expired=(now - job.started).total_seconds() > pending_seconds)


def _ended(pod: PodSeen) -> Outcome:
    """Tell a run that ended by itself from one that was ended."""
    if pod.disrupted is not None or pod.reason in _OUTSIDE or pod.reason.startswith("OutOf"):
        told = pod.disrupted or f"{pod.reason}: {pod.message}".rstrip(": ")
        return Gone(f"the pod {pod.name} was ended from outside: {told}", pod.name)
    if pod.phase == "Succeeded":
        return Ended(ExitCode.GOOD, pod=pod.name)
    if pod.ending:
        return Gone(f"the pod {pod.name} was deleted", pod.name)
    if pod.exit_code is None:
        return Gone(f"the pod {pod.name} failed before it ran: {pod.reason or 'no reason given'} {pod.message}", pod.name)
    return Ended(pod.exit_code or ExitCode.FAILED, _own_words(pod), pod.name)


def _own_words(pod: PodSeen | None) -> str | None:
    """Put into words how the container ended; None where its exit code says it all."""
    if pod is None:
        return None
    reason, message = pod.ended_by
    if reason == "OOMKilled":
        return "out of memory: the pod used more than retrain.kubernetes.memory, or than its template, allows"
    if reason in {"", "Error", "Completed"}:
        return None
    return f"{reason}: {message}".rstrip(": ")
