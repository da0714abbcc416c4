"""The gate: whether a candidate may take the champion's place. It binds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from monitor.domain.job import Action, Check, Verdict
from monitor.retraining.gate.reward import judge_reward
from monitor.runs.result import RunResult
from monitor.settings import GateSettings

# What judges each action's candidates; it is given a result of the type that `runs.result.RESULTS` names.
# An action that stands here can be started.
JUDGES: Mapping[Action, Callable[[Any, GateSettings], tuple[Check, ...]]] = {
    Action.REWARD_REFRESH: judge_reward,
}


def judge(action: Action, result: RunResult, margins: GateSettings) -> Verdict:
    """Judge what a run of *action* reports; every check must pass."""
    checks = JUDGES[action](result, margins)
    return Verdict(all(check.passed for check in checks), checks, hash_evidence(result))


def hash_evidence(result: RunResult) -> str:
    """Return the SHA-256 of the result's canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(asdict(result), sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=dict)
    return sha256(text.encode()).hexdigest()
