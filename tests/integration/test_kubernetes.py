"""Runs as Jobs of a real Kubernetes: a real API server and Job controller; processes stand in for containers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from monitor.demo.models import build_tiny_base
from monitor.domain.job import Action, JobState
from monitor.domain.order import JobOrder
from monitor.errors import Unavailable
from monitor.retraining.dispatcher import Step
from monitor.retraining.launchers.kubernetes import KubernetesLauncher
from monitor.retraining.launchers.kubernetes_api import KubernetesApi
from monitor.retraining.launchers.kubernetes_job import DEPLOYMENT, TOKEN
from monitor.retraining.run_folder import collect_result, verify_result
from monitor.runs.attempt import EXIT_CODE_FILE, LOG_FILE
from monitor.runs.spec import RunSpec, write_spec
from monitor.settings.launch import KubernetesSettings
from tests.integration.job_parts import OPERATOR, Parts, drive, prefer, wait_until
from tests.integration.kubernetes_parts import Cluster
from tests.integration.test_retrain import preference_rows, write_jsonl
from tests.kubelet import Kubelet
from tests.real_kubernetes import BUILD, ControlPlane

pytestmark = pytest.mark.kubernetes

GO_MODULE = BUILD.with_name("go.mod")


@pytest.fixture(scope="module")
def kubelet(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    kubelet = Kubelet(control_plane, tmp_path_factory.mktemp("kubelet"))
    kubelet.start()
    yield kubelet
    kubelet.stop()


@pytest.fixture
def cluster(control_plane: ControlPlane, kubelet: Kubelet) -> Cluster:
    return Cluster.open(control_plane, kubelet, f"test-{uuid4().hex[:8]}")


@pytest.fixture
def job(parts: Parts) -> Parts:
    """A queued job with something to learn from, and no launcher yet."""
    for number in range(3):
        prefer(parts.engine, f"p-{number}")
    (parts.folder / "base").mkdir()
    (parts.folder / "base" / "config.json").write_text("{}")
    parts.start()
    return parts


@pytest.mark.timeout(1_500)  # the first time the control plane is built
def test_the_api_server_is_the_version_that_was_asked_for(control_plane: ControlPlane) -> None:
    wanted = next(line for line in GO_MODULE.read_text().splitlines() if line.startswith("require k8s.io/kubernetes "))
    assert control_plane.version == f"Kubernetes {wanted.split()[-1]}"


def test_a_job_becomes_a_pod_and_its_result_a_champion(job: Parts, cluster: Cluster) -> None:
    changes = {"gpus": 2, "cpu": "4", "memory": "8Gi", "node_selector": {"accelerator": "h100"}}
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, "slow", **changes))

    drive(dispatcher, Step.STARTED)
    wait_until(lambda: cluster.running_pod() is not None)
    wait_until(lambda: dispatcher.tick() is Step.WATCHED and job.job().progress == "member 1 of 1")
    drive(dispatcher, Step.PROMOTED)

    (made,) = cluster.jobs()
    pod = made["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "8Gi", "nvidia.com/gpu": "2"}
    assert pod["nodeSelector"] == {"accelerator": "h100"}
    assert made["metadata"]["labels"]["rlhf-monitor.retrain/job"] == "1"
    assert job.job().state is JobState.PROMOTED
    assert (job.folder / "runs" / "job-1" / "attempt-1" / LOG_FILE).exists(), "the log outlives the pod"


def evict(cluster: Cluster, pod: dict[str, Any]) -> None:
    cluster.kubelet.evict(pod)


def delete(cluster: Cluster, pod: dict[str, Any]) -> None:
    cluster.admin.delete(f"/api/v1/namespaces/{cluster.namespace}/pods/{pod['metadata']['name']}")


def lose_the_node(cluster: Cluster, pod: dict[str, Any]) -> None:
    cluster.kubelet.lose(pod)
    cluster.kubelet.return_empty(pod)


def delete_the_job(cluster: Cluster, pod: dict[str, Any]) -> None:
    name = pod["metadata"]["labels"]["job-name"]
    path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs/{name}"
    cluster.admin.delete(path, {"propagationPolicy": "Background"})


@pytest.mark.parametrize(
    ("way", "end"),
    [("volume", evict), ("volume", delete), ("volume", lose_the_node), ("volume", delete_the_job), ("store", evict)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_run_that_is_ended_from_outside_goes_on_from_its_checkpoint_and_costs_no_attempt(
    way: str, end: Callable[[Cluster, dict[str, Any]], None], job: Parts, cluster: Cluster
) -> None:
    changes = {"store": f"file://{job.folder / 'store'}"} if way == "store" else {}
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, "resume", **changes))
    drive(dispatcher, Step.STARTED)
    manifest = job.folder / "store" / "job-1" / "checkpoints" / "manifest.json"
    wait_until(lambda: dispatcher.tick() is Step.WATCHED and job.job().progress == "step 7 of 9")
    if way == "store":
        wait_until(manifest.exists)
    pod = cluster.running_pod()
    assert pod is not None

    end(cluster, pod)
    drive(dispatcher, Step.LOST)
    drive(dispatcher, Step.PROMOTED)

    assert job.job().attempt == 1
    assert "the run is gone: " in next(note for note in job.notes() if "gone" in note)
    assert "resumed from checkpoint-7" in (job.folder / "runs" / "job-1" / "attempt-1" / LOG_FILE).read_text()
    if way == "store":
        left = [path for path in (job.folder / "store").rglob("*") if path.is_file() and "inputs" not in path.parts]
        assert left == [], "what the job needs no more is removed"


def test_a_real_refresh_runs_in_a_pod_that_sees_nothing_but_a_store(
    cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given, runs = tmp_path / "given", tmp_path / "runs"
    attempt = runs / "job-1" / "attempt-1"
    attempt.mkdir(parents=True)
    rows = list(preference_rows())[:120]
    texts = [row[side] for row in rows for side in ("chosen", "rejected")]
    build_tiny_base(given / "base", texts, seed=0)
    spec = RunSpec(
        job_id=1,
        action=Action.REWARD_REFRESH,
        base_model=str(given / "base"),
        champion=None,
        preferences=write_jsonl(given / "preferences.jsonl", rows),
        rescore=None,
        recipe={"name": "reward_demo", "members": 1, "max_length": 48},
        seed=4,
        output=str(attempt / "output"),
        checkpoints=str(runs / "job-1" / "checkpoints"),
    )
    write_spec(attempt / "spec.json", spec)
    settings = KubernetesSettings(image="i", kubeconfig=cluster.kubeconfig, store=f"file://{tmp_path / 'store'}")
    cluster.kubelet.hidden = (given,)
    request.addfinalizer(lambda: setattr(cluster.kubelet, "hidden", ()))
    launcher = KubernetesLauncher(settings, runs, KubernetesApi(settings), poll_seconds=0.2)
    run = launcher.start(launcher.handle(attempt))
    seen = set()

    def has_ended() -> bool:
        status = run.status()
        seen.add(status.detail)
        return status.exit_code is not None

    wait_until(has_ended, seconds=120)
    status = run.status()
    assert status.exit_code == 0, status.log_tail
    assert not (attempt / "output").exists()
    run.fetch()

    result = collect_result(attempt, spec, exit_code=0, last_words=None)
    verify_result(attempt, result)
    assert len(seen) > 1, "how far it has come is told while it runs"
    assert (attempt / LOG_FILE).read_text()


def test_a_run_out_of_memory_is_a_failed_attempt_and_says_so(job: Parts, cluster: Cluster) -> None:
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, "hang"), max_attempts=1)
    drive(dispatcher, Step.STARTED)
    wait_until(lambda: cluster.running_pod() is not None)
    pod = cluster.running_pod()
    assert pod is not None
    cluster.kubelet.run_out_of_memory(pod)
    drive(dispatcher, Step.ATTEMPT_FAILED)
    assert job.job().state is JobState.FAILED
    assert "out of memory" in (job.job().error or "")


def test_a_run_that_fails_by_itself_fails_its_attempt_with_the_end_of_its_log(job: Parts, cluster: Cluster) -> None:
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, "crash"))
    drive(dispatcher, Step.ATTEMPT_FAILED)
    assert job.job().state is JobState.QUEUED
    assert "CUDA out of memory" in job.notes()[-1]


def test_what_a_pod_printed_before_its_run_began_is_asked_of_kubernetes(job: Parts, cluster: Cluster) -> None:
    launcher = cluster.launcher(job.folder, "unheard-of")
    launcher._template["spec"]["template"]["spec"]["containers"][0]["command"] = ["python", "-m", "no_such_module"]
    drive(job.dispatcher(launcher=launcher), Step.ATTEMPT_FAILED)
    assert "No module named no_such_module" in job.notes()[-1]


@pytest.mark.parametrize("trouble", ["an image that cannot be pulled", "no node that takes the pod"])
def test_a_pod_that_does_not_start_is_told_and_then_fails_the_attempt(
    trouble: str, job: Parts, cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    changes: dict[str, Any] = {"pending_seconds": 3.0}
    said = "Insufficient nvidia.com/gpu"
    if "image" in trouble:
        changes["image"], said = "missing/image:1", "ImagePullBackOff"
    else:
        cluster.kubelet.schedules = False
        request.addfinalizer(lambda: setattr(cluster.kubelet, "schedules", True))
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, **changes))
    drive(dispatcher, Step.STARTED)
    wait_until(lambda: dispatcher.tick() is Step.WATCHED and said in (job.job().progress or ""))
    drive(dispatcher, Step.ATTEMPT_FAILED)
    assert "did not start within 3 s: " in (job.job().error or "")
    assert said in (job.job().error or "")
    assert cluster.pods() == [], "it cannot start later either"


def test_a_run_past_its_deadline_is_ended_and_told(job: Parts, cluster: Cluster) -> None:
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, "hang", deadline_seconds=2))
    drive(dispatcher, Step.ATTEMPT_FAILED)
    assert "deadline_seconds" in (job.job().error or "")


def test_a_finished_job_is_removed_in_time_and_its_run_is_known_without_it(job: Parts, cluster: Cluster) -> None:
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, ttl_seconds=1))
    drive(dispatcher, Step.STARTED)
    wait_until((job.folder / "runs" / "job-1" / "attempt-1" / EXIT_CODE_FILE).exists)
    wait_until(lambda: cluster.jobs() == [])
    job.run_out()
    other = job.dispatcher(owner="two", launcher=cluster.launcher(job.folder))
    assert drive(other, Step.ATTACHED, Step.STARTED) is Step.ATTACHED
    drive(other, Step.PROMOTED)


@pytest.mark.parametrize("trouble", ["stop", "pause"])
def test_while_the_api_server_is_away_nothing_is_lost_or_doubled(trouble: str, job: Parts, cluster: Cluster) -> None:
    plane = cluster.plane
    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, "slow"))
    drive(dispatcher, Step.STARTED)
    wait_until(lambda: cluster.running_pod() is not None)
    plane.stop_api() if trouble == "stop" else plane.pause_api()
    began = time.monotonic()
    try:
        time.sleep(0.2)  # what was asked last is old by now
        with pytest.raises(Unavailable, match="Kubernetes did not"):
            dispatcher.tick()
        assert time.monotonic() - began < 10
    finally:
        plane.start_api() if trouble == "stop" else plane.resume_api()
    drive(dispatcher, Step.PROMOTED)
    assert len(cluster.jobs()) == 1
    assert (job.folder / "starts").read_text().count("\n") == 1
    assert job.job().attempt == 1


def test_a_start_whose_answer_is_lost_is_made_once(
    job: Parts, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = KubernetesApi.create_job

    def unheard(api: KubernetesApi, manifest: dict[str, Any]) -> bool:
        create(api, manifest)
        raise Unavailable("the answer is lost")

    dispatcher = job.dispatcher(launcher=cluster.launcher(job.folder, "slow"))
    monkeypatch.setattr(KubernetesApi, "create_job", unheard)
    with pytest.raises(Unavailable):
        drive(dispatcher, Step.STARTED)
    monkeypatch.undo()
    drive(dispatcher, Step.PROMOTED)
    assert len(cluster.jobs()) == 1
    assert (job.folder / "starts").read_text().count("\n") == 1


@pytest.mark.parametrize(
    "call",
    [
        "monitor.retraining.launchers.kubernetes_api:KubernetesApi.create_job",
        "monitor.retraining.launchers.kubernetes:KubernetesRun.fetch",
    ],
    ids=["after the Job is made", "after the result is fetched"],
)
def test_a_dispatcher_that_is_killed_leaves_a_run_to_the_next_one_on_any_host(
    call: str, job: Parts, cluster: Cluster
) -> None:
    program = [sys.executable, "-m", "tests.integration.dispatching_program"]
    url = job.engine.url.render_as_string(hide_password=False)
    struck = [url, str(job.folder), call, str(int(signal.SIGKILL)), str(cluster.kubeconfig)]
    cluster.settings(job.folder, "slow")
    done = subprocess.run([*program, *struck], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    job.run_out()
    other = job.dispatcher(owner="two", launcher=cluster.launcher(job.folder, "slow"))
    drive(other, Step.PROMOTED)
    assert job.job().attempt == 1
    assert (job.folder / "starts").read_text().count("\n") == 1
    assert len([state for state in job.events() if state == JobState.PROMOTED]) == 1


def test_a_cancelled_job_ends_its_pod_whoever_started_it(job: Parts, cluster: Cluster) -> None:
    drive(job.dispatcher(launcher=cluster.launcher(job.folder, "hang")), Step.STARTED)
    wait_until(lambda: cluster.running_pod() is not None)
    job.service.move_job(1, JobOrder.CANCEL, actor=OPERATOR)
    other = job.dispatcher(owner="two", launcher=cluster.launcher(job.folder, "hang"))
    other.tick()
    assert cluster.pods() == []
    assert cluster.jobs() == []
    assert job.job().state is JobState.CANCELLED


def test_orphans_of_this_deployment_are_ended_and_those_of_others_left_alone(job: Parts, cluster: Cluster) -> None:
    def orphan(launcher: KubernetesLauncher, folder: Path) -> str:
        attempt = folder / "runs" / "job-77" / "attempt-1"
        attempt.mkdir(parents=True)
        (attempt / "spec.json").write_text((spec.parent / "spec.json").read_text())
        handle = launcher.handle(attempt)
        launcher.start(handle)
        return handle.token

    drive(job.dispatcher(launcher=cluster.launcher(job.folder, "hang")), Step.STARTED)
    spec = next((job.folder / "runs").glob("job-1/attempt-1/spec.json"))
    ours = orphan(cluster.launcher(job.folder, "hang"), job.folder)
    foreign = job.folder / "foreign"
    foreign.mkdir()
    theirs = orphan(cluster.launcher(foreign, "hang"), foreign)
    held = next(made for made in cluster.jobs() if made["metadata"]["labels"]["rlhf-monitor.retrain/job"] == "1")

    job.dispatcher(owner="two", launcher=cluster.launcher(job.folder, "hang")).tick()

    left = {made["metadata"]["labels"][TOKEN]: made["metadata"]["labels"] for made in cluster.jobs()}
    assert set(left) == {theirs, held["metadata"]["labels"][TOKEN]}
    assert ours not in left
    assert left[theirs][DEPLOYMENT] != held["metadata"]["labels"][DEPLOYMENT]
    for launcher, folder in ((cluster.launcher(foreign), foreign), (cluster.launcher(job.folder), job.folder)):
        for run in launcher.found(folder / "runs"):
            run.cancel()


def test_without_a_role_the_job_waits_for_an_operator_and_the_missing_right_is_named(
    job: Parts, cluster: Cluster
) -> None:
    launcher = cluster.launcher(job.folder, kubeconfig=cluster.powerless)
    with pytest.raises(Unavailable, match=r'powerless" cannot list resource "jobs"'):
        list(launcher.found(job.folder / "runs"))
    role = {
        "kind": "Role",
        "metadata": {"name": "looks"},
        "rules": [
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        ],
    }
    binding = {
        "kind": "RoleBinding",
        "metadata": {"name": "looks"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looks"},
        "subjects": [{"kind": "ServiceAccount", "name": "powerless", "namespace": cluster.namespace}],
    }
    cluster.admin.apply([role, binding], cluster.namespace)
    assert drive(job.dispatcher(launcher=launcher), Step.HELD, Step.STARTED) is Step.HELD
    assert job.job().state is JobState.AWAITING_APPROVAL
    assert 'cannot create resource "jobs"' in (job.job().error or "")
    assert job.job().attempt == 0
