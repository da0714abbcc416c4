"""The order a run carries out, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from monitor.domain.job import Action
from monitor.errors import InvalidInput
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256
from monitor.runs.policy import RefusalReader
from monitor.runs.spec import RunSpec, read_spec
from monitor.signals.refusal.weights import WEIGHTS_FILE
from retrain.refusal_reader import open_refusals


def load_spec(path: Path) -> RunSpec:
    """Read a spec and verify all it names; raise `InvalidInput` at the first thing that is not as it says."""
    spec = read_spec(path)
    if spec.seed < 0:
        raise InvalidInput(f"{path}: seed = {spec.seed}; wanted 0 or more")
    wanted, what = _base_of(spec.action)
    if not (Path(spec.base_model) / wanted).is_file():
        raise InvalidInput(f"{path}: base_model = {spec.base_model!r}; wanted a folder with {what}")
    _verify_file(spec.preferences, "preferences")
    if spec.rescore is not None:
        _verify_file(spec.rescore, "rescore")
    if spec.champion is not None:
        _verify_artifact(spec.champion, "champion")
    if spec.policy is not None:
        _verify_artifact(spec.policy.scorer, "policy.scorer")
        for item in fields(spec.policy):
            value = getattr(spec.policy, item.name)
            if isinstance(value, HashedFile):
                _verify_file(value, f"policy.{item.name}")
        _verify_refusals(spec.policy.refusals)
        for name, suite in spec.policy.suites.items():
            _verify_file(suite, f"policy.suites.{name}")
    output = Path(spec.output)
    if not output.is_absolute():
        raise InvalidInput(f"output = {spec.output!r}; wanted an absolute path")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InvalidInput(f"output = {spec.output!r} is not empty; wanted an empty folder or none")
    return spec


def _base_of(action: Action) -> tuple[str, str]:
    """Return the file that the base's folder must have, and what the folder is, for people."""
    if action is Action.REFUSAL_REFRESH:
        return WEIGHTS_FILE, f"{WEIGHTS_FILE}, the weights that labels are to correct"
    return "config.json", "a Hugging Face model"


def _verify_refusals(reader: RefusalReader | None) -> None:
    if reader is not None and reader.weights is not None:
        _verify_file(reader.weights, "policy.refusals.weights")
    if reader is not None and reader.folder is not None:
        _verify_artifact(reader.folder.artifact, "policy.refusals.folder")
    open_refusals(reader)


def _verify_file(file: HashedFile, name: str) -> None:
    path = Path(file.path)
    if not path.is_file():
        raise InvalidInput(f"{name}.path = {file.path!r}: no such file")
    found = file_sha256(path)
    if found != file.sha256:
        raise InvalidInput(f"{name}: {file.path} has the SHA-256 {found}; the spec wants {file.sha256}")


def _verify_artifact(artifact: Artifact, name: str) -> None:
    path = Path(artifact.path)
    if not path.is_dir():
        raise InvalidInput(f"{name}.path = {artifact.path!r}: no such folder")
    found = artifact_sha256(path)
    if found != artifact.sha256:
        raise InvalidInput(f"{name}: {artifact.path} has the SHA-256 {found}; the spec wants {artifact.sha256}")
