"""The actions a job can take: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.domain.job import Action
from monitor.runs.policy import PolicyResult
from monitor.runs.refusal import RefusalResult
from monitor.runs.result import RewardResult, RunResult


@dataclass(frozen=True, slots=True)
class ActionKind:
    """An action's three sides. Two are named by module: the daemon never loads a training, nor a run the gate."""

    result: type[RunResult]  # what its runs succeed with
    training: str  # has `plan(spec)`, which returns the work or refuses the spec with `InvalidInput`
    gate: str  # has `judge(result, margins)`, which returns the checks that a candidate must all pass


ACTIONS: Mapping[Action, ActionKind] = {
    Action.REWARD_REFRESH: ActionKind(RewardResult, "retrain.train_reward", "monitor.retraining.gate.reward"),
    Action.DPO: ActionKind(PolicyResult, "retrain.train_dpo", "monitor.retraining.gate.policy"),
    Action.KTO: ActionKind(PolicyResult, "retrain.train_kto", "monitor.retraining.gate.policy"),
    Action.REFUSAL_REFRESH: ActionKind(RefusalResult, "retrain.train_refusal", "monitor.retraining.gate.refusal"),
}
