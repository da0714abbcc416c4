"""A candidate ensemble scores beside the champion: real models, a real log, and a promotion that waits for it."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text, update

from monitor.app.release import Released
from monitor.app.shadow import LEASE, is_shadowed
from monitor.domain.job import Action, Hold, JobState
from monitor.domain.order import JobOrder
from monitor.domain.shadow import Shadow, ShadowJob
from monitor.domain.trace import Message, Trace
from monitor.ingest.offset import StoredOffset
from monitor.observe.scoring import RewardModel
from monitor.observe.shadow import SLICE_ROWS, Shadowing
from monitor.postgres import schema
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.leader import Leadership
from monitor.postgres.shadow import ShadowLog
from monitor.retraining.promotion import Promote, decide_shadow
from monitor.retraining.records import Author
from monitor.retraining.release import Releases
from monitor.retraining.service import JobService
from monitor.rewards.huggingface import load_ensemble
from monitor.runs.artifact import Artifact, artifact_sha256
from monitor.settings.policy import ShadowSettings
from monitor.settings.retrain import RetrainSettings
from monitor.settings.rewards import RewardsSettings
from monitor.settings.root import Settings
from monitor.stats.alike import alikeness
from monitor.telemetry.releases import ReleaseMetrics
from tests.integration.job_parts import OPERATOR, Baselines, Parts
from tests.integration.released import passed_job, passed_policy, reward_result
from tests.integration.test_serve_rewards import build
from tests.traces import checkpoint, scored, trace

pytestmark = pytest.mark.postgres
WORDS = ("open", "account", "settings", "and", "press", "refund", "then", "wait", "three", "days")
WANTED, TRACES = 40, 60


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two ensembles of one make, with other weights."""
    folder = tmp_path_factory.mktemp("models")
    return build(folder / "champion", range(2)), build(folder / "candidate", range(5, 7))


def load(folder: Path, version: str) -> RewardModel:
    return load_ensemble([folder], device="cpu", max_tokens=64, batch_tokens=4096, beta=1.0, version=version)


def answered(number: int) -> Trace:
    chance = random.Random(number)
    said, asked = (" ".join(chance.choices(WORDS, k=chance.randint(5, 20))) for _ in range(2))
    return trace(number, response=said, messages=(Message("user", asked),))


class World:
    """A champion that has scored traces, and a candidate that passed its gate."""

    def __init__(self, parts: Parts, models: tuple[Path, Path]) -> None:
        settings = RetrainSettings(shadow=ShadowSettings(traces=WANTED))
        self.parts = parts
        self.releases = Releases(parts.begin, Baselines(), settings)
        parts.releases, parts.service = self.releases, JobService(parts.begin, self.releases, settings)
        self.log = ShadowLog(parts.engine)
        self.loaded: list[str] = []
        self.seconds = 0.0
        champion = Artifact("v1", str(models[0]), artifact_sha256(models[0]))
        self.releases.adopt(champion, by=Author("ada", "operator"))
        traces = [answered(number) for number in range(TRACES)]
        rewards = load(models[0], "v1").score([(item.messages, item.response or "") for item in traces])
        store = PostgresCheckpoints(parts.engine, group_id="group", max_cohorts=50)
        store.begin({("traces", 0): StoredOffset(0)})
        given = [reward for reward in rewards if reward is not None]
        assert len(given) == TRACES
        store.write(checkpoint(scored(traces, rewards=given)))
        candidate = Artifact("v2", str(models[1]), artifact_sha256(models[1]))
        self.job_id = passed_job(parts.engine, Action.REWARD_REFRESH, reward_result(candidate), champion)

    def shadowing(self) -> Shadowing:
        def candidate(job: ShadowJob) -> RewardModel:
            self.loaded.append(job.version)
            return load(Path(job.path), job.version)

        lease = Leadership(self.parts.engine, role=LEASE)
        return Shadowing(
            self.log, lease, candidate, turn_of=threading.Lock(), traces=WANTED, clock=lambda: self.seconds
        )

    def shadow(self) -> Shadow | None:
        return Released.of(self.parts.engine).shadow(self.job_id)

    def state(self) -> JobState:
        return self.parts.job(self.job_id).state


@pytest.fixture
def world(parts: Parts, models: tuple[Path, Path]) -> World:
    return World(parts, models)


def test_a_promotion_waits_until_both_have_scored_and_holds_up_no_other_role(world: World) -> None:
    shadowing, registry = world.shadowing(), CollectorRegistry()
    assert world.shadow() is None
    assert world.releases.promote_passed("automatic") == Hold("shadowing", "0 of 40 traces scored beside the champion")
    assert shadowing.turn(), "there is more to score"
    policy = passed_policy(world.parts.engine, world.parts.folder / "policy", "a policy", None)
    assert world.releases.promote_passed("automatic") == policy
    assert world.releases.promote_passed("automatic") == Hold(
        "shadowing", f"{SLICE_ROWS} of 40 traces scored beside the champion"
    )
    while shadowing.turn():
        pass
    found = world.shadow()
    assert found is not None
    assert (found.traces, found.version, found.champion, world.loaded) == (WANTED, "v2", "v1", ["v2"])
    ReleaseMetrics(registry).show_shadow(found, wanted=WANTED)
    assert registry.get_sample_value("monitor_shadow_traces", {"count": "scored"}) == WANTED
    assert world.releases.promote_passed("automatic") == world.job_id
    assert world.parts.notes(world.job_id)[-1] == "the gate passed; 40 of 40 traces scored beside the champion"
    assert world.parts.registry.champion_version() == "v2"
    assert not shadowing.turn()
    assert shadowing._loaded is None, "the candidate leaves its memory"
    shadowing.close()


def test_what_is_kept_is_what_both_models_say_of_the_newest_traces(world: World, models: tuple[Path, Path]) -> None:
    shadowing = world.shadowing()
    while shadowing.turn():
        pass
    newest = [answered(number) for number in range(TRACES - WANTED, TRACES)]
    rows = [(item.messages, item.response or "") for item in newest]
    champion, candidate = (
        np.array([reward.mean for reward in load(folder, "any").score(rows) if reward is not None]) for folder in models
    )
    found = world.shadow()
    assert found is not None
    assert found.overall.correlation == pytest.approx(np.corrcoef(champion, candidate)[0, 1], abs=1e-5)
    difference = (candidate - champion).mean() / champion.std()
    assert found.overall.mean_difference == pytest.approx(difference, abs=1e-5)
    order = np.sign(champion[:, None] - champion) == np.sign(candidate[:, None] - candidate)
    alike = (order.sum() - WANTED) / (WANTED * (WANTED - 1))
    assert found.overall.rank_agreement == pytest.approx(alike, abs=1e-3)
    assert {name: line.traces for name, line in found.by_cohort.items()} == {"dataset=koala": 20, "dataset=vicuna": 20}
    shadowing.close()


def test_an_operator_does_not_wait(world: World) -> None:
    world.parts.service.move_job(world.job_id, JobOrder.APPROVE, actor=OPERATOR)
    assert world.state() is JobState.PROMOTED


def test_one_replica_holds_the_candidate_and_another_takes_over(world: World) -> None:
    first, second = world.shadowing(), world.shadowing()
    assert first.turn()
    assert not second.turn()
    assert world.loaded == ["v2"]
    first.close()
    assert second.turn()
    assert world.loaded == ["v2", "v2"]
    found = world.shadow()
    assert found is not None
    assert found.traces == 2 * SLICE_ROWS, "no trace is scored twice"
    second.close()


def test_a_candidate_that_cannot_be_loaded_is_tried_again_later(world: World) -> None:
    with world.parts.engine.begin() as connection:
        there = connection.execute(text("select path from reward_model where version = 'v2'")).scalar_one()
        connection.execute(update(schema.reward_model).values(path="/nowhere"))
    shadowing = world.shadowing()
    assert not shadowing.turn()
    with world.parts.engine.begin() as connection:
        connection.execute(update(schema.reward_model).values(path=there))
    assert not shadowing.turn(), "it waits a minute"
    world.seconds = 61.0
    assert shadowing.turn()
    shadowing.close()


def test_a_shadow_that_takes_too_long_or_cannot_be_cast_holds_nothing() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    wanted = ShadowSettings(traces=500, max_hours=24.0)

    def decide(settings: ShadowSettings, hours: float = 1.0, reason: str | None = None) -> Promote | Hold:
        passed = now - timedelta(hours=hours)
        return decide_shadow(settings, unsupported=reason, scored=120, passed_at=passed, now=now)

    assert decide(wanted) == Hold("shadowing", "120 of 500 traces scored beside the champion")
    assert decide(wanted, 24.0) == Promote("120 of 500 traces scored beside the champion in 24 hours")
    assert decide(wanted, reason="rewards.backend is 'http'") == Promote("not shadowed: rewards.backend is 'http'")
    assert decide(ShadowSettings()) == Promote()
    shadowed = RetrainSettings(shadow=wanted)
    assert not is_shadowed(Settings(retrain=shadowed, rewards=RewardsSettings(backend="none")))
    assert is_shadowed(Settings(retrain=shadowed, rewards=RewardsSettings(backend="huggingface")))


def test_alikeness_of_few_even_and_equal_scores() -> None:
    even, rising = np.ones(5), np.arange(5.0)
    assert alikeness(rising[:2], rising[:2]) is None
    flat = alikeness(rising, even)
    assert flat is not None
    assert (flat.correlation, flat.rank_agreement) == (None, None)
    same = alikeness(rising, 2.0 * rising + 3.0)
    assert same is not None
    assert (same.correlation, same.rank_agreement) == pytest.approx((1.0, 1.0))
    turned = alikeness(rising, -rising)
    assert turned is not None
    assert turned.rank_agreement == pytest.approx(0.0)
    assert turned.mean_difference == pytest.approx(-4.0 / np.std(rising))


def test_a_run_out_of_memory_is_trouble_and_no_end(world: World) -> None:
    def refuse(_job: ShadowJob) -> RewardModel:
        raise RuntimeError("CUDA out of memory")

    lease = Leadership(world.parts.engine, role=LEASE)
    shadowing = Shadowing(world.log, lease, refuse, turn_of=threading.Lock(), traces=WANTED, clock=lambda: 0.0)
    assert not shadowing.turn()
    assert world.releases.promote_passed("automatic") == Hold("shadowing", "0 of 40 traces scored beside the champion")
    shadowing.close()
