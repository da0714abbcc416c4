"""The gate: whether a candidate may take the champion's place. It binds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from importlib import import_module
from typing import Any

from monitor.domain.job import Action, Check, Verdict
from monitor.runs.action import ACTIONS
from monitor.runs.result import RunResult
from monitor.settings.retrain import GateSettings

Gate = Callable[[Any, GateSettings], tuple[Check, ...]]


def judge(action: Action, result: RunResult, margins: GateSettings) -> Verdict:
    """Judge what a run of *action* reports; every check must pass."""
    gate: Gate = import_module(ACTIONS[action].gate).judge
    checks = gate(result, margins)
    return Verdict(all(check.passed for check in checks), checks, hash_evidence(result))


def hash_evidence(result: RunResult) -> str:
    """Return the SHA-256 of the result's canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(asdict(result), sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=dict)
    return sha256(text.encode()).hexdigest()
