"""The leader's side of the anchor set: its alarm, and the verdict that alarms on rewards carry."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from monitor.domain.alarm import Alarm, Recovery, StoredAlarm
from monitor.domain.anchor import AnchorStatus
from monitor.domain.observation import PlacedEntry, Series
from monitor.domain.signal import ANCHOR_REWARD
from monitor.drift.anchor import AnchorHistory, ScorerFinding, decide_scorer_verdict, extend

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
    """The histories under the active baseline, that of the series scored last at the end."""

    baseline: JudgedBaseline
    histories: tuple[AnchorHistory, ...]

    @property
    def latest(self) -> AnchorHistory | None:
        return self.histories[-1] if self.histories else None

    @property
    def age_seconds(self) -> float:
        """Time since the last scoring, or since the baseline was frozen where there was none."""
        at = self.baseline.created_at if self.latest is None else self.latest.scored_at
        return (self.baseline.now - at).total_seconds()


class AnchorReader:
    """Reads the anchors' entries as they come; may be asked from many threads."""

    def __init__(self, store: AnchorLog) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._baseline_id: int | None = None
        self._after = 0
        self._histories: dict[Series, AnchorHistory] = {}

    def view(self) -> AnchorView | None:
        """Return what the log tells by now; None without a baseline."""
        baseline = self._store.judged_baseline()
        if baseline is None:
            return None
        with self._lock:
            if baseline.baseline_id != self._baseline_id:
                self._baseline_id, self._after, self._histories = baseline.baseline_id, 0, {}
            for entry in self._store.entries(after=self._after, window_stop=baseline.stop_place):
                self._histories = extend(self._histories, entry, window_stop=baseline.stop_place)
                self._after = entry.sequence
            return AnchorView(baseline, tuple(self._histories.values()))


class Anchors:
    """The anchor set as operators see it."""

    def __init__(self, reader: AnchorReader, *, tolerance: float) -> None:
        self._reader = reader
        self._tolerance = tolerance

    def anchor(self) -> AnchorStatus | None:
        """Return where the scorer in use stands; None where its set was never scored."""
        view = self._reader.view()
        if view is None or view.latest is None:
            return None
        latest, shift = view.latest, view.latest.shift
        return AnchorStatus(
            name=latest.series.policy_model,
            scorer_version=latest.series.scorer_version,
            scored_at=latest.scored_at,
            scorings=latest.scorings,
            pairs=None if shift is None else shift.pairs,
            mean=None if shift is None else shift.mean,
            root_mean_square=None if shift is None else shift.root_mean_square,
            tolerance=self._tolerance,
            moved=shift is not None and shift.has_moved(self._tolerance),
        )


class AnchorJudge:
    """One leader's loop body; what it knows it reads from the log again after a restart."""

    def __init__(self, store: AnchorLog, *, tolerance: float) -> None:
        self._store = store
        self._reader = AnchorReader(store)
        self._tolerance = tolerance

    def turn(self) -> AnchorView | None:
        """Read what is new, raise and end the anchors' alarm, judge the rewards'; None without a baseline."""
        view = self._reader.view()
        if view is None:
            return None
        live = self._store.live_alarms(view.baseline.baseline_id)
        own = [stored for stored in live if stored.alarm.stream.signal == ANCHOR_REWARD.name]
        self._follow_scorer(view.baseline.baseline_id, own, view.latest)
        for stored in live:
            if stored not in own:
                finding = decide_scorer_verdict(stored.alarm, view.histories, self._tolerance)
                if (finding.verdict, finding.note) != (stored.scorer_verdict, stored.scorer_note):
                    self._store.judge(stored.alarm_id, finding)
        return view

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
