"""A real Kubernetes control plane, built from its Go modules: etcd, the API server and the controllers of Jobs."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config

from monitor.errors import Unavailable
from tests.ports import free_ports
from tests.real_kafka import ROOT

BUILD = ROOT / "tests" / "kubernetes" / "build.sh"
BUILD_SECONDS = 1_200.0
START_SECONDS = 60.0
ADMIN = "admin-of-the-tests"


def build_control_plane() -> Path:
    """Return the program, building it once; raise `Unavailable` with the reason."""
    try:
        done = subprocess.run(
            [BUILD], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the control plane was not built within {BUILD_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise Unavailable(f"the control plane could not be built: {done.stderr.strip()[-800:]}")
    return Path(done.stdout.strip())


@dataclass
class ControlPlane:
    """One of each part; the API server keeps its port, its certificate and its objects over `stop_api`."""

    folder: Path
    program: Path
    version: str = ""  # as the running API server states it
    _ports: list[int] = field(default_factory=lambda: free_ports(3))
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def certificate(self) -> Path:
        """Of the API server, which signed it itself; its key lies beside it."""
        return self.folder / "certificates" / "apiserver.crt"

    def start(self) -> None:
        """Start everything, and return once Jobs are seen to."""
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "sa.key", "2048"], check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f'{ADMIN},admin,1,"system:masters"\n')
        clients, peers, _ = self._ports
        self._spawn(
            "etcd", "--data-dir", self.folder / "etcd", "--log-level=error", "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{clients}", f"--advertise-client-urls=http://127.0.0.1:{clients}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
        )  # fmt: skip
        self.start_api()
        self.version = "Kubernetes " + json.loads(self.admin().call("/version"))["gitVersion"]
        self._spawn("controllers", self.kubeconfig("admin", ADMIN))

    def start_api(self) -> None:
        """Start the API server and return once it is ready."""
        key = self.folder / "sa.key"
        self._spawn(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self._ports[0]}", f"--secure-port={self._ports[2]}",
            "--bind-address=127.0.0.1", f"--cert-dir={self.folder / 'certificates'}",
            "--service-account-issuer=https://kubernetes.default", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "--watch-cache=true",
            "--kubelet-preferred-address-types=InternalIP", "--shutdown-delay-duration=0s",
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._processes["kube-apiserver"].poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"the API server did not start:\n{self._log('kube-apiserver')[-2000:]}")
            time.sleep(0.1)

    def stop_api(self) -> None:
        """End the API server without a chance to tidy up."""
        self._end("kube-apiserver", signal.SIGKILL)

    def pause_api(self) -> None:
        """Let the API server take connections and answer none."""
        self._processes["kube-apiserver"].send_signal(signal.SIGSTOP)

    def resume_api(self) -> None:
        self._processes["kube-apiserver"].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for name in list(self._processes)[::-1]:
            self._end(name, signal.SIGKILL)

    def kubeconfig(self, user: str, token: str, namespace: str = "default") -> Path:
        """Write a kubeconfig for one who has *token*."""
        server = {"server": f"https://127.0.0.1:{self._ports[2]}", "certificate-authority": str(self.certificate)}
        context = {"cluster": "tests", "user": user, "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": server}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests",
        }
        path = self.folder / f"{user}-{namespace}.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    def admin(self) -> Admin:
        return Admin(self.kubeconfig("admin", ADMIN))

    def _spawn(self, part: str, *arguments: str | Path) -> None:
        with (self.folder / f"{part}.log").open("ab") as log:
            self._processes[part] = subprocess.Popen(
                [self.program, part, *arguments],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _end(self, part: str, how: signal.Signals) -> None:
        process = self._processes.pop(part, None)
        if process is not None:
            process.send_signal(how)
            process.wait(30)

    def _is_ready(self) -> bool:
        try:
            return self.certificate.exists() and self.admin().call("/readyz") == b"ok"
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError):
            return False

    def _log(self, part: str) -> str:
        return (self.folder / f"{part}.log").read_text(errors="replace")


class Admin:
    """A cluster administrator who speaks JSON."""

    def __init__(self, kubeconfig: Path) -> None:
        configuration = client.Configuration()
        configuration.retries = False
        config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        self._client = client.ApiClient(configuration)

    def call(self, path: str, method: str = "GET", body: Any = None, kind: str = "application/json") -> bytes:
        headers = {"Content-Type": kind, "Accept": "application/json"}
        headers["Authorization"] = self._client.configuration.get_api_key_with_prefix("BearerToken") or ""
        url = self._client.configuration.host + path
        answer = self._client.rest_client.request(method, url, headers=headers, body=body, _request_timeout=(2, 10))
        content: bytes = answer.read()
        if not 200 <= answer.status < 300:
            raise client.ApiException(status=answer.status, reason=content.decode("utf-8", "replace"))
        return content

    def get(self, path: str) -> Any:
        return json.loads(self.call(path))

    def create(self, path: str, body: Any) -> Any:
        return json.loads(self.call(path, "POST", body))

    def patch(self, path: str, body: Any) -> None:
        self.call(path, "PATCH", body, "application/strategic-merge-patch+json")

    def delete(self, path: str, body: Any = None) -> None:
        self.call(path, "DELETE", body)

    def apply(self, objects: list[dict[str, Any]], namespace: str) -> None:
        """Create what a chart renders; roles, bindings and service accounts are enough here."""
        folders = {
            "ServiceAccount": "/api/v1", "Role": "/apis/rbac.authorization.k8s.io/v1",
            "RoleBinding": "/apis/rbac.authorization.k8s.io/v1",
        }  # fmt: skip
        for item in objects:
            kind = item["kind"]
            self.create(f"{folders[kind]}/namespaces/{namespace}/{kind.lower()}s", item)
