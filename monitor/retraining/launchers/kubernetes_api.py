"""The calls a launcher makes of Kubernetes, each with a timeout, through the official client."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from pydantic import ValidationError

from monitor.errors import InvalidInput, InvalidSetting, Unavailable
from monitor.retraining.launchers.kubernetes_state import JobSeen, PodSeen
from monitor.settings.launch import KubernetesSettings

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 10.0
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PLAIN = "Kubernetes does not answer, or refuses; the log says more"
_TIMEOUTS = {"_request_timeout": (CONNECT_SECONDS, ANSWER_SECONDS), "_preload_content": False}


class KubernetesApi:
    """Jobs and pods of one namespace. No answer, and one that another try may better, is `Unavailable`."""

    def __init__(self, settings: KubernetesSettings) -> None:
        configuration, namespace = _configuration(settings)
        self.namespace = settings.namespace or namespace
        connection = client.ApiClient(configuration)
        self._batch, self._core = client.BatchV1Api(connection), client.CoreV1Api(connection)

    def create_job(self, manifest: Mapping[str, Any]) -> bool:
        """Create a Job; False where one of its name is there.

        Raises `InvalidInput` for a manifest that is refused as it stands, `PermissionError` where a right or a
        quota is missing.
        """
        try:
            with _asked("create the Job"):
                self._batch.create_namespaced_job(self.namespace, manifest, field_validation="Strict", **_TIMEOUTS)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"][1:])
            raise InvalidInput(f"retrain.kubernetes.template: {place} = {first['input']!r}: {first['msg']}") from None
        except client.ApiException as error:
            if error.status == 409:
                return False
            if error.status in {400, 422}:
                raise InvalidInput(f"Kubernetes refuses the Job: {_message(error)}") from None
            raise PermissionError(errno.EACCES, f"Kubernetes refuses the Job: {_message(error)}") from None
        return True

    def job(self, name: str) -> Mapping[str, Any] | None:
        with _asked(f"read the Job {name}", none_for=(404,)):
            return _read(self._batch.read_namespaced_job(name, self.namespace, **_TIMEOUTS))
        return None

    def jobs(self, selector: str) -> Sequence[Mapping[str, Any]]:
        with _asked("list Jobs"):
            found = _read(self._batch.list_namespaced_job(self.namespace, label_selector=selector, **_TIMEOUTS))
        return found.get("items") or []

    def pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        with _asked("list pods"):
            found = _read(self._core.list_namespaced_pod(self.namespace, label_selector=selector, **_TIMEOUTS))
        return found.get("items") or []

    def delete_job(self, name: str) -> None:
        """Have a Job removed, its pods first; harmless where there is none."""
        with _asked(f"delete the Job {name}", none_for=(404,)):
            self._batch.delete_namespaced_job(name, self.namespace, propagation_policy="Foreground", **_TIMEOUTS)

    def log_tail(self, pod: str, container: str, lines: int) -> str:
        """Return the end of what the container printed; empty where there is nothing to read any more."""
        with _asked(f"read the log of {pod}", none_for=(400, 403, 404, 500)):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=container, tail_lines=lines, **_TIMEOUTS
            )
            return bytes(answer.data).decode("utf-8", "replace").strip()
        return ""


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


def _configuration(settings: KubernetesSettings) -> tuple[Any, str]:
    """Return how the API is reached, and the namespace that goes with it."""
    configuration, namespace = client.Configuration(), "default"
    configuration.retries = False  # the daemon tries again by itself, and says so
    try:
        if settings.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(configuration)
            namespace = OWN_NAMESPACE.read_text(encoding="utf-8").strip()
        else:
            file = str(settings.kubeconfig) if settings.kubeconfig is not None else None
            config.load_kube_config(file, settings.context, configuration, persist_config=False)
            contexts, current = config.list_kube_config_contexts(file)
            chosen = next((item for item in contexts if item["name"] == settings.context), current)
            namespace = chosen["context"].get("namespace", "default")
    except (config.ConfigException, OSError, TypeError) as error:
        where = f"retrain.kubernetes.kubeconfig = {str(settings.kubeconfig or 'the default')!r}"
        raise InvalidSetting(f"{where}, context {settings.context!r}: {error}") from None
    if settings.token is not None:
        configuration.api_key["BearerToken"] = f"Bearer {settings.token.get_secret_value()}"
    return configuration, namespace


@contextmanager
def _asked(what: str, none_for: tuple[int, ...] = ()) -> Iterator[None]:
    """Pass by an answer of *none_for*; leave what a new Job is refused for to its caller."""
    try:
        yield
    except client.ApiException as error:
        if error.status in none_for:
            return
        if what == "create the Job" and error.status in {400, 403, 409, 422}:
            raise
        raise Unavailable(f"Kubernetes did not {what}: {_message(error)}", plain=_PLAIN) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(f"Kubernetes did not {what}: {type(error).__name__}: {error}", plain=_PLAIN) from None


def _message(error: Any) -> str:
    """Return the server's own words, which name what is missing and to whom."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _read(answer: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(answer.data)
    return content


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _told(item: Mapping[str, Any]) -> str:
    return f"{item.get('reason', '')}: {item.get('message') or ''}".rstrip(": ")
