"""The leader's side of the anchor set: its alarm, and the verdict that alarms on rewards carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from monitor.domain.alarm import Alarm, Recovery, StoredAlarm
from monitor.domain.observation import EPOCH, PlacedEntry, Series
from monitor.domain.signal import ANCHOR_REWARD
from monitor.drift.anchor import AnchorHistory, AnchorShift, ScorerFinding, decide_scorer_verdict, extend

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JudgedBaseline:
    """The active baseline, as far as its anchors need it."""

    baseline_id: int
    stop_place: int
    created_at: datetime
    now: datetime  # by the database's clock


class AnchorLog(Protocol):
    """The anchors' entries and the alarms. Every method raises `Unavailable` where the store is away."""

    def judged_baseline(self) -> JudgedBaseline | None: ...

    def entries(self, *, after: int, window_stop: int) -> Iterable[PlacedEntry]:
        """Return the anchors' placed entries past the baseline's window whose sequence is above *after*, in order."""
        ...

    def live_alarms(self, baseline_id: int) -> Sequence[StoredAlarm]:
        """Return the alarms of the anchor set and of the rewards that have not ended."""
        ...

    def raise_alarm(self, baseline_id: int, alarm: Alarm) -> bool:
        """Store *alarm*, or open it again where a promotion had superseded it; say whether it was not open before.

        Nothing is raised for a scorer that is no role's any more. Raises `Fenced` under another baseline.
        """
        ...

    def recover(self, baseline_id: int, recovery: Recovery) -> None: ...

    def judge(self, alarm_id: int, finding: ScorerFinding) -> None: ...


@dataclass(frozen=True, slots=True)
class AnchorView:
    """Where the anchor set stands."""

    age_seconds: float  # of the last scoring; of the baseline where there was none
    scorer_version: str | None  # None: nothing has been compared with the first scores yet
    shift: AnchorShift | None


class AnchorJudge:
    """One leader's loop body; what it knows it reads from the log again after a restart."""

    def __init__(self, store: AnchorLog, *, tolerance: float) -> None:
        self._store = store
        self._tolerance = tolerance
        self._baseline_id: int | None = None
        self._histories: dict[Series, AnchorHistory] = {}
        self._after, self._at = 0, EPOCH

    def turn(self) -> AnchorView | None:
        """Read what is new, raise and end the anchors' alarm, judge the rewards'; None without a baseline."""
        baseline = self._store.judged_baseline()
        if baseline is None:
            return None
        if baseline.baseline_id != self._baseline_id:
            self._baseline_id, self._histories = baseline.baseline_id, {}
            self._after, self._at = 0, baseline.created_at
        for entry in self._store.entries(after=self._after, window_stop=baseline.stop_place):
            self._histories = extend(self._histories, entry, window_stop=baseline.stop_place)
            self._after, self._at = entry.sequence, entry.at
        latest = next(reversed(self._histories.values()), None)
        live = self._store.live_alarms(baseline.baseline_id)
        own = [stored for stored in live if stored.alarm.stream.signal == ANCHOR_REWARD.name]
        self._follow_scorer(baseline.baseline_id, own, latest)
        for stored in live:
            if stored not in own:
                finding = decide_scorer_verdict(stored.alarm, self._histories.values(), self._tolerance)
                if (finding.verdict, finding.note) != (stored.scorer_verdict, stored.scorer_note):
                    self._store.judge(stored.alarm_id, finding)
        shift = latest.looks[-1].shift if latest is not None and latest.looks else None
        return AnchorView(
            age_seconds=(baseline.now - self._at).total_seconds(),
            scorer_version=None if latest is None or shift is None else latest.series.scorer_version,
            shift=shift,
        )

    def _follow_scorer(self, baseline_id: int, own: Sequence[StoredAlarm], latest: AnchorHistory | None) -> None:
        """Keep one alarm open while the scorer stands moved; a series that is scored no more has none."""
        if latest is None:
            return
        wanted = latest.alarm(self._tolerance)
        for stored in own:
            alarm = stored.alarm
            if wanted is None or (alarm.stream, alarm.episode) != (wanted.stream, wanted.episode):
                place = latest.looks[-1].stop_place - 1 if latest.looks else latest.holds_from
                self._store.recover(baseline_id, Recovery(alarm.stream, alarm.episode, place, alarm.kind))
                log.info("scorer_is_back", scorer=alarm.stream.scorer_version)
        if wanted is not None and self._store.raise_alarm(baseline_id, wanted):
            log.warning("scorer_changed", scorer=wanted.stream.scorer_version, detail=wanted.detail)
