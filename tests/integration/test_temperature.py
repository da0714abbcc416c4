"""The calibration of a scorer: kept with its version, and used wherever its margins become opinions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from monitor.app.temperature import ScorerTemperatures
from monitor.domain.score import Reward, win_of
from monitor.errors import Conflict
from monitor.observe.scoring import RewardRule, score_traces
from monitor.postgres.registry import RewardRegistry
from monitor.postgres.work import PostgresTransactions
from monitor.retraining.records import Registration
from monitor.retraining.release import register
from monitor.runs.artifact import Artifact
from monitor.runs.calibration import MarginBound, ScorerCalibration
from monitor.runs.result import PairMetrics, RewardResult
from monitor.settings.rewards import RewardsSettings
from tests.traces import trace

pytestmark = pytest.mark.postgres
USUAL = RewardsSettings(temperature=1.5)
CALIBRATION = ScorerCalibration(
    temperature=0.25,
    pairs=80,
    error_before=0.2,
    error_after=0.04,
    error_rate=0.1,
    pooled=MarginBound(pairs=80, quantile=0.6, beyond=0.3),
    by_cohort={"a": MarginBound(pairs=50, quantile=None)},
    covered=0.91,
)
RESULT = RewardResult(
    candidate=Artifact("fitted", "/models/fitted", "a" * 64),
    candidate_metrics=PairMetrics(80, 0.7, 0.6, 0.8),
    champion_metrics=None,
    longer_wins_accuracy=None,
    train_pairs=100,
    held_out_pairs=80,
    rescored=None,
    calibration=CALIBRATION,
    seconds=1.0,
)
# as `Registration.of` makes it of a job's result; here there is no job that the table could name
FITTED = replace(Registration.of(RESULT, job_id=1), job_id=None)


def put(engine: Engine, model: Registration) -> None:
    with PostgresTransactions(engine)() as work:
        register(work, model)


class OneScorer:
    """Says of every answer what its first letter says."""

    def __init__(self, version: str) -> None:
        self.version = version

    def score(self, rows: object) -> list[Reward | None]:
        assert isinstance(rows, list)
        values = [1.0 if response.startswith("a") else 0.0 for _, response in rows]
        return [Reward(self.version, (value,), value, value, 0.0) for value in values]


def test_a_scorer_s_opinions_are_by_the_temperature_that_was_fitted_for_it(engine: Engine) -> None:
    given = Artifact("given", "/models/given", "b" * 64)
    put(engine, FITTED)
    put(engine, Registration(artifact=given, role="reward"))
    rule = RewardRule(ScorerTemperatures(engine, USUAL))
    compared = [trace(0, response="a good one", reference_response="none")]

    names = ("fitted", "given", "served")
    opinions = {name: score_traces(compared, OneScorer(name), rule)[0].opinion for name in names}

    assert RewardRegistry(engine).calibration("fitted") == CALIBRATION
    found = {name: opinion.win for name, opinion in opinions.items() if opinion is not None}
    usual = win_of((1.0,), 1.5)
    assert found == pytest.approx({"fitted": win_of((1.0,), 0.25), "given": usual, "served": usual})


def test_a_version_keeps_the_calibration_it_was_registered_with(engine: Engine) -> None:
    put(engine, FITTED)
    put(engine, replace(FITTED, calibration=replace(CALIBRATION, temperature=9.0)))
    put(engine, replace(FITTED, calibration=None))
    plain = Registration(artifact=Artifact("plain", "/models/plain", "c" * 64), role="reward")
    put(engine, plain)
    put(engine, replace(plain, calibration=CALIBRATION))

    temperatures = ScorerTemperatures(engine, USUAL)

    assert (temperatures("fitted"), temperatures("plain")) == (0.25, 1.5)
    detail = RewardRegistry(engine).model("fitted")
    assert detail is not None
    assert detail.calibration == CALIBRATION
    with pytest.raises(Conflict, match="registered with other bytes"):
        put(engine, replace(FITTED, artifact=replace(FITTED.artifact, sha256="d" * 64)))
