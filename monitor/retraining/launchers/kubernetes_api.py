"""The calls a launcher makes of Kubernetes, each with a timeout, through the official client."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from pydantic import ValidationError

from monitor.errors import InvalidInput, InvalidSetting, Unavailable
from monitor.settings.launch import KubernetesSettings

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 10.0
OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PLAIN = "Kubernetes does not answer, or refuses; the log says more"


class KubernetesApi:
    """Jobs and pods of one namespace. No answer, and one that another try may better, is `Unavailable`."""

    def __init__(self, settings: KubernetesSettings, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        configuration, namespace = _configuration(settings)
        self.namespace = settings.namespace or namespace
        self._call = {"_request_timeout": (CONNECT_SECONDS, answer_seconds), "_preload_content": False}
        connection = client.ApiClient(configuration)
        self._batch, self._core = client.BatchV1Api(connection), client.CoreV1Api(connection)

    def create_job(self, manifest: Mapping[str, Any]) -> bool:
        """Create a Job; False where one of its name is there.

        Raises `InvalidInput` for a manifest that is refused as it stands, `PermissionError` where a right or a
        quota is missing.
        """
        try:
            with _asked("create the Job", passed_on=(400, 403, 409, 422)):
                self._batch.create_namespaced_job(self.namespace, manifest, field_validation="Strict", **self._call)
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
            return _read(self._batch.read_namespaced_job(name, self.namespace, **self._call))
        return None

    def jobs(self, selector: str) -> Sequence[Mapping[str, Any]]:
        with _asked("list Jobs"):
            found = _read(self._batch.list_namespaced_job(self.namespace, label_selector=selector, **self._call))
        return found.get("items") or []

    def pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        with _asked("list pods"):
            found = _read(self._core.list_namespaced_pod(self.namespace, label_selector=selector, **self._call))
        return found.get("items") or []

    def delete_job(self, name: str) -> None:
        """Have a Job removed, its pods first; harmless where there is none."""
        with _asked(f"delete the Job {name}", none_for=(404,)):
            self._batch.delete_namespaced_job(name, self.namespace, propagation_policy="Foreground", **self._call)

    def log_tail(self, pod: str, container: str, lines: int) -> str:
        """Return the end of what the container printed; empty where there is nothing to read any more."""
        with _asked(f"read the log of {pod}", none_for=(400, 403, 404, 500)):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=container, tail_lines=lines, **self._call
            )
            return bytes(answer.data).decode("utf-8", "replace").strip()
        return ""


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
def _asked(what: str, *, none_for: tuple[int, ...] = (), passed_on: tuple[int, ...] = ()) -> Iterator[None]:
    """Let what is asked have no answer where the API says so by *none_for*, and raise as it is what is *passed_on*."""
    try:
        yield
    except client.ApiException as error:
        if error.status in none_for:
            return
        if error.status in passed_on:
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
