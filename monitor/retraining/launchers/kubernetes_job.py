"""The manifest of a run's Job: a template, and what the settings and the run fill in."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from monitor.errors import InvalidSetting
from monitor.retraining.records import RunHandle
from monitor.settings.launch import KubernetesSettings

NAME = "kubernetes"
TEMPLATE = Path(__file__).with_name("kubernetes_job.yaml")
PREFIX = "rlhf-monitor.retrain/"
DEPLOYMENT, JOB, ATTEMPT, TOKEN = f"{PREFIX}deployment", f"{PREFIX}job", f"{PREFIX}attempt", f"{PREFIX}token"
FOLDER = f"{PREFIX}folder"  # an annotation: labels are short
_VOLUME = "retrain"
_NAME_CHARACTERS = 12

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment's Jobs are made, and what tells them from those of another."""

    namespace: str
    root: Path  # retrain.folder, resolved
    deployment: str

    @classmethod
    def of(cls, namespace: str, root: Path, settings: KubernetesSettings) -> Place:
        """A folder, claim or store belongs to one database, so it names the deployment."""
        named = "|".join([namespace, str(root), settings.volume_claim or "", settings.store or ""])
        return cls(namespace, root, sha256(named.encode()).hexdigest()[:16])


def job_name(handle: RunHandle) -> str:
    folder = Path(handle.folder)
    return f"retrain-{folder.parent.name}-{folder.name}-{handle.token[:_NAME_CHARACTERS]}"


def handle_of(job: Mapping[str, Any]) -> RunHandle | None:
    """Return the handle that a Job was made for; None where it is none of ours."""
    metadata = job.get("metadata", {})
    token = metadata.get("labels", {}).get(TOKEN)
    folder = metadata.get("annotations", {}).get(FOLDER)
    return RunHandle(NAME, metadata["namespace"], folder, token) if token and folder else None


def read_template(settings: KubernetesSettings) -> Manifest:
    """Return the template as it stands; raise `InvalidSetting` for what is no template of a Job."""
    path = settings.template or TEMPLATE
    named = f"retrain.kubernetes.template = {str(path)!r}"
    try:
        template = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidSetting(f"{named}: {error}; wanted a YAML file") from None
    if not isinstance(template, dict) or (template.get("apiVersion"), template.get("kind")) != ("batch/v1", "Job"):
        raise InvalidSetting(f"{named}: wanted apiVersion batch/v1 and kind Job")
    try:
        container = template["spec"]["template"]["spec"]["containers"][0]
        image = settings.image or container.get("image")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise InvalidSetting(f"{named}: wanted spec.template.spec.containers with the one that trains first") from None
    if not image:
        raise InvalidSetting("retrain.kubernetes.image is not set, and neither is the template's; wanted an image")
    if settings.volume_claim is not None and settings.store is not None:
        raise InvalidSetting("retrain.kubernetes.volume_claim and .store are both set; wanted one way for the files")
    if settings.volume_claim is None and settings.store is None and settings.template is None:
        raise InvalidSetting("retrain.kubernetes: wanted volume_claim or store, for the files of a run")
    return template


def fill_template(template: Manifest, settings: KubernetesSettings, place: Place, handle: RunHandle) -> Manifest:
    """Return the Job of one start; the template wins only where nothing is set."""
    manifest = copy.deepcopy(template)
    folder = Path(handle.folder)
    labels = {
        "app.kubernetes.io/managed-by": "rlhf-monitor",
        DEPLOYMENT: place.deployment,
        JOB: folder.parent.name.removeprefix("job-"),
        ATTEMPT: folder.name.removeprefix("attempt-"),
        TOKEN: handle.token,
    }
    metadata = manifest.setdefault("metadata", {})
    metadata |= {"name": job_name(handle), "namespace": place.namespace}
    metadata["labels"] = {**metadata.get("labels", {}), **labels}
    metadata["annotations"] = {**metadata.get("annotations", {}), FOLDER: handle.folder}
    job = manifest["spec"]
    job |= {
        "backoffLimit": 0,  # another try is the daemon's, in a folder of its own
        "ttlSecondsAfterFinished": settings.ttl_seconds,
        # A pod that is ended from outside is told apart even when it is gone itself.
        "podFailurePolicy": {
            "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
    }
    if settings.deadline_seconds is not None:
        job["activeDeadlineSeconds"] = settings.deadline_seconds
    described = job["template"].setdefault("metadata", {})
    described["labels"] = {**described.get("labels", {}), **labels}
    pod = job["template"]["spec"]
    pod["restartPolicy"] = "Never"
    if settings.service_account is not None:
        pod["serviceAccountName"] = settings.service_account
    if settings.node_selector:
        pod["nodeSelector"] = {**pod.get("nodeSelector", {}), **settings.node_selector}
    _fill_container(pod, settings, place, handle)
    return manifest


def _fill_container(pod: Manifest, settings: KubernetesSettings, place: Place, handle: RunHandle) -> None:
    container = pod["containers"][0]
    if settings.image is not None:
        container["image"] = settings.image
    container["args"] = ["--folder", handle.folder, "--token", handle.token]
    if settings.store is not None:
        container["args"] += ["--store", settings.store, "--store-options", json.dumps(settings.store_options)]
    if settings.store_secret is not None:
        container.setdefault("envFrom", []).append({"secretRef": {"name": settings.store_secret}})
    resources = container.setdefault("resources", {})
    requests, limits = dict(resources.get("requests", {})), dict(resources.get("limits", {}))
    if settings.cpu is not None:
        requests["cpu"] = settings.cpu
    if settings.memory is not None:
        requests["memory"] = limits["memory"] = settings.memory
    if settings.gpus:
        limits["nvidia.com/gpu"] = str(settings.gpus)
    container["resources"] = {"requests": requests, "limits": limits}
    for number, (claim, path) in enumerate(sorted(settings.volumes.items())):
        source = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        _mount(pod, f"{_VOLUME}-{number}", source, {"mountPath": path, "readOnly": True})
    if settings.volume_claim is not None:
        _mount(
            pod,
            _VOLUME,
            {"persistentVolumeClaim": {"claimName": settings.volume_claim}},
            {"mountPath": str(place.root)},
        )
    elif settings.store is not None:
        _mount(pod, _VOLUME, {"emptyDir": {}}, {"mountPath": str(place.root)})


def _mount(pod: Manifest, name: str, source: Mapping[str, Any], where: Mapping[str, Any]) -> None:
    pod.setdefault("volumes", []).append({"name": name, **source})
    pod["containers"][0].setdefault("volumeMounts", []).append({"name": name, **where})
