"""A namespace of a real control plane, and a launcher there with the rights that the chart gives it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.retraining.launchers.kubernetes import KubernetesLauncher
from monitor.retraining.launchers.kubernetes_api import KubernetesApi
from monitor.retraining.launchers.kubernetes_job import TEMPLATE
from monitor.settings.launch import KubernetesSettings
from tests.kubelet import Kubelet
from tests.real_kafka import ROOT
from tests.real_kubernetes import Admin, ControlPlane

HELM = Path(sys.executable).with_name("helm")
VALUES = ROOT / "helm" / "ci" / "kubernetes-values.yaml"
ACCOUNT = "watch-rlhf-monitor"
POLL_SECONDS = 0.1


@dataclass
class Cluster:
    """One namespace, and who may do what there."""

    plane: ControlPlane
    kubelet: Kubelet
    admin: Admin
    namespace: str
    kubeconfig: Path  # of the daemon
    powerless: Path  # of a service account without a role

    @classmethod
    def open(cls, plane: ControlPlane, kubelet: Kubelet, namespace: str) -> Cluster:
        admin = plane.admin()
        admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        done = subprocess.run(
            [HELM, "template", "watch", ROOT / "helm", "-f", VALUES, "--namespace", namespace],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rights = {"ServiceAccount", "Role", "RoleBinding"}
        rendered = [item for item in yaml.safe_load_all(done.stdout) if item and item["kind"] in rights]
        assert {item["kind"] for item in rendered} == rights
        others = [{"kind": "ServiceAccount", "metadata": {"name": name}} for name in ("default", "powerless")]
        admin.apply([*rendered, *others], namespace)

        def config_of(account: str) -> Path:
            path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
            token = admin.create(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
            return plane.kubeconfig(account, token, namespace)

        return cls(plane, kubelet, admin, namespace, config_of(ACCOUNT), config_of("powerless"))

    def settings(self, folder: Path, outcome: str = "good", **changes: Any) -> KubernetesSettings:
        """Return settings whose pods run the tests' program with *outcome*; a shared folder unless a store is named."""
        template = folder / f"job-{outcome}.yaml"
        manifest = yaml.safe_load(TEMPLATE.read_text())
        pod = manifest["spec"]["template"]["spec"]
        pod["containers"][0]["command"] = ["python", "-m", "tests.integration.pod_program", outcome]
        template.write_text(yaml.safe_dump(manifest))
        values: dict[str, Any] = {"image": "registry.example/rlhf-monitor:1", "template": template}
        if "store" not in changes:
            values["volume_claim"] = "retrain"
        checked = KubernetesSettings(kubeconfig=self.kubeconfig, **values)
        return checked.model_copy(update=changes)  # a test need not wait for what an operator may set at least

    def launcher(self, folder: Path, outcome: str = "good", **changes: Any) -> KubernetesLauncher:
        settings = self.settings(folder, outcome, **changes)
        api = KubernetesApi(settings, answer_seconds=1.0)
        return KubernetesLauncher(settings, folder / "runs", api, poll_seconds=POLL_SECONDS, grace_seconds=10)

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin.get(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")["items"]
        return found

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return found

    def running_pod(self) -> dict[str, Any] | None:
        """Return a pod whose process is there."""
        alive = (pod for pod in self.pods() if pod["metadata"]["uid"] in self.kubelet.containers)
        return next((pod for pod in alive if pod["status"]["phase"] == "Running"), None)
