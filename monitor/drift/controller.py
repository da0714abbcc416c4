"""The controller: freezes the first baseline, folds the log, and makes alarms of what the detectors decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from monitor.domain.alarm import Alarm, Recovery
from monitor.domain.observation import LogEnd, PlacedEntry
from monitor.domain.stream import StreamNumbers, StreamStatus
from monitor.drift.baseline import Baseline
from monitor.drift.catch_up import CatchUp
from monitor.drift.diagnosis import describe
from monitor.drift.fold import Fold, FoldRules, in_fold_order, restore, store
from monitor.drift.freeze import NullRule, build_baseline
from monitor.drift.incident import IncidentRule
from monitor.drift.late import LateLaws
from monitor.drift.log import FeedbackLog, LabelLog, ObservationLog, ProbeLog, windows_of
from monitor.drift.status import Beside
from monitor.drift.stored import ActiveBaseline, FoldPosition, FoldStep, StoredFold
from monitor.drift.stream import Decision
from monitor.drift.versions import Key, VersionLaws

FOLD_PLACES = 20_000  # places folded in one transaction, at most
FOLD_SECONDS = 5.0  # after which a step ends with the entry at hand: no step may outlast the lease
LATE_SECONDS = 10.0  # between two looks at labels that may be enough for a law
VERSION_SECONDS = 2.0  # between two looks at which versions are written
FOLD_OUTCOMES = 100  # after which it ends too: each alarm reads the log since its onset
log = structlog.get_logger(__name__)


class FoldStore(LabelLog, ProbeLog, FeedbackLog, Protocol):
    """The log and what is made of it. Every method raises `Unavailable` where the store is away."""

    def place_entries(self) -> LogEnd:
        """Give new entries their place, in commit order; return how far the log is placed."""
        ...

    def entries(self, start: FoldPosition, *, max_places: int) -> Iterator[PlacedEntry]:
        """Yield the entries from *start* on, in order, that begin less than *max_places* after it."""
        ...

    def placed_traces(self) -> int:
        """Return how many traces have a place."""
        ...

    def place_of_trace(self, number: int) -> int:
        """Return the place of trace *number*, counted from 0 over the log's traces alone.

        Raises `InvalidInput` where the log has forgotten it.
        """
        ...

    def active(self, known: ActiveBaseline | None = None) -> ActiveBaseline | None:
        """Return the active baseline; *known* itself, unread, where it is that one as it stands."""
        ...

    def freeze(
        self, baseline: Baseline, *, by: str, note: str, only_first: bool = False, instead_of: int | None = None
    ) -> ActiveBaseline:
        """Make *baseline* the active one; alarms of the one before are superseded.

        Where *only_first* is set and one is active already, that one stays and is returned; so does one that has
        taken the place of *instead_of*.
        """
        ...

    def extend(self, active: ActiveBaseline, baseline: Baseline) -> ActiveBaseline:
        """Add the laws that *baseline* has and *active* lacks; return what is active then, which may be another."""
        ...

    def adopt(self, active: ActiveBaseline, baseline: Baseline, step: FoldStep) -> ActiveBaseline | None:
        """Commit the laws that *baseline* adds to *active* with the *step* that their streams took.

        Return what is active then; None, and nothing is done, where *active* is not that any more. Raises `Fenced`
        as `save_fold` does.
        """
        ...

    def began(self, key: Key, *, since: int) -> int | None:
        """Return the place at or after *since* with which a version came; None where no placed entry holds it."""
        ...

    def position_at(self, place: int) -> FoldPosition:
        """Return where a fold begins whose first place is *place*."""
        ...

    def load_fold(self, baseline_id: int) -> StoredFold: ...

    def save_fold(self, step: FoldStep) -> None:
        """Commit *step* in one transaction; raises `Fenced` where another leader folded meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class ControllerRules:
    fold: FoldRules
    baseline_traces: int  # 0: an operator freezes the first baseline
    null_rule: NullRule
    incidents: IncidentRule = field(default_factory=IncidentRule)
    baseline_labels: int = 500  # from which a rate that labels tell has a law
    baseline_outcomes: int = 200  # from which a suite of probes has one


@dataclass(frozen=True, slots=True)
class Tick:
    """What the controller saw and did."""

    places: int  # placed
    folded: int  # next place of the fold; equals `places` when it has caught up
    at: datetime | None  # the log's time up to which it is folded
    alarms: tuple[Alarm, ...]
    statuses: tuple[StreamStatus, ...]


class Controller:
    """One leader's loop body. After any exception the next tick begins from what is stored."""

    def __init__(
        self,
        store: FoldStore,
        rules: ControllerRules,
        *,
        versions: VersionLaws | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._active: ActiveBaseline | None = None
        self._fold: Fold | None = None
        self._position = FoldPosition(1, 0)
        self._late = LateLaws(rules.null_rule, rules.baseline_labels, rules.baseline_outcomes)
        self._late_at = -LATE_SECONDS
        self._versions = versions
        self._versions_at = -VERSION_SECONDS
        self._catching: CatchUp | None = None

    def tick(self) -> Tick:
        """Fold what is new, a step at most: whoever folds a long history again must hear of a stop."""
        end = self._store.place_entries()
        active = self._store.active(self._active) or self._freeze_first()
        if active is not None and active.baseline.outdated:
            active = self._freeze_again(active)
        if active is not None and self._clock() >= self._late_at + LATE_SECONDS:
            active = self._extend(active)
        if active is None:
            return Tick(end.next_place, end.next_place, None, (), ())
        if self._fold is None or active is not self._active:
            self._load(active)
        alarms = [] if self._versions is None else self._follow_versions(active, self._versions)
        alarms += self._advance() if self._position.next_sequence < end.next_sequence else []
        for alarm in alarms:
            log.warning("alarm", signal=alarm.stream.signal, severity=alarm.severity, direction=alarm.direction)
        assert self._fold is not None
        return Tick(end.next_place, self._position.next_place, self._fold.at, tuple(alarms), self._statuses())

    def _freeze_first(self) -> ActiveBaseline | None:
        """Freeze the first traces; twice as many, and so on, where they are repeats that tell of no signal."""
        traces = self._rules.baseline_traces
        while 0 < traces <= self._store.placed_traces():
            stop = self._store.place_of_trace(traces - 1) + 1
            baseline = freeze_window(self._store, self._rules.null_rule, first_place=0, stop_place=stop)
            if baseline.signals:
                note = f"the first {traces} traces"
                active = self._store.freeze(baseline, by="controller", note=note, only_first=True)
                log.info("baseline_frozen", baseline=active.baseline_id, traces=traces)
                return active
            traces *= 2
        return None

    def _freeze_again(self, active: ActiveBaseline) -> ActiveBaseline:
        """Make the laws of an earlier release's baseline anew, from the same window of the log."""
        window = active.baseline
        baseline = freeze_window(
            self._store, self._rules.null_rule, first_place=window.first_place, stop_place=window.stop_place
        )
        note = f"baseline {active.baseline_id} again, as this release reads it"
        log.info("baseline_frozen_again", baseline=active.baseline_id)
        return self._store.freeze(baseline, by="controller", note=note, instead_of=active.baseline_id)

    def _extend(self, active: ActiveBaseline) -> ActiveBaseline:
        """Add the laws of what labels and probes tell, once enough of them are there."""
        self._late_at = self._clock()
        late, baseline = self._late, active.baseline
        laws = [*late.of(baseline, self._store), *late.of_probes(baseline, self._store)]
        laws += late.of_feedback(baseline, self._store)
        if not laws:
            return active
        log.info("late_laws_frozen", baseline=active.baseline_id, signals=sorted({law.signal for law in laws}))
        return self._store.extend(active, active.baseline.extended(laws))

    def _load(self, active: ActiveBaseline) -> None:
        stored = self._store.load_fold(active.baseline_id)
        fold = Fold(active.baseline, self._rules.fold)
        fold.at = stored.at
        restore(fold, stored.streams)
        self._fold, self._active, self._position = fold, active, stored.position

    def _follow_versions(self, active: ActiveBaseline, versions: VersionLaws) -> list[Alarm]:
        """Give versions without a law one, and fold what they have written so far; return what that raises."""
        if self._catching is not None and self._catching.active.baseline_id != active.baseline_id:
            self._catching = None
        if self._catching is None:
            if self._clock() >= self._versions_at + VERSION_SECONDS:
                self._versions_at = self._clock()
                versions.look(active)
            laws = versions.advance(active)
            if not laws:
                return []
            stop = active.baseline.stop_place
            since = {law.key: max(stop, law.since) for law in laws}
            began = [place for key in since if (place := self._store.began(key, since=since[key])) is not None]
            first = min(began, default=self._position.next_place)
            self._catching = CatchUp(active, laws, self._rules.fold, self._store, first_place=first)
        until = self._clock() + FOLD_SECONDS
        if not self._catching.advance(self._position, is_over=lambda: self._clock() >= until):
            return []
        return self._adopt(active, self._catching)

    def _adopt(self, active: ActiveBaseline, caught_up: CatchUp) -> list[Alarm]:
        decisions = in_fold_order(outcome for outcome in caught_up.outcomes if isinstance(outcome, Decision))
        alarms = [describe(decision, caught_up.baseline, self._store) for decision in decisions]
        step = FoldStep(
            baseline_id=active.baseline_id,
            start=self._position,
            stop=self._position,
            streams=caught_up.streams(),
            alarms=alarms,
            recoveries=[outcome for outcome in caught_up.outcomes if isinstance(outcome, Recovery)],
            filing=self._rules.incidents.file,
            days=caught_up.days(),
        )
        adopted = self._store.adopt(active, active.baseline.extended(caught_up.laws), step)
        if adopted is None:  # it has been given other laws meanwhile: the next tick knows them
            return []
        self._catching = None
        log.info("version_laws_frozen", baseline=active.baseline_id, versions=[law.key for law in caught_up.laws])
        self._load(adopted)
        return alarms

    def _advance(self) -> list[Alarm]:
        """Fold a step; what fails leaves no half-folded state behind."""
        fold, self._fold = self._fold, None
        assert fold is not None
        assert self._active is not None
        before, stop = dict(fold.streams), self._position
        outcomes: list[Decision | Recovery] = []
        until = self._clock() + FOLD_SECONDS
        for entry in self._store.entries(self._position, max_places=FOLD_PLACES):
            outcomes += fold.add(entry)
            stop = FoldPosition(entry.sequence + 1, entry.first_place + entry.places)
            if self._clock() >= until or len(outcomes) >= FOLD_OUTCOMES:
                break
        decisions = in_fold_order(outcome for outcome in outcomes if isinstance(outcome, Decision))
        alarms = [describe(decision, fold.baseline, self._store) for decision in decisions]
        changed = {key: stream for key, stream in fold.streams.items() if before.get(key) is not stream}
        step = FoldStep(
            baseline_id=self._active.baseline_id,
            start=self._position,
            stop=stop,
            streams=store(fold, changed),
            alarms=alarms,
            recoveries=[outcome for outcome in outcomes if isinstance(outcome, Recovery)],
            filing=self._rules.incidents.file,
            days=fold.days.take((key, stream.day) for key, stream in changed.items()),
        )
        self._store.save_fold(step)
        self._fold, self._position = fold, stop
        for recovery in step.recoveries:
            log.info("alarm_recovered", signal=recovery.stream.signal, place=recovery.place)
        return alarms

    def _statuses(self) -> tuple[StreamStatus, ...]:
        fold = self._fold
        assert fold is not None
        beside = Beside(fold.baseline)
        return tuple(
            status
            for key, stream in sorted(fold.streams.items())
            if (
                status := beside.status(
                    key, StreamNumbers(stream.observations, stream.mean, stream.last_timestamp, fold.evidence_log(key))
                )
            )
            is not None
        )


def freeze_window(store: ObservationLog, rule: NullRule, *, first_place: int, stop_place: int) -> Baseline:
    """Build a baseline from the log's own observations: of what is on, and is known as soon as a trace is."""
    batches = store.window(first_place, stop_place)
    held = (batch for batch in batches if rule.signals.holds(batch.series.signal, batch.series.scorer_version))
    windows = windows_of(held, rule.signals.at_once)
    subjects = store.subjects(first_place, stop_place)
    return build_baseline(windows, rule, first_place=first_place, stop_place=stop_place, subjects=subjects)
