"""What follows a promotion, as it is exported."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry

from monitor.domain.release import Bake, BakeState, Channel, Waiting
from monitor.domain.shadow import Shadow
from monitor.telemetry import release_series as series
from monitor.telemetry.freshness import Clock, FreshGauges, Freshness
from monitor.telemetry.metrics import FRESH_SECONDS

SHADOW_SECONDS = 10.0  # between two looks at what a shadow has come to


class ReleaseMetrics:
    """Written by the leader alone; withdrawn where it is not confirmed."""

    def __init__(
        self, registry: CollectorRegistry, *, leader_seconds: float = FRESH_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        freshness = Freshness(leader_seconds, clock)
        self._waiting = FreshGauges(
            series.ANNOUNCEMENTS_WAITING, series.ANNOUNCEMENT_WAIT, freshness=freshness, registry=registry
        )
        shadow = Freshness(leader_seconds + SHADOW_SECONDS, clock)
        self._shadow = FreshGauges(series.SHADOW_TRACES, series.SHADOW_ALIKE, freshness=shadow, registry=registry)
        bakes = Freshness(leader_seconds, clock)
        self._bakes = FreshGauges(series.BAKES, series.BAKE_TRACES, freshness=bakes, registry=registry)

    def show_shadow(self, shadow: Shadow | None, *, wanted: int) -> None:
        """Show the candidate that waits, beside the champion; nothing where none does."""
        if shadow is None:
            self._shadow.show({}, {})
            return
        line = shadow.overall
        measures = {
            "correlation": line.correlation,
            "rank_agreement": line.rank_agreement,
            "mean_difference": line.mean_difference,
        }
        self._shadow.show(
            {("scored",): float(shadow.traces), ("wanted",): float(wanted)},
            {(name,): value for name, value in measures.items() if value is not None},
        )

    def show_waiting(self, waiting: Mapping[Channel, Waiting]) -> None:
        self._waiting.show(
            {(channel.value,): float(told.announcements) for channel, told in waiting.items()},
            {(channel.value,): told.seconds for channel, told in waiting.items()},
        )

    def show_bakes(self, bakes: Collection[Bake], roles: Collection[str]) -> None:
        open_states = [state for state in BakeState if state.is_open]
        counts: dict[tuple[str, ...], float] = {(role, state.value): 0.0 for role in roles for state in open_states}
        traces: dict[tuple[str, ...], float] = {}
        for bake in bakes:
            counts[bake.role, bake.state.value] += 1.0
            traces |= {(bake.role, "seen"): bake.traces_seen, (bake.role, "wanted"): bake.traces_wanted}
        self._bakes.show(counts, traces)
