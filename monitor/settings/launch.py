"""Settings of where runs are started."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from monitor.settings.part import Part


class KubernetesSettings(Part):
    """Runs as Jobs of Kubernetes, for the launcher `kubernetes`."""

    namespace: str | None = Field(None, description="where Jobs are made; null: the daemon's own")
    image: str | None = Field(None, description="image of the pod, with the extra `train`; null: the template's")
    template: Path | None = Field(
        None, description="YAML of a batch/v1 Job that is filled in; null takes the packaged one"
    )
    service_account: str | None = Field(None, description="of the pod; null: the template's")
    node_selector: dict[str, str] = Field({}, description="labels a node must have")
    gpus: int = Field(0, ge=0, le=64, description="limits nvidia.com/gpu of the pod")
    cpu: str | None = Field(None, description="requests cpu, say '4'")
    memory: str | None = Field(None, description="requests and limits memory, say 32Gi")
    volume_claim: str | None = Field(
        None, description="claim that holds retrain.folder, at the same path in the daemon and in the pod"
    )
    volumes: dict[str, str] = Field({}, description="more claims, mounted read-only, each with its path: models, say")
    store: str | None = Field(
        None, description="fsspec URL, say s3://bucket/runs, through which files go where no volume is shared"
    )
    store_options: dict[str, str] = Field({}, description="of fsspec's file system; no secrets")
    store_secret: str | None = Field(
        None, description="secret whose keys become the pod's environment: credentials of the store, say"
    )
    kubeconfig: Path | None = Field(None, description="null: in the cluster, else the default one")
    context: str | None = Field(None, description="of the kubeconfig")
    ttl_seconds: int = Field(3_600, ge=60, description="a finished Job is removed after")
    deadline_seconds: int | None = Field(None, ge=60, description="a run that takes longer is ended")
    pending_seconds: float = Field(
        1_800.0, ge=10, description="a pod that does not start for longer is a failed attempt"
    )
    token: SecretStr | None = Field(None, description="bearer token, where the kubeconfig has none")
