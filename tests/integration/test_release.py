"""Policies beside reward ensembles: adopted, registered, promoted and rolled back on a real PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.app.release import adopt_given_models
from monitor.cli.root import app
from monitor.domain.job import JobState
from monitor.domain.order import JobOrder
from monitor.errors import Conflict, InvalidSetting
from monitor.postgres.engine import transaction
from monitor.postgres.registry import replaced_scorers
from monitor.retraining.records import Author
from monitor.runs.artifact import Artifact, policy_artifact
from monitor.runs.model import ModelQuery, ModelRole, ModelState
from monitor.runs.policy import POLICY
from monitor.settings.policy import PolicySettings
from monitor.settings.retrain import RetrainSettings
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings
from tests.integration.job_parts import OPERATOR, Parts
from tests.integration.released import passed_policy, policy_folder

pytestmark = pytest.mark.postgres


def settings_with(model: Path, **policy: str) -> Settings:
    retrain = RetrainSettings(policy=PolicySettings(model=model, **policy))
    return Settings(rewards=RewardsSettings(backend="none"), retrain=retrain)


def adopt_policy(parts: Parts) -> Artifact:
    folder = policy_folder(parts.folder / "policy", "the first")
    adopt_given_models(parts.engine, settings_with(folder, served_as="chat-1"))
    champion = parts.registry.champion(POLICY)
    assert champion is not None
    return champion


def test_the_policy_that_the_settings_name_becomes_the_first_champion_once(parts: Parts) -> None:
    champion = adopt_policy(parts)
    assert champion == policy_artifact(parts.folder / "policy")
    adopt_given_models(parts.engine, settings_with(policy_folder(parts.folder / "other", "another")))
    assert parts.registry.champion(POLICY) == champion
    detail = parts.registry.model(champion.version)
    assert detail is not None
    assert (detail.model.role, detail.model.served_as, detail.lineage) == (ModelRole.POLICY, "chat-1", None)
    adopted = [("settings", "daemon", f"{role}_model.adopt") for role in ("refusal", "policy")]
    assert parts.audit() == adopted


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], "no config.json"),
        (["config.json"], "no weights, neither"),
        (["adapter_config.json", "adapter_model.safetensors"], "an adapter without its base"),
    ],
)
def test_a_folder_that_is_no_policy_is_refused_by_name(parts: Parts, files: list[str], found: str) -> None:
    folder = parts.folder / "policy"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    with pytest.raises(InvalidSetting, match=f"retrain.policy.model: .*{found}"):
        adopt_given_models(parts.engine, settings_with(folder))


def test_a_promoted_policy_leaves_the_ensembles_alone_and_rolls_back_to_the_one_before(parts: Parts) -> None:
    scorer, first = parts.adopt_champion(), adopt_policy(parts)
    job_id = passed_policy(parts.engine, parts.folder / "candidate", "the second", first)
    assert parts.service.move_job(job_id, JobOrder.APPROVE, actor=OPERATOR).state is JobState.PROMOTED
    champion, previous = parts.registry.models(ModelQuery(ModelRole.POLICY), limit=10)
    assert (champion.state, champion.served_as) == (ModelState.CHAMPION, f"policy-{champion.version}")
    assert (previous.state, previous.version) == (ModelState.PREVIOUS, first.version)
    (reward,) = parts.registry.models(ModelQuery(ModelRole.REWARD), limit=10)
    assert (reward.state, reward.version) == (ModelState.CHAMPION, scorer.version)
    with transaction(parts.engine) as connection:
        assert replaced_scorers(connection) == frozenset(), "no policy is a scorer"
    detail = parts.registry.model(champion.version)
    assert detail is not None
    assert detail.lineage is not None
    assert detail.lineage.recipe == {"beta": 0.1}
    assert parts.service.move_job(job_id, JobOrder.ROLLBACK, actor=OPERATOR).state is JobState.ROLLED_BACK
    assert parts.registry.champion_version(POLICY) == first.version
    assert [entry for entry in parts.audit() if "policy_model" in entry[2]] == [
        ("settings", "daemon", "policy_model.adopt"),
        ("ada", "operator", "policy_model.promote"),
        ("ada", "operator", "policy_model.roll_back"),
    ]


def test_bytes_of_one_role_are_not_registered_under_another(parts: Parts) -> None:
    champion = adopt_policy(parts)
    with pytest.raises(Conflict, match=r"reward model .* wanted a version of its own"):
        parts.releases.adopt(champion, by=Author("ada", "operator"))


def test_the_commands_show_models_of_every_role(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.adopt_champion()
    champion = adopt_policy(parts)
    url = parts.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("MONITOR_POSTGRES__URL", url)
    listed = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
    assert [(found["role"], found["version"], found["state"]) for found in listed] == [
        ("policy", champion.version, "champion"),
        ("refusal", parts.registry.champion_version(ModelRole.REFUSAL), "champion"),
        ("reward", "first", "champion"),
    ]
    table = CliRunner().invoke(app, ["models", "list", "--role", "policy"]).stdout
    assert champion.version in table
    assert "first" not in table
    shown = json.loads(CliRunner().invoke(app, ["models", "show", champion.version]).stdout)
    assert shown["model"]["served_as"] == "chat-1"
    missing = CliRunner().invoke(app, ["models", "show", "no-such"])
    assert missing.exit_code != 0
