"""Cohorts by signals: where the evidence lies, as an overview that stays readable for a thousand cohorts."""

from __future__ import annotations

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from monitor.domain.alarm import AlarmKind, AlarmState, Direction, Severity
from monitor.domain.cohort import ALL
from monitor.domain.stream import StreamKey, StreamNumbers, StreamStatus
from monitor.drift.baseline import ANY_POLICY
from monitor.drift.status import Beside
from monitor.drift.stored import ActiveBaseline
from monitor.signals.table import SIGNALS

NEAR = 0.7  # of the evidence that an alarm takes
QUIET = timedelta(hours=1)  # without an observation for so long, while others have some
NO_ALARM = 3  # the least urgent rank
DIGITS = 4  # of a number in a cell; the streams themselves have the rest

Series = tuple[str, str, str]  # signal, policy model, scorer


class CellState(StrEnum):
    """What a row can be asked for: one of its cells, or its cohort, is in this state."""

    ALARM = "alarm"  # its stream has an alarm that is live, whatever people said to it
    OPEN = "open"  # nobody has said anything to that alarm
    NEAR = "near"  # no alarm, and most of the evidence for one
    QUIET = "quiet"  # no observation for an hour, while others had some
    UNSTEADY = "unsteady"  # it raises warnings alone


@dataclass(frozen=True, slots=True)
class LiveAlarm:
    alarm_id: int
    stream: StreamKey
    kind: AlarmKind
    state: AlarmState
    severity: Severity
    direction: Direction | None
    effect: float | None  # since its onset, in the signal's unit


@dataclass(frozen=True, slots=True)
class Mark:
    """A live alarm, as it stands in a cell, or beside a cohort's name where it is about no signal."""

    alarm_id: int
    kind: AlarmKind
    state: AlarmState
    severity: Severity


@dataclass(frozen=True, slots=True)
class Cell:
    """A cohort's most telling stream of one signal."""

    signal: str
    policy_model: str
    scorer_version: str
    evidence: float | None  # log e / log A, 1 is the alarm; None: none at all
    effect: float | None  # of the alarm since its onset, else the mean less the baseline's, in the signal's unit
    direction: Direction | None
    observations: int
    mean: float
    baseline_mean: float
    last_timestamp: datetime | None = None  # of one that is quiet; the others have theirs within the hour
    stream_id: int | None = None  # of its page; None: it has none yet
    alarm: Mark | None = None
    is_steady: bool = True
    is_quiet: bool = False
    is_retired: bool = False
    others: int = 0  # further streams of this signal in this cohort, with less to say

    @property
    def rank(self) -> tuple[int, float]:
        """Order by what matters: an alarm, then evidence."""
        return rank_of(self.alarm), -(self.evidence or 0.0)

    def states(self) -> set[CellState]:
        found = states_of(self.alarm)
        if self.alarm is None and (self.evidence or 0.0) >= NEAR:
            found.add(CellState.NEAR)
        if self.is_quiet:
            found.add(CellState.QUIET)
        if not self.is_steady:
            found.add(CellState.UNSTEADY)
        return found


@dataclass(frozen=True, slots=True)
class Column:
    signal: str
    unit: str


@dataclass(frozen=True, slots=True)
class Row:
    cohort: str
    alarms: tuple[Mark, ...]  # about the cohort and no signal of it: nothing comes, or nobody watches
    cells: tuple[Cell, ...]  # a signal that has none is left out

    def states(self) -> set[CellState]:
        return set().union(*map(states_of, self.alarms), *(cell.states() for cell in self.cells))

    @property
    def rank(self) -> tuple[bool, int, float, str]:
        """The roll-up first; evidence in tenths, so that rows do not change places all the time."""
        marks = [*self.alarms, *(cell.alarm for cell in self.cells)]
        evidence = max((cell.evidence or 0.0 for cell in self.cells), default=0.0)
        return self.cohort != ALL, min(map(rank_of, marks), default=rank_of(None)), -round(evidence, 1), self.cohort


@dataclass(frozen=True, slots=True)
class View:
    """What of the heatmap is looked at."""

    signals: frozenset[str] = frozenset()  # empty: every one
    states: frozenset[CellState] = frozenset()  # a row has a cell in one of them; empty: whatever its cells are in
    cohort: str = ""  # is in the cohort's name, whatever its case
    model: str = ""  # policy model; empty: any
    retired: bool = False  # with series that nothing comes to any more
    page: int = 1
    size: int = 40


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A page of cohorts by signals, what matters first."""

    signals: tuple[Column, ...]
    rows: tuple[Row, ...]
    page: int  # from 1; the last one where there are not so many
    pages: int
    found: int  # cohorts in the view, the roll-up among them
    cohorts: int  # there are
    all_signals: tuple[str, ...]  # to choose from
    all_models: tuple[str, ...]
    states: Mapping[CellState, int]  # rows that have each, of the view as it would be with any state
    retired: int  # streams that are folded away, or would be
    newest: datetime | None  # observation of any stream


@dataclass(frozen=True, slots=True)
class StreamRows:
    """What a heatmap is made of, as of one moment."""

    active: ActiveBaseline | None
    numbers: Mapping[StreamKey, StreamNumbers]
    alarms: Sequence[LiveAlarm]
    champion: str | None  # the reward model that scores


class StreamRowStore(Protocol):
    """Where streams and alarms are kept. Every method raises `Unavailable` where that is away."""

    def version(self) -> str:
        """Return a text that differs whenever `rows` would."""
        ...

    def rows(self, known: ActiveBaseline | None) -> StreamRows: ...


class Heatmaps:
    """The heatmap of the active baseline, made again when something has changed; may be asked from many threads."""

    def __init__(self, store: StreamRowStore) -> None:
        self._store = store
        self._made: tuple[str, Table] | None = None
        self._known: ActiveBaseline | None = None
        self._beside: Beside | None = None
        self._making = threading.Lock()

    def heatmap(self, view: View) -> Heatmap:
        version = self._store.version()  # before the rows: what changes meanwhile is made again
        with self._making:
            made = self._made
            if made is None or made[0] != version:
                made = self._made = (version, self._make())
        return made[1].show(view)

    def _make(self) -> Table:
        rows = self._store.rows(self._known)
        self._known = rows.active
        if rows.active is None:
            return Table((), rows.alarms, champion=rows.champion)
        beside = self._beside
        if beside is None or beside.baseline is not rows.active.baseline:
            beside = self._beside = Beside(rows.active.baseline)
        found = (beside.status(key, numbers) for key, numbers in rows.numbers.items())
        return Table([status for status in found if status is not None], rows.alarms, champion=rows.champion)


class Table:
    """Every stream as a cell, by cohort."""

    def __init__(self, statuses: Sequence[StreamStatus], alarms: Iterable[LiveAlarm], *, champion: str | None) -> None:
        self._marks = defaultdict[str, list[Mark]](list)
        live: dict[StreamKey, LiveAlarm] = {}
        for alarm in alarms:
            if alarm.kind.tells_of_absence:
                self._marks[alarm.stream.cohort].append(mark_of(alarm))
            elif alarm.stream not in live or rank_of(mark_of(alarm)) < rank_of(mark_of(live[alarm.stream])):
                live[alarm.stream] = alarm
        self._newest = max((status.last_timestamp for status in statuses), default=None)
        retired = retired_series(statuses, champion)
        self._cells = defaultdict[str, list[Cell]](list)
        self._units: dict[str, str] = {}
        for status in statuses:
            found = live.get(status.key)
            cell = cell_of(status, found, quiet_before=(self._newest or status.last_timestamp) - QUIET)
            gone = found is None and series_of(status.key) in retired  # what has an alarm is never folded away
            self._cells[status.key.cohort].append(replace(cell, is_retired=True) if gone else cell)
            self._units[status.key.signal] = status.unit

    def show(self, view: View) -> Heatmap:
        wanted = view.cohort.strip().casefold()
        names = {name for name in self._cells.keys() | self._marks.keys() if wanted in shown_name(name).casefold()}
        narrowed = bool(view.signals or view.model)
        rows = [self._row(name, view, narrowed=narrowed) for name in names]
        rows = [row for row in rows if row.cells or row.alarms]
        states = Counter(state for row in rows for state in row.states())
        if view.states:
            rows = [row for row in rows if row.states() & view.states]
        rows.sort(key=lambda row: row.rank)
        pages = max(1, math.ceil(len(rows) / view.size))
        page = min(view.page, pages)
        present = {cell.signal for row in rows for cell in row.cells}
        everything = [cell for cells in self._cells.values() for cell in cells]
        return Heatmap(
            signals=tuple(Column(name, self._units[name]) for name in in_order(present)),
            rows=tuple(map(rounded, rows[(page - 1) * view.size : page * view.size])),
            page=page,
            pages=pages,
            found=len(rows),
            cohorts=len(self._cells.keys() - {ALL}),
            all_signals=tuple(in_order(self._units)),
            all_models=tuple(
                sorted({cell.policy_model for cell in everything if not cell.is_retired or view.retired} - {ANY_POLICY})
            ),
            states=states,
            retired=sum(cell.is_retired for cell in everything),
            newest=self._newest,
        )

    def _row(self, cohort: str, view: View, *, narrowed: bool) -> Row:
        best: dict[str, Cell] = {}
        others = Counter[str]()
        for cell in self._cells.get(cohort, ()):
            if cell.is_retired and not view.retired:
                continue
            if view.signals and cell.signal not in view.signals:
                continue
            if view.model and cell.policy_model not in {view.model, ANY_POLICY}:
                continue
            others[cell.signal] += 1
            if cell.signal not in best or telling(cell) < telling(best[cell.signal]):
                best[cell.signal] = cell
        cells = [replace(cell, others=others[name] - 1) if others[name] > 1 else cell for name, cell in best.items()]
        marks = () if narrowed else tuple(self._marks.get(cohort, ()))
        return Row(cohort, marks, tuple(cells))


def telling(cell: Cell) -> tuple[bool, bool, int, float]:
    """Order the streams of one signal in one cohort: what counts now, and has news, leads."""
    rank, evidence = cell.rank
    return cell.is_retired, rank == NO_ALARM and cell.is_quiet, rank, evidence


def retired_series(statuses: Iterable[StreamStatus], champion: str | None) -> set[Series]:
    """Return the series that nothing comes to any more: another scorer took over, or another policy model did.

    A series is judged beside those of its own signal, for labels come days after their traces.
    """
    last: dict[Series, datetime] = {}
    for status in statuses:
        series = series_of(status.key)
        last[series] = max(last.get(series, status.last_timestamp), status.last_timestamp)
    newest: dict[str, datetime] = {}
    for (signal, _, _), at in last.items():
        newest[signal] = max(newest.get(signal, at), at)
    silent = {series for series, at in last.items() if newest[series[0]] - at > QUIET}
    replaced = {series for series in last if series[2] != champion and (*series[:2], champion) in last}
    return silent | replaced


def cell_of(status: StreamStatus, alarm: LiveAlarm | None, *, quiet_before: datetime) -> Cell:
    own = status.mean - status.baseline_mean
    effect = alarm.effect if alarm is not None and alarm.effect is not None else own
    direction = alarm.direction if alarm is not None else None
    if direction is None and effect != 0.0:
        direction = Direction.UP if effect > 0.0 else Direction.DOWN
    return Cell(
        signal=status.key.signal,
        policy_model=status.key.policy_model,
        scorer_version=status.key.scorer_version,
        evidence=status.evidence_log if math.isfinite(status.evidence_log) else None,
        effect=effect,
        direction=direction,
        observations=status.observations,
        mean=status.mean,
        baseline_mean=status.baseline_mean,
        last_timestamp=status.last_timestamp if status.last_timestamp < quiet_before else None,
        stream_id=status.stream_id,
        alarm=None if alarm is None else mark_of(alarm),
        is_steady=status.is_steady,
        is_quiet=status.last_timestamp < quiet_before,
    )


def rank_of(mark: Mark | None) -> int:
    """Order alarms by urgency: open alerts, open warnings, what somebody has dealt with, none."""
    if mark is None:
        return NO_ALARM
    if mark.state is not AlarmState.OPEN:
        return 2
    return 0 if mark.severity is Severity.ALERT else 1


def states_of(mark: Mark | None) -> set[CellState]:
    if mark is None:
        return set()
    return {CellState.ALARM, CellState.OPEN} if mark.state is AlarmState.OPEN else {CellState.ALARM}


def mark_of(alarm: LiveAlarm) -> Mark:
    return Mark(alarm.alarm_id, alarm.kind, alarm.state, alarm.severity)


def series_of(key: StreamKey) -> Series:
    return key.signal, key.policy_model, key.scorer_version


def shown_name(cohort: str) -> str:
    return "all cohorts" if cohort == ALL else cohort


def in_order(signals: Iterable[str]) -> list[str]:
    """Return *signals* in the order of the program's own table, then those of users by name."""
    order = {name: number for number, name in enumerate(SIGNALS)}
    return sorted(signals, key=lambda name: (order.get(name, len(order)), name))


def rounded(row: Row) -> Row:
    """Return *row* with as many digits as anybody reads: a page has hundreds of such numbers."""
    return replace(row, cells=tuple(map(_rounded, row.cells)))


def _rounded(cell: Cell) -> Cell:
    return replace(
        cell,
        evidence=None if cell.evidence is None else round(cell.evidence, 3),
        effect=None if cell.effect is None else significant(cell.effect),
        mean=significant(cell.mean),
        baseline_mean=significant(cell.baseline_mean),
    )


def significant(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
