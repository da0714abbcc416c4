"""A run whose files lie in S3: nothing half there is ever promoted. `python -m tests.object_store` runs these."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine

from monitor.domain.job import JobState
from monitor.errors import Unavailable
from monitor.retraining.dispatcher import Step
from monitor.retraining.launcher import RunStatus
from monitor.retraining.launchers.kubernetes_store import StoreFiles
from monitor.retraining.records import RunHandle
from monitor.runs.attempt import LOG_FILE
from monitor.runs.fsspec_store import FsspecStore
from tests.integration.job_parts import Parts, drive, prefer, wait_until
from tests.real_kafka import ROOT

BUCKET, STORE = "runs", "s3://runs/monitor"


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    key: str
    secret: str

    def variables(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with one bucket, and one user who may do what he likes with it; nobody else may."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    anybody = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1", "endpoint_url": url}
    boto3.client("s3", **anybody).create_bucket(Bucket=BUCKET)
    people = boto3.client("iam", **anybody)
    people.create_user(UserName="daemon")
    made = people.create_access_key(UserName="daemon")["AccessKey"]
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    people.put_user_policy(UserName="daemon", PolicyName="store", PolicyDocument=policy)
    from_now_on = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    urllib.request.urlopen(from_now_on).close()
    yield Server(url, made["AccessKeyId"], made["SecretAccessKey"])
    running.stop()


def open_store(server: Server, url: str = STORE, **changes: str) -> FsspecStore:
    """Open the store as a process of its own would, with other credentials where they are given."""
    own = {"endpoint_url": server.url, "key": server.key, "secret": server.secret, "skip_instance_cache": "yes"}
    return FsspecStore(url, own | changes)


@dataclass
class PodRun:
    """A run by a process that reaches the store alone: the daemon's folder stands elsewhere meanwhile."""

    handle: RunHandle
    files: StoreFiles
    process: subprocess.Popen[bytes] | None

    def status(self) -> RunStatus:
        progress = self.files.progress()
        code = self.files.exit_code()
        if code is None and (self.process is None or self.process.poll() is not None):
            return RunStatus(None, None, gone="its pod is gone")
        return RunStatus(code, progress.line if progress else None, self.files.log_tail())

    def fetch(self) -> None:
        self.files.fetch()

    def discard(self, *, resumed: bool) -> None:
        self.files.discard(resumed=resumed)

    def cancel(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class PodLauncher:
    """Starts `retrain.pod` as Kubernetes would, in a mount namespace where the daemon's runs cannot be seen."""

    server: Server
    store: FsspecStore
    runs: Path
    outcome: str = "good"
    store_url: str = ""  # of the pod, where it is another than the daemon's
    started: list[PodRun] = field(default_factory=list)

    def handle(self, folder: Path) -> RunHandle:
        return RunHandle("kubernetes", "here", str(folder), os.urandom(8).hex())

    def start(self, handle: RunHandle) -> PodRun:
        files = StoreFiles(handle, self.store)
        files.give()
        options = json.dumps({"endpoint_url": self.store_url or self.server.url})
        words = [sys.executable, "-m", "tests.integration.pod_program", self.outcome]
        words += ["--folder", handle.folder, "--token", handle.token, "--store", STORE, "--store-options", options]
        hidden = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{self.runs}" && exec "$@"', "sh"]
        variables = os.environ | self.server.variables() | {"PYTHONPATH": str(ROOT)}
        run = PodRun(handle, files, subprocess.Popen([*hidden, *words], env=variables))
        self.started.append(run)
        return run

    def attach(self, handle: RunHandle) -> PodRun | None:
        return next((run for run in self.started if run.handle == handle), None)

    def found(self, folder: Path) -> Iterator[PodRun]:
        return iter(())


@pytest.fixture
def parts(engine: Engine, tmp_path: Path) -> Parts:
    parts = Parts(engine, tmp_path)
    for number in range(3):
        prefer(engine, f"p-{number}")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    parts.start()
    return parts


@pytest.fixture
def pods(server: Server, tmp_path: Path) -> Iterator[PodLauncher]:
    store = open_store(server)
    launcher = PodLauncher(server, store, tmp_path / "runs")
    yield launcher
    for run in launcher.started:
        run.cancel()
    for key in ("inputs", "job-1"):
        store.remove(key)


def test_a_run_gets_its_files_from_a_bucket_and_its_candidate_comes_back_to_be_promoted(
    parts: Parts, pods: PodLauncher
) -> None:
    dispatcher = parts.dispatcher(launcher=pods)
    drive(dispatcher, Step.PROMOTED)
    assert parts.job().state is JobState.PROMOTED
    attempt = parts.folder / "runs" / "job-1" / "attempt-1"
    assert (attempt / "output" / "candidate" / "member-0" / "weights").read_text().startswith("trained for job 1")
    assert (attempt / LOG_FILE).exists()
    assert pods.store.names("job-1") == [], "what the job needs no more is removed"


def test_a_pod_that_is_killed_goes_on_from_the_checkpoint_in_the_bucket(parts: Parts, pods: PodLauncher) -> None:
    pods.outcome = "resume"
    dispatcher = parts.dispatcher(launcher=pods)
    drive(dispatcher, Step.STARTED)
    wait_until(lambda: pods.store.has("job-1/checkpoints/manifest.json"), seconds=60)
    pods.started[0].cancel()
    drive(dispatcher, Step.LOST)
    drive(dispatcher, Step.PROMOTED)
    assert parts.job().attempt == 1
    log = parts.folder / "runs" / "job-1" / "attempt-1" / LOG_FILE
    assert "resumed from checkpoint-7" in log.read_text()


def test_a_result_whose_upload_is_cut_in_the_middle_is_never_promoted(parts: Parts, pods: PodLauncher) -> None:
    with cut_after(pods.server.url, "PUT", "weights") as (url, was_cut):
        pods.store_url = url
        dispatcher = parts.dispatcher(launcher=pods)
        drive(dispatcher, Step.STARTED)
        wait_until(was_cut.is_set, seconds=60)
        pods.started[0].cancel()
    left = pods.store.names("job-1/attempt-1/" + pods.started[0].handle.token + "/left")
    assert "exit_code" not in left
    assert "output/candidate/member-0/weights" not in left, "an object is there whole or not at all"
    drive(dispatcher, Step.LOST)
    assert parts.job().state is not JobState.PROMOTED
    pods.store_url = ""
    drive(dispatcher, Step.PROMOTED)
    assert len(pods.started) == 2


def test_a_candidate_of_which_a_file_is_missing_or_other_in_the_bucket_fails_the_attempt(
    parts: Parts, pods: PodLauncher
) -> None:
    dispatcher = parts.dispatcher(launcher=pods, max_attempts=1)
    drive(dispatcher, Step.STARTED)
    run = pods.started[0]
    left = f"job-1/attempt-1/{run.handle.token}/left"
    wait_until(lambda: pods.store.has(f"{left}/exit_code"), seconds=60)
    pods.store.write(f"{left}/output/candidate/member-0/weights", b"half")
    drive(dispatcher, Step.ATTEMPT_FAILED)
    assert parts.job().state is JobState.FAILED
    assert parts.registry.champion() is None


@pytest.mark.parametrize(
    ("url", "changes", "said"),
    [
        pytest.param(STORE, {"key": "nobody"}, "does not exist in our records", id="an unknown key"),
        pytest.param(STORE, {"secret": "wrong"}, "signature", id="a wrong secret"),
        pytest.param("s3://no-such-bucket/monitor", {}, "bucket does not exist", id="a bucket that is missing"),
    ],
)
def test_a_store_that_refuses_is_waited_for_in_its_own_words_and_nothing_is_started(
    url: str, changes: dict[str, str], said: str, parts: Parts, pods: PodLauncher
) -> None:
    wrong = replace(pods, store=open_store(pods.server, url, **changes))
    dispatcher = parts.dispatcher(launcher=wrong)
    for _ in range(2):
        with pytest.raises(Unavailable, match=said):
            drive(dispatcher, Step.STARTED)
    assert wrong.started == []
    with pytest.raises(Unavailable, match=said):  # no bucket was made on the way
        wrong.store.write("key", b"")
    if not changes:
        return
    right = parts.dispatcher(launcher=pods)
    parts.run_out()
    drive(right, Step.PROMOTED)


@contextmanager
def cut_after(url: str, verb: str, name: str) -> Iterator[tuple[str, threading.Event]]:
    """Pass everything on to *url*, but of what *verb* sends to *name* the first bytes alone, from then on nothing."""
    target = url.removeprefix("http://").split(":")
    was_cut = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection((target[0], int(target[1]))) as upstream:
            back = threading.Thread(target=pass_on, args=(upstream, client), daemon=True)
            back.start()
            with suppress(OSError):
                while content := client.recv(65_536):
                    head = content.partition(b"\r\n")[0].decode(errors="replace")
                    if was_cut.is_set() or (head.startswith(verb) and name in head):
                        upstream.sendall(content[: len(content) // 2])
                        was_cut.set()
                        return
                    upstream.sendall(content)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", was_cut
    finally:
        listener.close()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65_536):
            target.sendall(content)
