"""Runs as Jobs of Kubernetes: the manifest, what is made of a Job's and a pod's state, and the files' two ways."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem

from monitor.domain.job import Action
from monitor.errors import InvalidInput, InvalidSetting, Unavailable
from monitor.retraining.launchers.kubernetes_api import KubernetesApi
from monitor.retraining.launchers.kubernetes_files import SharedFiles
from monitor.retraining.launchers.kubernetes_job import (
    DEPLOYMENT,
    TEMPLATE,
    Place,
    fill_template,
    handle_of,
    job_name,
    read_template,
)
from monitor.retraining.launchers.kubernetes_state import (
    Ended,
    GoesOn,
    Gone,
    JobSeen,
    PodSeen,
    Waits,
    decide_outcome,
    seen_job,
    seen_pod,
)
from monitor.retraining.launchers.kubernetes_store import StoreFiles
from monitor.retraining.records import RunHandle
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256
from monitor.runs.attempt import EXIT_CODE_FILE, LOG_FILE, OWNER_FILE
from monitor.runs.fsspec_store import FsspecStore, get_attempt, put_attempt
from monitor.runs.spec import RunSpec, read_spec, write_spec
from monitor.settings.launch import KubernetesSettings
from tests.real_kafka import ROOT

TOKEN = "token"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
RUNS = Path("/var/lib/rlhf-monitor")
HANDLE = RunHandle("kubernetes", "production", str(RUNS / "job-7" / "attempt-2"), "0123456789abcdef0123456789abcdef")
SHARED = KubernetesSettings(image="i:1", volume_claim="retrain")


def job(**changes: Any) -> JobSeen:
    return replace(JobSeen(created=NOW, started=NOW), **changes)


def pod(**changes: Any) -> PodSeen:
    return replace(PodSeen("pod-1", "Running", NOW), **changes)


def outcome(
    seen: JobSeen | None, *pods: PodSeen, left: int | None = None, after: float = 60.0, ending: float = 0.0
) -> Any:
    now = NOW + timedelta(seconds=after)
    return decide_outcome(seen, pods, left_code=left, now=now, pending_seconds=600.0, ending_seconds=ending)


FAILED = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        pytest.param(outcome(None, left=0), Ended, "", id="what the run left is believed, whatever became of its Job"),
        pytest.param(outcome(job(failed=FAILED), pod(disrupted="Evicted"), left=1), Ended, "", id="its failure too"),
        pytest.param(outcome(job(complete=True)), Ended, "", id="a complete Job has ended well"),
        pytest.param(outcome(None), Gone, "the Job was deleted", id="no Job and no pod"),
        pytest.param(outcome(job(deleted=True), pod()), GoesOn, "about to end", id="a Job that is being deleted"),
        pytest.param(outcome(None, pod(), ending=90), Gone, "deleted", id="a pod without a Job that does not end"),
        pytest.param(outcome(job(failed=FAILED)), Gone, "pod was deleted", id="a failed Job whose pod is gone"),
        pytest.param(
            outcome(job(failed=("PodFailurePolicy", "Pod x has condition DisruptionTarget"))),
            Gone,
            "DisruptionTarget",
            id="a Job that was failed for a disruption, its pod gone",
        ),
        pytest.param(
            outcome(job(failed=("DeadlineExceeded", "Job was active longer"))),
            Ended,
            "deadline_seconds",
            id="a Job past its deadline",
        ),
        pytest.param(
            outcome(job(), pod(phase="Failed", exit_code=137, ended_by=("OOMKilled", ""))),
            Ended,
            "out of memory",
            id="out of memory",
        ),
        pytest.param(
            outcome(job(), pod(phase="Failed", exit_code=143, ending=True)), Gone, "deleted", id="a pod told to end"
        ),
        pytest.param(
            outcome(job(), pod(phase="Failed", reason="Evicted", message="low on memory")),
            Gone,
            "Evicted: low on memory",
            id="evicted by an old kubelet, which sets no condition",
        ),
        pytest.param(
            outcome(job(), pod(phase="Failed", reason="OutOfnvidia.com/gpu")),
            Gone,
            "OutOfnvidia.com/gpu",
            id="refused by its node",
        ),
        pytest.param(outcome(job(), pod(phase="Failed", exit_code=3)), Ended, "", id="failed by itself"),
        pytest.param(outcome(job(), pod(disrupted="Preempted")), GoesOn, "Preempted", id="in its grace period"),
        pytest.param(outcome(job(), pod(ending=True), ending=90), Gone, "deleted", id="its node fell silent"),
        pytest.param(outcome(job(), pod(phase="Unknown")), GoesOn, "does not answer", id="its node does not answer"),
        pytest.param(outcome(job()), Waits, "no pod yet", id="before its pod"),
        pytest.param(outcome(job(started=None)), Waits, "suspended", id="suspended by a queue of the cluster"),
        pytest.param(
            outcome(job(), pod(phase="Pending", held_up="Unschedulable: no GPU")), Waits, "no GPU", id="no node"
        ),
    ],
)
def test_a_run_that_ended_by_itself_is_told_from_one_that_was_ended(found: Any, kind: type, words: str) -> None:
    assert type(found) is kind
    said = getattr(found, "why", None) or getattr(found, "words", None) or getattr(found, "note", None) or ""
    assert words in said


def test_the_time_to_start_counts_from_when_the_job_was_let_go() -> None:
    pending = pod(phase="Pending", held_up="ImagePullBackOff")
    assert not outcome(job(), pending, after=599).expired
    assert outcome(job(), pending, after=601).expired
    assert not outcome(job(started=None), after=1e6).expired, "a queue of the cluster may hold it as long as it likes"


def test_exit_codes_are_kept_as_the_run_gave_them() -> None:
    assert outcome(job(), pod(phase="Failed", exit_code=3)).exit_code == 3
    assert outcome(job(complete=True)).exit_code == 0
    assert outcome(job(), pod(phase="Failed", exit_code=0)).exit_code == 1, "a pod that failed is no success"
    assert outcome(None, left=-9).exit_code == -9


def test_state_is_read_from_what_the_api_server_writes() -> None:
    status = {
        "startTime": "2026-11-01T00:00:00Z",
        "conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "late"}],
    }
    seen = seen_job({"metadata": {"creationTimestamp": "2026-11-01T00:00:00Z"}, "status": status})
    assert seen == job(failed=("DeadlineExceeded", "late"))
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    others = [{"name": "sidecar", "state": {"running": {}}}, {"name": "retrain", "state": state}]
    metadata = {"name": "pod-1", "creationTimestamp": "2026-11-01T00:00:00Z"}
    found = seen_pod({"metadata": metadata, "status": {"phase": "Failed", "containerStatuses": others}}, "retrain")
    assert found == pod(phase="Failed", exit_code=137, ended_by=("OOMKilled", ""))


def test_the_manifest_says_what_the_settings_say_and_what_the_template_has() -> None:
    settings = SHARED.model_copy(
        update={
            "gpus": 2, "cpu": "8", "memory": "64Gi", "node_selector": {"pool": "gpu"}, "service_account": "trainer",
            "deadline_seconds": 7200, "volumes": {"models": "/models"}, "store_secret": "keys",
        }
    )  # fmt: skip
    made = fill_template(read_template(settings), settings, Place.of("production", RUNS, settings), HANDLE)
    spec, inner = made["spec"], made["spec"]["template"]["spec"]
    container = inner["containers"][0]
    assert made["metadata"]["name"] == "retrain-job-7-attempt-2-0123456789ab" == job_name(HANDLE)
    assert handle_of(made) == HANDLE
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"]) == (0, 3600, 7200)
    assert (inner["restartPolicy"], inner["serviceAccountName"]) == ("Never", "trainer")
    assert inner["nodeSelector"] == {"pool": "gpu"}
    assert container["resources"] == {
        "requests": {"cpu": "8", "memory": "64Gi"},
        "limits": {"memory": "64Gi", "nvidia.com/gpu": "2"},
    }
    assert container["args"] == ["--folder", HANDLE.folder, "--token", HANDLE.token]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {"/tmp": False, "/dev/shm": False, "/models": True, str(RUNS): False}  # noqa: S108
    assert read_template(settings)["spec"]["template"]["spec"]["containers"][0].get("args") is None, "it is not touched"


def test_another_folder_claim_store_or_namespace_is_another_deployment() -> None:
    places = [
        Place.of("a", RUNS, SHARED),
        Place.of("b", RUNS, SHARED),
        Place.of("a", RUNS / "x", SHARED),
        Place.of("a", RUNS, SHARED.model_copy(update={"volume_claim": "other"})),
        Place.of("a", RUNS, KubernetesSettings(image="i", store="s3://bucket/runs")),
    ]
    made = [fill_template(read_template(SHARED), SHARED, place, HANDLE) for place in places]
    assert len({item["metadata"]["labels"][DEPLOYMENT] for item in made}) == len(places)


@pytest.mark.parametrize(
    ("changes", "content", "complaint"),
    [
        ({"image": None}, None, r"image is not set, and neither is the template's"),
        ({"volume_claim": None}, None, "wanted volume_claim or store"),
        ({"store": "s3://bucket"}, None, "are both set"),
        ({}, "kind: Deployment", "wanted apiVersion batch/v1 and kind Job"),
        ({}, "{apiVersion: batch/v1, kind: Job, spec: {}}", r"wanted spec\.template\.spec\.containers"),
        ({}, "a: [", "wanted a YAML file"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    changes: dict[str, Any], content: str | None, complaint: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "job.yaml").write_text(content)
        changes = {**changes, "template": tmp_path / "job.yaml"}
    with pytest.raises(InvalidSetting, match=complaint):
        read_template(SHARED.model_copy(update=changes))


@pytest.mark.parametrize(
    "content", [None, "apiVersion: v1", "clusters: []\ncontexts: []\nusers: []\ncurrent-context: x"]
)
def test_a_kubeconfig_that_leads_nowhere_is_refused_by_name(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidSetting, match=r"retrain\.kubernetes\.kubeconfig = '.*/kubeconfig'"):
        KubernetesApi(SHARED.model_copy(update={"kubeconfig": file}))


def test_a_template_that_brings_its_own_volume_needs_neither_claim_nor_store(tmp_path: Path) -> None:
    template = yaml.safe_load(TEMPLATE.read_text())
    template["spec"]["template"]["spec"]["volumes"].append({"name": "nfs", "nfs": {"server": "nas", "path": "/runs"}})
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(template))
    settings = KubernetesSettings(image="i", template=tmp_path / "job.yaml")
    made = fill_template(read_template(settings), settings, Place.of("a", RUNS, settings), HANDLE)
    assert [volume["name"] for volume in made["spec"]["template"]["spec"]["volumes"]] == ["tmp", "shared-memory", "nfs"]


def attempt(root: Path, **changes: Any) -> Path:
    """Fill the folder of an attempt as the dispatcher does; a model and a suite lie elsewhere."""
    folder, inputs = root / "runs" / "job-7" / "attempt-2", root / "runs" / "job-7" / "inputs"
    (folder / "output").mkdir(parents=True)
    inputs.mkdir()
    (root / "models" / "member-0").mkdir(parents=True)
    (root / "models" / "member-0" / "weights").write_text("champion")
    (inputs / "pairs.jsonl").write_text("{}\n")
    (inputs / "card.json").write_text("{}")
    (folder / "rescore.jsonl").write_text("{}\n{}\n")
    values: dict[str, Any] = {
        "job_id": 7,
        "action": Action.REWARD_REFRESH,
        "base_model": str(root / "models" / "member-0"),
        "champion": Artifact("one", str(root / "models"), artifact_sha256(root / "models")),
        "preferences": HashedFile(str(inputs / "pairs.jsonl"), file_sha256(inputs / "pairs.jsonl"), 1),
        "preferences_card": str(inputs / "card.json"),
        "rescore": HashedFile(str(folder / "rescore.jsonl"), file_sha256(folder / "rescore.jsonl"), 2),
        "recipe": {},
        "seed": 7,
        "output": str(folder / "output"),
        "checkpoints": str(root / "runs" / "job-7" / "checkpoints"),
    }
    write_spec(folder / "spec.json", RunSpec(**(values | changes)))
    return folder


def handle(folder: Path, token: str = TOKEN) -> RunHandle:
    return RunHandle("kubernetes", "a", str(folder), token)


@pytest.mark.parametrize("scheme", ["file://{}/store", "memory://runs-{}"])
def test_a_run_s_files_come_through_a_store_with_models_uploaded_once(scheme: str, tmp_path: Path) -> None:
    folder = attempt(tmp_path)
    spec = read_spec(folder / "spec.json")
    store = FsspecStore(scheme.format(tmp_path if "file" in scheme else os.urandom(4).hex()), {})
    put_attempt(store, folder, "token")
    uploaded = store.names("inputs")
    put_attempt(store, folder, "token")
    assert store.names("inputs") == uploaded
    os.rename(tmp_path, elsewhere := tmp_path.with_name(tmp_path.name + "-daemon"))
    if "file" in scheme:
        store = FsspecStore(f"file://{elsewhere}/store", {})

    found = get_attempt(store, folder, "token")

    assert found.champion is not None
    assert found.rescore is not None
    assert artifact_sha256(Path(found.champion.path)) == found.champion.sha256
    assert (Path(found.base_model) / "weights").read_text() == "champion"
    assert file_sha256(Path(found.preferences.path)) == spec.preferences.sha256
    assert file_sha256(Path(found.rescore.path)) == found.rescore.sha256
    assert found.preferences_card is not None
    assert Path(found.preferences_card).read_text() == "{}"
    assert (found.output, found.checkpoints) == (spec.output, spec.checkpoints), "the result needs no translation"


def test_what_a_run_leaves_in_a_store_is_fetched_after_its_exit_code_is_there(tmp_path: Path) -> None:
    folder = attempt(tmp_path)
    store = FsspecStore(f"file://{tmp_path}/store", {})
    files = StoreFiles(handle(folder), store)
    files.give()
    assert (files.exit_code(), files.progress(), files.log_tail()) == (None, None, "")
    left = "job-7/attempt-2/token/left"
    store.write(f"{left}/exit_code", b"")
    assert files.exit_code() is None, "half written"
    store.write(f"{left}/progress.json", b'{"line": "step 1", "done": 1, "total": 2}')
    store.write(f"{left}/output/candidate/weights", b"new")
    store.write(f"{left}/exit_code", b"0")
    progress = files.progress()
    assert progress is not None
    assert (files.exit_code(), progress.done) == (0, 1)
    files.fetch()
    files.fetch()
    assert (folder / "output" / "candidate" / "weights").read_text() == "new"
    store.write("job-7/checkpoints/checkpoint-1/state", b"1")
    files.discard(resumed=True)
    assert store.names("job-7") == ["checkpoints/checkpoint-1/state"]
    files.discard(resumed=False)
    assert store.names("job-7") == []


def test_a_model_that_is_not_there_is_named_before_anything_is_made(tmp_path: Path) -> None:
    folder = attempt(tmp_path, base_model=str(tmp_path / "nowhere"))
    with pytest.raises(InvalidInput, match="nowhere: no such file or folder"):
        put_attempt(FsspecStore(f"file://{tmp_path}/store", {}), folder, "token")


def test_a_store_that_refuses_is_waited_for_and_a_full_disk_of_ours_is_not_its_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="FileExistsError"):
        FsspecStore(f"file://{tmp_path}/file", {}).write("key", b"")
    store = FsspecStore(f"file://{tmp_path}/store", {})
    store.write("x/full", b"0" * 100_000)
    with pytest.raises(OSError, match="No space left on device"):
        store.get("x", Path("/dev"), ["full"])
    with pytest.raises(Unavailable, match="leads out of its folder"):
        store.get("x", tmp_path / "here", ["../../secret"])


class Buckets(MemoryFileSystem):  # type: ignore[misc]
    """Makes a bucket of whatever folder it is asked for, as fsspec's packages for object stores do."""

    protocol = ("oss",)
    made: ClassVar[list[str]] = []

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self.made.append(path)


def test_a_bucket_that_is_missing_is_not_made() -> None:
    fsspec.register_implementation("oss", Buckets, clobber=True)
    FsspecStore("oss://no-such-bucket/runs", {}).write("job-1/spec.json", b"{}")
    assert Buckets.made == []


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("no-such-scheme://bucket", "Protocol not known: no-such-scheme"),
        ("gs://bucket", "Please install gcsfs"),
    ],
)
def test_a_store_that_nothing_installed_can_reach_is_refused_at_the_start(url: str, complaint: str) -> None:
    with pytest.raises(InvalidSetting, match=f"retrain.kubernetes.store = '{url}': {complaint}"):
        FsspecStore(url, {})


def in_pod(folder: Path, program: str, token: str = TOKEN) -> subprocess.Popen[str]:
    """Start the pod's program, with *program* in place of `python -m retrain`."""
    instead = json.dumps([sys.executable, "-c", program])
    code = f"import sys, retrain.pod as p; p.ROUND_SECONDS = 0.05; sys.exit(p.main(sys.argv[1:], {instead}))"
    arguments = ["--folder", str(folder), "--token", token]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("program", "left", "code"),
    [
        ("print('hello')", "0", 0),
        ("import sys; print('hello'); sys.exit(3)", "3", 3),
        ("import os; print('hello', flush=True); os.kill(os.getpid(), 9)", "-9", 137),
    ],
    ids=["good", "failed", "killed"],
)
def test_the_pod_shows_the_log_and_leaves_log_and_exit_code(program: str, left: str, code: int, tmp_path: Path) -> None:
    folder = attempt(tmp_path)
    SharedFiles(handle(folder)).give()
    pod_ = in_pod(folder, program)
    assert pod_.communicate(timeout=30)[0] == "hello\n"
    assert pod_.returncode == code
    assert (folder / LOG_FILE).read_text() == "hello\n"
    assert (folder / EXIT_CODE_FILE).read_text() == left
    assert SharedFiles(handle(folder)).exit_code() == int(left)
    assert SharedFiles(handle(folder, "another")).exit_code() is None


SLEEPS = "import time; print('begun', flush=True); time.sleep(60)"


def wait_for_begin(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while not (folder / LOG_FILE).is_file() or "begun" not in (folder / LOG_FILE).read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_that_is_told_to_end_leaves_no_exit_code_and_is_begun_again(tmp_path: Path) -> None:
    folder = attempt(tmp_path)
    SharedFiles(handle(folder)).give()
    pod_ = in_pod(folder, SLEEPS)
    wait_for_begin(folder)
    pod_.send_signal(signal.SIGTERM)
    pod_.communicate(timeout=30)
    assert pod_.returncode == 143
    assert not (folder / EXIT_CODE_FILE).exists()


def test_a_run_on_a_node_that_fell_silent_ends_itself_when_its_folder_is_given_to_another(tmp_path: Path) -> None:
    folder = attempt(tmp_path)
    SharedFiles(handle(folder)).give()
    pod_ = in_pod(folder, SLEEPS)
    wait_for_begin(folder)
    SharedFiles(handle(folder, "next")).give()
    pod_.communicate(timeout=30)
    assert pod_.returncode != 0
    assert not (folder / EXIT_CODE_FILE).exists()
    assert (folder / OWNER_FILE).read_text() == "next"


def test_a_pod_that_sees_another_s_folder_does_not_begin(tmp_path: Path) -> None:
    pod_ = in_pod(attempt(tmp_path), SLEEPS)
    said, _ = pod_.communicate(timeout=30)
    assert "belongs to another start of the run, or is not mounted here" in said
    assert pod_.returncode == 70
