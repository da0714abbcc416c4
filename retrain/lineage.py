"""What a run was made of, as it is told with the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from pydantic import BaseModel

from monitor.domain.job import Action
from monitor.runs.artifact import HashedFile, artifact_sha256, file_sha256
from monitor.runs.lineage import Lineage
from monitor.runs.spec import RunSpec

PACKAGE = "rlhf-monitor"
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "numpy")


def lineage_of(
    spec: RunSpec,
    recipe: BaseModel,
    *,
    seeds: Mapping[str, int] | None = None,
    files: Mapping[str, Path] | None = None,
    devices: str | None = None,
) -> Lineage:
    """Return what made the candidate of *spec*.

    *seeds* stand beside the spec's own and the recipe's, and *files*, by purpose, beside those that it was given.
    """
    used = recipe.model_dump()
    split = {"split": used["split_seed"]} if "split_seed" in used else {}
    return Lineage(
        action=spec.action,
        base_sha256=artifact_sha256(Path(spec.base_model)),
        champion=spec.champion.version if spec.champion is not None else None,
        scorer=spec.policy.scorer.version if spec.policy is not None else None,
        data=data_hashes(spec) | {name: file_sha256(path) for name, path in (files or {}).items()},
        recipe=used,
        seeds={"run": spec.seed, **split, **(seeds or {})},
        code_version=_version(PACKAGE),
        libraries=library_versions(),
        devices=devices or (torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"),
    )


def library_versions() -> dict[str, str]:
    """Return the versions of what decides a training's numbers, by distribution."""
    return {name: _version(name) for name in LIBRARIES}


def data_hashes(spec: RunSpec) -> dict[str, str]:
    """Return the hash of each file that the run is given, by its purpose."""
    hashes = {"labels" if spec.action == Action.REFUSAL_REFRESH else "preferences": spec.preferences.sha256}
    if spec.rescore is not None:
        hashes["rescore"] = spec.rescore.sha256
    if spec.policy is not None:
        for item in fields(spec.policy):
            value = getattr(spec.policy, item.name)
            if isinstance(value, HashedFile):
                hashes[item.name] = value.sha256
        hashes |= {f"suite {name}": suite.sha256 for name, suite in spec.policy.suites.items()}
    return hashes


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a checkout that nobody installed
        return "unknown"
