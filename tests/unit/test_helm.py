"""The Helm chart: every variant is linted, rendered, and held against Kubernetes' and our own schemas."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dashboards.fitted import fit
from monitor.settings.load import load_settings
from tests.real_kafka import ROOT, in_ci

CHART = ROOT / "helm"
HELM = Path(sys.executable).with_name("helm")
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES = ("1.27", kubernetes_validate.latest_version())  # the oldest the chart admits, and the newest known
CUSTOM = {"ServiceMonitor", "PrometheusRule"}  # their schemas are not Kubernetes' own

variants = pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
Objects = dict[str, dict[str, Any]]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)


def render(variant: Path, *arguments: str) -> Objects:
    """Return the chart's objects by kind and name."""
    done = helm("template", "watch", CHART, "-f", variant, *arguments)
    assert done.returncode == 0, done.stderr
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in yaml.safe_load_all(done.stdout) if item}


def worker(objects: Objects) -> dict[str, Any]:
    deployment = next(item for key, item in objects.items() if key.startswith("Deployment/"))
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def names(variables: list[dict[str, Any]]) -> set[str]:
    return {variable["name"] for variable in variables}


@variants
def test_helm_finds_nothing_to_complain_about(variant: Path) -> None:
    done = helm("lint", "--strict", CHART, "-f", variant)
    assert done.returncode == 0, done.stdout + done.stderr


@variants
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field_of_every_object(variant: Path, version: str) -> None:
    for item in render(variant).values():
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, version, strict=True)


@variants
def test_the_daemon_accepts_the_settings_of_the_chart(
    variant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = render(variant)
    config = tmp_path / "monitor.yaml"
    config.write_text(
        next(item for item in objects.values() if "monitor.yaml" in item.get("data", {}))["data"][config.name]
    )
    for variable in worker(objects)["containers"][0]["env"]:
        if variable["name"].startswith("MONITOR_"):
            monkeypatch.setenv(variable["name"], variable.get("value", "postgresql://user@host/database"))
    monkeypatch.setenv("MONITOR_CONFIG", str(config))
    monkeypatch.setenv("MONITOR_WEB__TOKENS", '{"a-long-random-token": "operator"}')
    settings = load_settings()
    assert settings.web.host == "0.0.0.0"
    mounts = {mount["name"]: mount["mountPath"] for mount in worker(objects)["containers"][0]["volumeMounts"]}
    assert str(settings.retrain.folder) == mounts["retrain"]
    assert worker(objects)["terminationGracePeriodSeconds"] > settings.drain_seconds + 10


def test_a_variant_renders_exactly_its_objects() -> None:
    kinds = {path.stem: sorted(item["kind"] for item in render(path).values()) for path in VARIANTS}
    usual = [
        "ConfigMap",
        "Deployment",
        "Job",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ]
    assert kinds == {
        "default-values": usual,
        "gpu-values": sorted([*usual, "ConfigMap", "PrometheusRule", "ServiceMonitor"]),
        "kubernetes-values": sorted([*usual, "Role", "RoleBinding"]),
        "minimal-values": ["ConfigMap", "Deployment", "Service"],
        "notify-values": usual,
        "tls-values": usual,
    }


def test_the_gpu_variant_asks_for_a_gpu_beside_its_memory() -> None:
    limits = worker(render(CHART / "ci" / "gpu-values.yaml"))["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "8Gi", "nvidia.com/gpu": 1}


def test_runs_as_jobs_get_the_workers_image_its_volumes_and_a_role_for_jobs_alone() -> None:
    objects = render(CHART / "ci" / "kubernetes-values.yaml", "--namespace", "production")
    settings = yaml.safe_load(objects["ConfigMap/watch-rlhf-monitor"]["data"]["monitor.yaml"])["retrain"]
    pod = worker(objects)
    claims = {
        item["name"]: item["persistentVolumeClaim"]["claimName"]
        for item in pod["volumes"]
        if "persistentVolumeClaim" in item
    }
    assert settings["launcher"] == "kubernetes"
    assert settings["kubernetes"]["image"] == pod["containers"][0]["image"]
    assert settings["kubernetes"]["namespace"] == "production"
    assert settings["kubernetes"]["volume_claim"] == claims["retrain"]
    assert settings["kubernetes"]["volumes"] == {claims["models"]: "/models"}
    assert pod["automountServiceAccountToken"] is True
    rules = objects["Role/watch-rlhf-monitor-retrain"]["rules"]
    assert {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]} == {
        *(("jobs", verb) for verb in ("create", "get", "list", "delete")),
        *(("pods", verb) for verb in ("get", "list")),
        ("pods/log", "get"),
    }


def test_the_migration_leans_on_nothing_the_chart_has_yet_to_create() -> None:
    job = render(VARIANTS[0])["Job/watch-rlhf-monitor-migration"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["db", "upgrade"]
    assert names(pod["containers"][0]["env"]) == {"HOME", "MONITOR_POSTGRES__URL"}
    assert "serviceAccountName" not in pod
    assert [volume for volume in pod["volumes"] if "emptyDir" not in volume] == []


def test_certificates_come_from_their_secrets_into_folders_that_settings_and_variables_name() -> None:
    objects = render(CHART / "ci" / "tls-values.yaml")
    settings = yaml.safe_load(objects["ConfigMap/watch-rlhf-monitor"]["data"]["monitor.yaml"])["kafka"]
    job = objects["Job/watch-rlhf-monitor-migration"]["spec"]["template"]["spec"]
    assert provided(worker(objects)) == {
        settings["ssl_cafile"]: ("kafka-cluster-ca", "ca.crt"),
        settings["ssl_certfile"]: ("kafka-user", "user.crt"),
        settings["ssl_keyfile"]: ("kafka-user", "user.key"),
        **provided(job),
    }
    for pod in (worker(objects), job):
        variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
        assert variables["PGSSLMODE"] == "verify-full"
        assert provided(job) == {
            variables["PGSSLROOTCERT"]: ("postgres-ca", "ca.crt"),
            variables["PGSSLCERT"]: ("postgres-client", "tls.crt"),
            variables["PGSSLKEY"]: ("postgres-client", "tls.key"),
        }
        modes = {one["projected"]["defaultMode"] for one in pod["volumes"] if "projected" in one}
        assert modes == {0o440}  # libpq refuses a key that others may read


def test_the_token_of_metrics_comes_from_one_secret_to_the_daemon_and_to_who_scrapes() -> None:
    objects = render(CHART / "ci" / "gpu-values.yaml")
    given = {one["name"]: one for one in worker(objects)["containers"][0]["env"]}["MONITOR_WEB__METRICS_TOKEN"]
    secret = {"name": "rlhf-monitor-metrics", "key": "token"}
    assert given["valueFrom"] == {"secretKeyRef": secret}
    [endpoint] = objects["ServiceMonitor/watch-rlhf-monitor"]["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": secret}
    open_to_all = render(CHART / "ci" / "gpu-values.yaml", "--set", "web.metricsSecret.name=")
    assert "MONITOR_WEB__METRICS_TOKEN" not in names(worker(open_to_all)["containers"][0]["env"])
    assert "authorization" not in open_to_all["ServiceMonitor/watch-rlhf-monitor"]["spec"]["endpoints"][0]


def test_secrets_of_receivers_are_files_where_the_settings_name_them() -> None:
    objects = render(CHART / "ci" / "notify-values.yaml")
    settings = yaml.safe_load(objects["ConfigMap/watch-rlhf-monitor"]["data"]["monitor.yaml"])["notify"]
    pod = worker(objects)
    mounted = next(mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "notify")
    volume = next(volume for volume in pod["volumes"] if volume["name"] == "notify")
    assert volume["secret"]["secretName"] == "rlhf-monitor-notify"
    named = [settings["slack"]["oncall"]["token_file"], settings["pagerduty"]["model"]["routing_key_file"]]
    assert {str(Path(name).parent) for name in named} == {mounted["mountPath"]}


def provided(pod: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return which file in *pod* holds which key of which secret."""
    folders = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    return {
        f"{folders[volume['name']]}/{item['path']}": (source["secret"]["name"], item["key"])
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        for item in source["secret"]["items"]
    }


def rule_groups(text_of: Callable[[Path], str]) -> list[dict[str, Any]]:
    files = [*(ROOT / "dashboards" / "alerts").glob("*.yaml"), *(ROOT / "dashboards" / "rules").glob("*.yaml")]
    groups = [group for path in files for group in yaml.safe_load(text_of(path))["groups"]]
    return sorted(groups, key=itemgetter("name"))


def test_the_rules_are_the_repository_s_own_about_this_release_alone_with_the_runbooks_address() -> None:
    rendered = render(CHART / "ci" / "gpu-values.yaml", "--namespace", "production")
    groups = rendered["PrometheusRule/watch-rlhf-monitor"]["spec"]["groups"]

    def of_this_release(path: Path) -> str:
        text = path.read_text().replace('job="rlhf-monitor"', 'namespace="production",job="watch-rlhf-monitor"')
        return text.replace("dashboards/runbooks", "https://runbooks.example/rlhf-monitor")

    assert sorted(groups, key=itemgetter("name")) == rule_groups(of_this_release)
    service = next(item for key, item in rendered.items() if key.startswith("Service/"))
    assert service["metadata"]["name"] == "watch-rlhf-monitor", "the job that the operator gives what it scrapes"


def test_the_rules_take_the_job_and_the_namespace_that_the_processes_are_scraped_under() -> None:
    scraped = "--set=prometheusRule.job=kubernetes-pods,prometheusRule.namespace=llm"
    rendered = render(CHART / "ci" / "gpu-values.yaml", scraped)
    groups = rendered["PrometheusRule/watch-rlhf-monitor"]["spec"]["groups"]
    url = "https://runbooks.example/rlhf-monitor"
    fitted = rule_groups(lambda path: fit(path.read_text(), job="kubernetes-pods", namespace="llm", runbooks=url))
    assert sorted(groups, key=itemgetter("name")) == fitted


def test_without_an_address_the_runbooks_are_named_by_their_path_in_the_repository() -> None:
    rendered = render(CHART / "ci" / "gpu-values.yaml", "--set", "prometheusRule.runbookUrl=")
    groups = rendered["PrometheusRule/watch-rlhf-monitor"]["spec"]["groups"]
    urls = {rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert all((ROOT / url).is_file() for url in urls)


@pytest.mark.parametrize("given", ["prometheusRule.runbookUrl", "config.notify.runbooks"])
def test_the_address_of_the_runbooks_is_given_once_for_alerts_and_the_daemon_s_messages(given: str) -> None:
    url = "https://wiki.example/runbooks"
    objects = render(CHART / "ci" / "gpu-values.yaml", "--set", f"prometheusRule.runbookUrl=,{given}={url}/")
    settings = yaml.safe_load(objects["ConfigMap/watch-rlhf-monitor"]["data"]["monitor.yaml"])
    assert settings["notify"] == {"runbooks": url}
    groups = objects["PrometheusRule/watch-rlhf-monitor"]["spec"]["groups"]
    urls = {rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert {str(Path(found).parent) for found in urls} == {url.replace("//", "/")}


def test_prometheus_accepts_the_rules_of_the_chart(tmp_path: Path) -> None:
    if shutil.which("promtool") is None and not in_ci():
        pytest.skip("promtool is not installed: apt-get install prometheus")
    file = tmp_path / "rules.yaml"
    file.write_text(
        yaml.safe_dump(render(CHART / "ci" / "gpu-values.yaml")["PrometheusRule/watch-rlhf-monitor"]["spec"])
    )
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("runbooks", ["dashboards/runbooks", "https://wiki.example/runbooks"])
def test_the_dashboards_are_the_repository_s_own_and_lead_to_the_runbooks(runbooks: str) -> None:
    given = "" if runbooks == "dashboards/runbooks" else f"{runbooks}/"
    objects = render(CHART / "ci" / "gpu-values.yaml", "--set", f"prometheusRule.runbookUrl={given}")
    dashboards = objects["ConfigMap/watch-rlhf-monitor-dashboards"]["data"]
    assert len(dashboards) == 5
    assert dashboards == {
        path.name: path.read_text().replace("dashboards/runbooks", runbooks)
        for path in (ROOT / "dashboards" / "grafana").glob("*.json")
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param("replicas=3", "wanted ReadWriteMany", id="replicas that cannot share a volume"),
        pytest.param("retrain.kubernetes.enabled=true", "wanted ReadWriteMany", id="runs that cannot share a volume"),
        pytest.param("replicas=0", "replicas", id="no replica"),
        pytest.param("prometheusRule.runbookUrl=runbooks", "runbookUrl", id="runbooks at no address"),
        pytest.param(
            "prometheusRule.runbookUrl=https://a.example,config.notify.runbooks=https://b.example",
            "are one address",
            id="runbooks at two addresses",
        ),
        pytest.param("drainSecond=3", "drainSecond", id="a misspelt value"),
        pytest.param("postgres.secret.name=", "postgres.secret.name", id="no database secret"),
        pytest.param("service.type=ExternalName", "service.type", id="a service of another kind"),
    ],
)
def test_a_wrong_value_stops_the_installation_by_name(change: str, complaint: str) -> None:
    done = helm("template", "watch", CHART, "--set", change)
    assert done.returncode != 0
    assert complaint in done.stderr
