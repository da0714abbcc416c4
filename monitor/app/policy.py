"""What a policy's run is given beside its pairs, from the settings."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from monitor.app.signals import refusal_model_of, refusals_of
from monitor.app.temperature import ScorerTemperatures
from monitor.domain.job import Action
from monitor.errors import InvalidInput
from monitor.postgres.policy_texts import Draw, PostgresPolicyTexts
from monitor.postgres.registry import RewardRegistry
from monitor.probes.suite import PACKAGED
from monitor.runs.artifact import Artifact, HashedFile, artifact_sha256, file_sha256, short_version
from monitor.runs.policy import AnsweringServer, PolicyInputs, RefusalFolder, RefusalReader
from monitor.runs.result import RewardResult
from monitor.settings.policy import AnsweringServerSettings
from monitor.settings.refusal import RefusalSettings
from monitor.settings.root import Settings
from monitor.signals.refusal import CurrentRefusals
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.observers import weights_file
from monitor.signals.refusal.weights import WEIGHTS_FILE

REPLAY_FILE = "replay.jsonl"
JUDGED_FILE = "judged.jsonl"
ASKED_FILE = "asked.jsonl"
FEEDBACK_FILE = "feedback.jsonl"


class PolicyMaterial:
    """`retraining.run_folder.PolicyMaterial`: prompts of traces, suites from files, the reward champion to judge."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._texts = PostgresPolicyTexts(engine)
        self._registry = RewardRegistry(engine)
        self._temperature = ScorerTemperatures(engine, settings.rewards)
        self._settings = settings

    def export(self, folder: Path, job_id: int, action: Action) -> PolicyInputs:
        policy, rewards = self._settings.retrain.policy, self._settings.rewards
        scorer = self._registry.champion(RewardResult.role)
        if scorer is None:
            raise InvalidInput(
                f"{action}: there is no reward champion to judge by; wanted rewards.backend: huggingface"
            )
        since = datetime.now(UTC) - timedelta(days=policy.replay_days)
        draw = Draw(since, policy.replay_ratio, policy.replay_min, policy.replay_max, key=f"job {job_id}")
        replay = self._texts.replay(folder / REPLAY_FILE, draw)
        if not replay.wanted:
            raise InvalidInput(
                f"{action}: no answered trace since {since:%Y-%m-%d %H:%M} UTC has its text; wanted some"
            )
        prompts = policy.on_policy.prompts if action is Action.DPO else 0
        return PolicyInputs(
            scorer=scorer,
            temperature=self._temperature(scorer.version),
            lower_beta=rewards.lower_beta,
            replay=replay.file,
            replayed=replay.wanted,
            judged=self._texts.judged(folder / JUDGED_FILE, since),
            asked=self._texts.asked(folder / ASKED_FILE, job_id, limit=prompts) if prompts else None,
            feedback=self._feedback(folder) if action is Action.KTO else None,
            suites=copy_suites(folder, {**PACKAGED, **self._settings.probes.suites}),
            refusals=refusal_reader_of(folder, self._settings.signals.refusal, refusals_of(self._settings)),
            champion_server=_server(policy.champion_server),
            candidate_server=_server(policy.candidate_server),
        )

    def _feedback(self, folder: Path) -> HashedFile:
        found = self._texts.feedback(folder / FEEDBACK_FILE)
        if found is None:
            raise InvalidInput("kto: no answer whose text is kept has a thumb; wanted labels of the kind rating")
        return found


def refusal_reader_of(folder: Path, settings: RefusalSettings, current: CurrentRefusals | None = None) -> RefusalReader:
    """Return who reads refusals in a run, as it reads those of production; weights in a file go into *folder*.

    *current* is whoever reads them there now; None: whom the settings name.
    """
    promoted = None if current is None else current.file
    model = refusal_model_of(settings) if promoted is None else LearnedRefusal(promoted)
    if settings.is_folder:
        assert isinstance(settings.model, Path)
        sha256, read = artifact_sha256(settings.model), settings.classifier
        told = RefusalFolder(
            artifact=Artifact(short_version(sha256), str(settings.model.resolve()), sha256),
            labels=settings.labels,
            full_labels=settings.full_labels,
            reads=read.reads,
            max_tokens=read.max_tokens,
            batch_tokens=read.batch_tokens,
        )
        return RefusalReader(version=model.version, threshold=model.threshold, folder=told)
    source, weights = promoted or weights_file(str(settings.model)), None
    if source is not None:
        target = folder / WEIGHTS_FILE
        shutil.copyfile(source, target)
        weights = HashedFile(str(target.resolve()), file_sha256(target), 1)
    return RefusalReader(version=model.version, threshold=model.threshold, weights=weights)


def copy_suites(folder: Path, suites: Mapping[str, Path]) -> dict[str, HashedFile]:
    """Put each suite's file into *folder*: a run sees nothing else of this host."""
    copied = {}
    for name, path in sorted(suites.items()):
        target = folder / f"suite-{name}{path.suffix}"
        try:
            shutil.copyfile(path, target)
        except OSError as error:
            raise InvalidInput(f"probes.suites.{name} = {str(path)!r}: {error.strerror}; wanted a file") from None
        rows = sum(1 for _ in target.open("rb"))
        copied[name] = HashedFile(str(target.resolve()), file_sha256(target), rows)
    return copied


def _server(settings: AnsweringServerSettings | None) -> AnsweringServer | None:
    if settings is None:
        return None
    return AnsweringServer(url=settings.url, model=settings.model, api_key_variable=settings.api_key_variable)
