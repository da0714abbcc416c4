"""One attempt's folder: what a run is given, and what it left, believed only after checking."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import yaml

from monitor.domain.job import Action
from monitor.errors import InvalidInput
from monitor.retraining.launcher import Launcher, Run
from monitor.runs.action import ACTIONS
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256
from monitor.runs.heads import backbone_of
from monitor.runs.policy import POLICY, PolicyInputs, PolicyResult
from monitor.runs.refusal import REFUSAL
from monitor.runs.result import RESULT_FILE, Failure, RewardResult, RunResult, read_result
from monitor.runs.spec import SPEC_FILE, RunSpec, read_spec, write_spec
from monitor.settings.retrain import RetrainSettings
from monitor.signals.refusal.weights import SHIPPED

PREFERENCES_FILE = "preferences.jsonl"
CARD_FILE = "preferences-card.json"
RESCORE_FILE = "rescore.jsonl"
REFUSALS_FILE = "refusals.jsonl"
OUTPUT_FOLDER, BASE_FOLDER = "output", "base"
INPUTS_FOLDER, CHECKPOINTS_FOLDER = "inputs", "checkpoints"  # of a job: they outlive its attempts


class PreferencePairs(Protocol):
    def export(self, path: Path, card: Path) -> HashedFile:
        """Write the pairs a run learns from, as `RunSpec.preferences` describes them, and their data card."""
        ...


class JudgedAnswers(Protocol):
    def export(self, path: Path) -> HashedFile:
        """Write the answers that people judged for refusals, a `labels.refusals.RefusalRow` a line."""
        ...


class BaselineTraces(Protocol):
    def export(self, path: Path) -> HashedFile | None:
        """Write the active baseline's traces, as `RunSpec.rescore` describes them; None without a baseline."""
        ...


class PolicyMaterial(Protocol):
    def export(self, folder: Path, job_id: int, action: Action) -> PolicyInputs:
        """Write what a policy's run is given beside its pairs; raise `InvalidInput` where there is too little."""
        ...


class ChampionSource(Protocol):
    def champion(self, role: str) -> Artifact | None: ...


class RunFolders:
    """Where attempts live, and how one is filled."""

    def __init__(
        self,
        settings: RetrainSettings,
        *,
        preferences: PreferencePairs,
        baseline: BaselineTraces,
        registry: ChampionSource,
        policy: PolicyMaterial | None = None,
        refusals: JudgedAnswers | None = None,
        scored_tokens: int | None = None,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._refusals = refusals
        self._scored_tokens = scored_tokens
        self._preferences = preferences
        self._baseline = baseline
        self._registry = registry

    def of_job(self, job_id: int) -> Path:
        return self._settings.folder.resolve() / f"job-{job_id}"

    def of_attempt(self, job_id: int, attempt: int) -> Path:
        return self.of_job(job_id) / f"attempt-{attempt}"

    def prepare(self, job_id: int, action: Action, attempt: int) -> RunSpec:
        """Fill the attempt's folder anew and return its spec, written last.

        Raises `InvalidInput` for what no further attempt can mend.
        """
        folder = self.of_attempt(job_id, attempt)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        role = ACTIONS[action].result.role
        champion = self._registry.champion(role)
        spec = replace(
            self._given(job_id, action, champion),
            base_model=_base_model(role, self._settings, champion, folder=folder),
            rescore=self._baseline.export(folder / RESCORE_FILE) if role == RewardResult.role else None,
            recipe=_defaults_of(action, self._settings) | read_recipe(*_recipe_of(action, self._settings)),
            output=str(folder / OUTPUT_FOLDER),
            scored_tokens=self._scored_tokens,
        )
        write_spec(folder / SPEC_FILE, spec)
        return spec

    def _given(self, job_id: int, action: Action, champion: Artifact | None) -> RunSpec:
        """Return what the attempt before was given, or gather it: a later attempt resumes what was trained on that.

        Another champion asks for another training, and so for the data of now; so does a judge that is gone.
        """
        folder, role = self.of_job(job_id) / INPUTS_FOLDER, ACTIONS[action].result.role
        with suppress(InvalidInput):  # there is none, or another release wrote it
            kept = read_spec(folder / SPEC_FILE)
            if kept.champion == champion and all(Path(judge.path).is_dir() for judge in _judges(kept)):
                return kept
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            given = RunSpec(
                job_id=job_id,
                action=action,
                base_model="",
                champion=champion,
                preferences=self._learnt_from(folder, action),
                preferences_card=None if role == REFUSAL else str(folder / CARD_FILE),
                rescore=None,
                recipe={},
                seed=job_id,
                output="",
                checkpoints=str(self.of_job(job_id) / CHECKPOINTS_FOLDER),
                policy=self._material(folder, job_id, action),
            )
            write_spec(folder / SPEC_FILE, given)
        except BaseException:  # half of it is of no use, and a full disk wants its room
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return given

    def _learnt_from(self, folder: Path, action: Action) -> HashedFile:
        if ACTIONS[action].result.role != REFUSAL:
            return self._preferences.export(folder / PREFERENCES_FILE, folder / CARD_FILE)
        if self._refusals is None:
            raise InvalidInput(f"{action}: nobody writes the answers that people judged; wanted a daemon that does")
        return self._refusals.export(folder / REFUSALS_FILE)

    def _material(self, folder: Path, job_id: int, action: Action) -> PolicyInputs | None:
        of_policy = ACTIONS[action].result.role == POLICY
        return self._policy.export(folder, job_id, action) if self._policy is not None and of_policy else None

    def champion_version(self, role: str) -> str | None:
        champion = self._registry.champion(role)
        return champion.version if champion is not None else None

    def found(self, launcher: Launcher) -> Iterator[tuple[int, Run]]:
        """Yield the live runs within the launcher's reach, each with its job's number."""
        for run in launcher.found(self._settings.folder.resolve()):
            yield int(Path(run.handle.folder).parent.name.removeprefix("job-")), run


def _judges(spec: RunSpec) -> Iterator[Artifact]:
    """Yield the models of a spec that lie elsewhere and may go: what a policy is judged by."""
    if spec.policy is not None:
        yield spec.policy.scorer
        if spec.policy.refusals is not None and spec.policy.refusals.folder is not None:
            yield spec.policy.refusals.folder.artifact


def read_recipe(path: Path | None, setting: str = "retrain.recipe") -> dict[str, float | int | str | bool]:
    """Read a flat YAML recipe; empty, so that the run takes its own, where none is set."""
    if path is None:
        return {}
    try:
        recipe = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput(f"{setting} = {str(path)!r}: {error}; wanted a YAML file") from None
    if not isinstance(recipe, dict):
        raise InvalidInput(f"{setting} = {str(path)!r}: wanted a mapping of names to values")
    for name, value in recipe.items():
        if not isinstance(name, str) or not isinstance(value, float | int | str | bool):
            raise InvalidInput(f"{setting} = {str(path)!r}: {name!r} = {value!r}; wanted a number, word or yes/no")
    return recipe


def _recipe_of(action: Action, settings: RetrainSettings) -> tuple[Path | None, str]:
    """Return the action's recipe and the setting that names it."""
    others = {
        Action.DPO: (settings.policy.recipe, "retrain.policy.recipe"),
        Action.KTO: (settings.policy.kto_recipe, "retrain.policy.kto_recipe"),
        Action.REFUSAL_REFRESH: (settings.refusal_recipe, "retrain.refusal_recipe"),
    }
    return others.get(action, (settings.recipe, "retrain.recipe"))


def _defaults_of(action: Action, settings: RetrainSettings) -> dict[str, float | int | str | bool]:
    """Return what the settings say of a recipe that does not say it itself."""
    return {"on_policy_ratio": settings.policy.on_policy.ratio} if action is Action.DPO else {}


def collect_result(folder: Path, spec: RunSpec, *, exit_code: int, last_words: str | None) -> RunResult:
    """Read what the run reports; raise `InvalidInput` in words where it did not succeed."""
    if not (folder / RESULT_FILE).is_file():
        said = f"; it last said: {last_words}" if last_words else ""
        raise InvalidInput(f"the run ended with exit code {exit_code} and left no {RESULT_FILE}{said}")
    result = read_result(folder / RESULT_FILE, ACTIONS[spec.action].result)
    if isinstance(result, Failure):
        raise InvalidInput(f"the run failed: {result.error or 'it did not say why'}")
    if exit_code != 0:
        raise InvalidInput(f"the run reports success but ended with exit code {exit_code}")
    if (result.rescored is None) != (spec.rescore is None):
        raise InvalidInput("the run's rescored traces do not fit its spec: both or neither are wanted")
    if isinstance(result, RewardResult) and (result.champion_metrics is None) != (spec.champion is None):
        raise InvalidInput("the run's champion metrics do not fit its spec: both or neither are wanted")
    wanted = None if spec.policy is None or spec.policy.refusals is None else spec.policy.refusals.counted_by
    if isinstance(result, PolicyResult) and wanted is not None and result.refusals != wanted:
        told = result.refusals or "nobody it names"
        raise InvalidInput(f"the run's refusals were read by {told}; its spec wants {wanted} for both sides")
    return result


def verify_result(folder: Path, result: RunResult) -> None:
    """Hash what the run left and compare; raise `InvalidInput` where bytes and report differ."""
    _verify_path(folder, result.candidate.path)
    found = artifact_sha256(Path(result.candidate.path))
    if found != result.candidate.sha256:
        raise InvalidInput(f"the candidate's files hash to {found}; the run reported {result.candidate.sha256}")
    evidence = result.evidence if isinstance(result, PolicyResult) else ()
    for file in (result.rescored, *evidence):
        if file is None:
            continue
        _verify_path(folder, file.path)
        found = file_sha256(Path(file.path))
        if found != file.sha256:
            raise InvalidInput(f"{file.path} hashes to {found}; the run reported {file.sha256}")


def _verify_path(folder: Path, path: str) -> None:
    if not Path(path).resolve().is_relative_to(folder.resolve()) or not Path(path).exists():
        raise InvalidInput(f"the run reports {path!r}; wanted something that exists in its own folder")


def _base_model(role: str, settings: RetrainSettings, champion: Artifact | None, *, folder: Path) -> str:
    """A reward champion's first member stands for its backbone: the members differ only by what they were tuned on."""
    if role == POLICY:
        if champion is None:
            raise InvalidInput("no policy to train: wanted retrain.policy.model, the folder of the one that is served")
        return champion.path
    if role == REFUSAL:
        if champion is None:
            raise InvalidInput("no weights to correct: wanted signals.refusal.model = learned, or a file of weights")
        return _carried(champion, folder / BASE_FOLDER)
    if settings.base_model is not None:
        return str(settings.base_model.resolve())
    if champion is None:
        raise InvalidInput("no base model: wanted retrain.base_model, or a champion whose member can be tuned on")
    return str(backbone_of(Path(champion.path)))


def _carried(weights: Artifact, target: Path) -> str:
    """Copy *weights* to *target*: they may lie in an installation, and those of other hosts lie elsewhere."""
    for folder in (Path(weights.path), SHIPPED.parent):
        if folder.is_dir() and artifact_sha256(folder) == weights.sha256:
            shutil.copytree(folder, target)
            return str(target)
    raise InvalidInput(f"the weights {weights.version} are neither at {weights.path} nor those of this release")
