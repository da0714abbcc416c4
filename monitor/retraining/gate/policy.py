"""Whether a trained policy may take the champion's place."""

from __future__ import annotations

from monitor.domain.job import Check
from monitor.runs.policy import PolicyResult
from monitor.settings.retrain import GateSettings


def judge(result: PolicyResult, margins: GateSettings) -> tuple[Check, ...]:
    """Hold the candidate against the champion on what both answered."""
    return (Check("not_judged", False, float("nan"), None, margins.policy.win_rate_margin, str(result.action)),)
