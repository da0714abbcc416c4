"""What a Job and its pods say of a run: that it waits, goes on, has ended, or is gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.runs.result import ExitCode

ENDED_PHASES = frozenset({"Succeeded", "Failed"})
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
    is said of the pod. *ending_seconds*: for how long the pod, or the Job, has been seen to end.
    """
    pod = max(pods, key=lambda pod: pod.created) if pods else None
    name = pod.name if pod is not None else None
    if left_code is not None:
        return Ended(left_code, _own_words(pod) if left_code else None, name)
    if job is None or job.deleted:
        if pod is None or pod.phase in ENDED_PHASES or ending_seconds > ENDING_SECONDS:
            return Gone("the Job was deleted", name)
        return GoesOn(f"the Job was deleted; the pod {pod.name} is about to end", name)
    told = _told_by(job, pod)
    if told is not None:
        return told
    waiting = _why_waiting(job, pod)
    if waiting is not None:
        expired = job.started is not None and (now - job.started).total_seconds() > pending_seconds
        return Waits(waiting, expired)
    assert pod is not None
    return _of_pod(pod, ending_seconds)


def _told_by(job: JobSeen, pod: PodSeen | None) -> Outcome | None:
    """Return what the Job itself tells; None where the pod has to be asked."""
    name = pod.name if pod is not None else None
    if job.complete:
        return Ended(ExitCode.GOOD, pod=name)
    reason, message = job.failed or ("", "")
    if reason == "DeadlineExceeded":
        return Ended(ExitCode.FAILED, "it took longer than retrain.kubernetes.deadline_seconds and was ended")
    if reason == "PodFailurePolicy":
        return Gone(message, name)
    if job.failed is not None and pod is None:
        return Gone("the pod was deleted")
    return None


def _why_waiting(job: JobSeen, pod: PodSeen | None) -> str | None:
    if pod is None:
        return "the Job has no pod yet" if job.started is not None else "the Job is suspended, or nobody saw to it yet"
    if pod.phase == "Pending" and not pod.ending and pod.disrupted is None:
        return pod.held_up or "the pod is about to start"
    return None


def _of_pod(pod: PodSeen, ending_seconds: float) -> Outcome:
    """Tell a run that goes on, or ended by itself, from one that is ended from outside."""
    if pod.phase == "Succeeded":
        return Ended(ExitCode.GOOD, pod=pod.name)
    outside = pod.disrupted
    if outside is None and (pod.reason in _OUTSIDE or pod.reason.startswith("OutOf") or pod.exit_code is None):
        outside = f"{pod.reason}: {pod.message}".rstrip(": ") if pod.reason else None
    if outside is None and pod.ending:
        outside = "it was deleted"
    if pod.phase == "Failed":
        if outside is None and pod.exit_code is not None:
            return Ended(pod.exit_code or ExitCode.FAILED, _own_words(pod), pod.name)
        return Gone(f"the pod {pod.name} was ended from outside: {outside or 'it failed before it ran'}", pod.name)
    if outside is not None:
        why = f"the pod {pod.name} is ended from outside: {outside}"
        return Gone(why, pod.name) if ending_seconds > ENDING_SECONDS else GoesOn(why, pod.name)
    lost = f"the node of the pod {pod.name} does not answer" if pod.phase == "Unknown" else None
    return GoesOn(lost, pod.name)


def _own_words(pod: PodSeen | None) -> str | None:
    """Put into words how the container ended; None where its exit code says it all."""
    reason, message = pod.ended_by if pod is not None else ("", "")
    if reason == "OOMKilled":
        return "out of memory: the pod used more than retrain.kubernetes.memory, or than its template, allows"
    if reason in {"", "Error", "Completed"}:
        return None
    return f"{reason}: {message}".rstrip(": ")


def seen_job(job: Mapping[str, Any]) -> JobSeen:
    status, metadata = job.get("status", {}), job["metadata"]
    held = {item["type"]: item for item in status.get("conditions") or [] if item["status"] == "True"}
    failed = held.get("Failed") or held.get("FailureTarget")
    return JobSeen(
        created=_time(metadata["creationTimestamp"]),
        started=_time(status["startTime"]) if status.get("startTime") else None,
        complete="Complete" in held,
        failed=(failed.get("reason", ""), failed.get("message", "")) if failed is not None else None,
        deleted="deletionTimestamp" in metadata,
    )


def seen_pod(pod: Mapping[str, Any], container: str) -> PodSeen:
    """Return what is told of a pod, and of the container of that name."""
    status, metadata = pod.get("status", {}), pod["metadata"]
    conditions = {item["type"]: item for item in status.get("conditions") or []}
    disruption = conditions.get("DisruptionTarget", {})
    disrupted = disruption.get("status") == "True"
    states = [item for item in status.get("containerStatuses") or [] if item["name"] == container]
    state = states[0].get("state", {}) if states else {}
    terminated, scheduled = state.get("terminated", {}), conditions.get("PodScheduled", {})
    waiting = state.get("waiting")
    if scheduled.get("status") == "False":
        waiting = {"reason": "no node takes the pod", "message": scheduled.get("message", "")}
    return PodSeen(
        name=metadata["name"],
        phase=status.get("phase", "Pending"),
        created=_time(metadata["creationTimestamp"]),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        disrupted=_told(disruption) if disrupted else None,
        ending="deletionTimestamp" in metadata,
        held_up=_told(waiting) if waiting else None,
        exit_code=terminated.get("exitCode"),
        ended_by=(terminated.get("reason", ""), terminated.get("message", "")),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _told(item: Mapping[str, Any]) -> str:
    return f"{item.get('reason', '')}: {item.get('message') or ''}".rstrip(": ")
