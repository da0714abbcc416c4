"""By which temperature each scorer's margins become opinions."""

from __future__ import annotations

from sqlalchemy import Engine

from monitor.postgres.registry import RewardRegistry
from monitor.settings.rewards import RewardsSettings


class ScorerTemperatures:
    """The temperature that was fitted for a scorer's version, else `rewards.temperature`; for any thread.

    A version is registered once, with its calibration or for ever without one, before anything scores by it. So one
    version has one temperature, and no series holds opinions of two.
    """

    def __init__(self, engine: Engine, settings: RewardsSettings) -> None:
        self._registry = RewardRegistry(engine)
        self._usual = settings.temperature
        self._known: dict[str, float] = {}

    def __call__(self, version: str) -> float:
        """Return the version's temperature; raise `Unavailable` where it must be asked for and cannot."""
        known = self._known.get(version)
        if known is None:
            calibration = self._registry.calibration(version)
            known = self._known[version] = self._usual if calibration is None else calibration.temperature
        return known
