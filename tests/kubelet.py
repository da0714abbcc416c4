"""Stands in for a node: runs what a pod's container commands as a process, and tells the API what a kubelet would.

There is no container engine, so no image is pulled: one whose name begins with `missing/` cannot be. An `emptyDir`
is an empty folder of the pod's own, in a mount namespace; what is `hidden` is empty there too.
"""

from __future__ import annotations

import os
import shlex
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client

from tests.real_kafka import ROOT
from tests.real_kubernetes import Admin, ControlPlane

NODE = "node-1"
PERIOD_SECONDS = 0.1
OF_ALL = {"/tmp", "/dev/shm"}  # noqa: S108 - other processes, and the tests, are there too


@dataclass
class Container:
    process: subprocess.Popen[bytes]
    log: Path
    ends_as: str | None = None  # the reason that is told instead of how the process ended
    told: bool = False


@dataclass
class Kubelet:
    """The node's agent; everything it knows of pods it learns from the API server, and goes on without it."""

    plane: ControlPlane
    folder: Path
    hidden: Sequence[Path] = ()
    schedules: bool = True  # False: no node takes a pod
    is_lost: bool = False
    containers: dict[str, Container] = field(default_factory=dict)  # by the pod's uid
    _stopping: threading.Event = field(default_factory=threading.Event)
    _admin: Admin = field(init=False)
    _server: ThreadingHTTPServer = field(init=False)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._admin = self.plane.admin()
        self._server = _log_server(self)
        port = self._server.server_address[1]
        self._admin.create("/api/v1/nodes", {"metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        self._admin.patch(f"/api/v1/nodes/{NODE}/status", {"status": status})
        self._threads = [threading.Thread(target=self._server.serve_forever), threading.Thread(target=self._loop)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        for container in self.containers.values():
            _kill(container)

    def evict(self, pod: dict[str, Any]) -> None:
        """End a pod for the node's sake, as the kubelet does when memory or disk runs short."""
        _kill(self.containers[pod["metadata"]["uid"]], ends_as="Evicted")

    def run_out_of_memory(self, pod: dict[str, Any]) -> None:
        _kill(self.containers[pod["metadata"]["uid"]], ends_as="OOMKilled")

    def lose(self, pod: dict[str, Any]) -> None:
        """Let the node fall silent with its processes, and its pods be given up by the control plane."""
        self.is_lost = True
        for container in self.containers.values():
            _kill(container)
        condition = _condition("DisruptionTarget", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute")
        self._admin.patch(_path(pod) + "/status", {"status": {"conditions": [condition]}})
        self._admin.delete(_path(pod))

    def return_empty(self, pod: dict[str, Any]) -> None:
        """Let the pods of the lost node be collected, and another node take its name."""
        failed = {"phase": "Failed", "conditions": [_condition("DisruptionTarget", "DeletionByPodGC", "orphaned")]}
        self._admin.patch(_path(pod) + "/status", {"status": failed})
        with suppress(client.ApiException):
            self._admin.delete(_path(pod), {"gracePeriodSeconds": 0})
        self.is_lost = False

    def _loop(self) -> None:
        while not self._stopping.wait(PERIOD_SECONDS):
            try:
                pods = self._admin.get("/api/v1/pods")["items"]
                for pod in pods if not self.is_lost else []:
                    self._see_to(pod)
            except client.ApiException:
                continue  # it changed under our hands: the next round sees how
            except urllib3.exceptions.HTTPError:
                continue  # the API server is away: what runs goes on

    def _see_to(self, pod: dict[str, Any]) -> None:
        container = self.containers.get(pod["metadata"]["uid"])
        if container is None:
            self._begin(pod)
        elif container.process.poll() is not None and not container.told:
            self._tell_end(pod, container)
        if "deletionTimestamp" in pod["metadata"]:
            if container is not None and container.process.poll() is None:
                with suppress(ProcessLookupError):
                    container.process.send_signal(signal.SIGTERM)
            elif container is None or container.told:
                self._admin.delete(_path(pod), {"gracePeriodSeconds": 0})

    def _begin(self, pod: dict[str, Any]) -> None:
        spec = pod["spec"]
        if "deletionTimestamp" in pod["metadata"] or pod["status"]["phase"] != "Pending":
            return
        if not self.schedules:
            condition = _condition("PodScheduled", "Unschedulable", "0/1 nodes: Insufficient nvidia.com/gpu", "False")
            self._admin.patch(_path(pod) + "/status", {"status": {"conditions": [condition]}})
            return
        if "nodeName" not in spec:
            target = {"target": {"kind": "Node", "name": NODE}, "metadata": {"name": pod["metadata"]["name"]}}
            self._admin.create(_path(pod) + "/binding", target)
            return
        first = spec["containers"][0]
        if first["image"].startswith("missing/"):
            waiting = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling "{first["image"]}"'}}
            self._tell(pod, "Pending", waiting)
            return
        self._tell(pod, "Running", {"running": {"startedAt": _now()}})
        self.containers[pod["metadata"]["uid"]] = self._run(pod["metadata"]["name"], spec)

    def _run(self, name: str, spec: dict[str, Any]) -> Container:
        first = spec["containers"][0]
        own = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
        empty = [mount["mountPath"] for mount in first["volumeMounts"] if mount["name"] in own]
        mounts = [
            f"mount -t tmpfs none {shlex.quote(path)}" for path in empty if Path(path).is_dir() and path not in OF_ALL
        ]
        mounts += [f"mount -t tmpfs none {shlex.quote(str(path))}" for path in self.hidden]
        command = [sys.executable if word == "python" else word for word in first["command"]] + first.get("args", [])
        script = " && ".join([*mounts, f"exec {shlex.join(command)}"])
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {item["name"]: item["value"] for item in first.get("env", []) if "value" in item}
        environment["PYTHONPATH"] = str(ROOT)
        log = self.folder / f"{name}.log"
        with log.open("wb") as written:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script] if mounts else ["sh", "-c", script],
                stdin=subprocess.DEVNULL, stdout=written, stderr=written, env=environment, start_new_session=True,
            )  # fmt: skip
        return Container(process, log)

    def _tell_end(self, pod: dict[str, Any], container: Container) -> None:
        code = container.process.returncode
        code = code if code >= 0 else 128 - code
        reason = container.ends_as or ("Completed" if code == 0 else "Error")
        if reason == "Evicted":
            message = "The node was low on resource: memory."
            condition = _condition("DisruptionTarget", "TerminationByKubelet", message)
            status = {"phase": "Failed", "reason": reason, "message": message, "conditions": [condition]}
            self._admin.patch(_path(pod) + "/status", {"status": status})
        else:
            ended = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": _now()}}
            self._tell(pod, "Succeeded" if code == 0 else "Failed", ended)
        container.told = True

    def _tell(self, pod: dict[str, Any], phase: str, state: dict[str, Any]) -> None:
        first = pod["spec"]["containers"][0]
        told = {"name": first["name"], "image": first["image"], "imageID": "", "ready": False, "restartCount": 0}
        status = {"phase": phase, "containerStatuses": [{**told, "state": state}]}
        self._admin.patch(_path(pod) + "/status", {"status": status})


def _log_server(kubelet: Kubelet) -> ThreadingHTTPServer:
    """Serve `/containerLogs/NAMESPACE/POD/CONTAINER`, as the API server asks for it."""

    class Logs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0].split("/")[3]
            file = kubelet.folder / f"{name}.log"
            self.send_response(200 if file.exists() else 404)
            self.end_headers()
            self.wfile.write(file.read_bytes() if file.exists() else b"no such container")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Logs)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kubelet.plane.certificate, kubelet.plane.certificate.with_suffix(".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _kill(container: Container, ends_as: str | None = None) -> None:
    """End a container as the end of its first process does: with all that it started."""
    container.ends_as = ends_as
    for pid in [container.process.pid, *_descendants(container.process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    container.process.wait(10)


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [found for child in children for found in (child, *_descendants(child))]


def _path(pod: dict[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _condition(kind: str, reason: str, message: str, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
