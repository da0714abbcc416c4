"""The curves of an alarm: its stream's mean beside the baseline's, its evidence, and its cohorts over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Alarm, AlarmKind, StoredAlarm
from monitor.domain.cohort import ALL, OTHER
from monitor.domain.observation import EPOCH, LogEnd, Moment, ObservationBatch, PlacedEntry
from monitor.domain.stream import StreamKey, StreamNumbers
from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.diagnosis import read_since
from monitor.drift.explain import CohortPart, cohort_parts
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.log import Excerpt, excerpt_of
from monitor.drift.refold import WARM_PLACES, ReadableLog, entries_upto, part_of
from monitor.drift.sentence import since_of
from monitor.drift.status import status_by_law
from monitor.drift.stream import TIERS
from monitor.drift.summary import in_unit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
PLOT_PLACES = 20_000  # of the log that curves are drawn over, at most
FOLD_PLACES = 20_000  # behind the baseline, up to which the evidence is folded from its end
LEAST_AROUND, MOST_BEFORE, MOST_AFTER = 500, 5_000, 10_000  # places drawn before an onset, and after its alarm
POINTS = 120  # of one curve, at most
LEAST_POINT, LEAST_WINDOW, WINDOWS = 20, 40, 12  # a curve's first point is of so many observations; the others of more
LINES = 4  # policy models, the alarm's own first
COHORTS, CELLS = 20, 24
LATE, MAX_NEWCOMERS = 0.05, 8  # of the stretch, after which a model is a newcomer; how many are told
LEAST_IN_CELL = 3  # observations


class CurveLog(ReadableLog, Protocol):
    """The log, as curves are drawn from it."""

    @property
    def end(self) -> LogEnd:
        """How far the log is placed."""
        ...

    def moments(self, places: Sequence[int]) -> Sequence[Moment]:
        """Return both times of *places*, in the order asked for; those that are forgotten are left out."""
        ...


@dataclass(frozen=True, slots=True)
class Point:
    place: int  # of the last observation in it
    value: float


@dataclass(frozen=True, slots=True)
class Line:
    """The mean of the latest `window` observations of a policy model, or of fewer at its beginning."""

    policy_model: str
    window: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """The baseline's mean, two standard errors to either side, and what is accepted beyond."""

    mean: float
    lower: float
    upper: float
    accepted_lower: float
    accepted_upper: float


@dataclass(frozen=True, slots=True)
class EvidenceCurve:
    """The stream's evidence as the share of what the alarm's severity takes: 1 is the alarm."""

    points: tuple[Point, ...]
    whole: bool  # folded from the baseline's end; else from shortly before, from where it counts anew
    agrees: bool | None  # with the evidence that the alarm was raised on; None where it was not counted whole


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One cohort beside its own baseline, over equal stretches of the log."""

    cohort: str
    part: CohortPart  # in the effect
    usual: float
    cells: tuple[float | None, ...]  # how far its mean lies from `usual`; None: too few observations


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A policy model that came while the curves were going on."""

    policy_model: str
    place: int  # of its first observation


@dataclass(frozen=True, slots=True)
class Curves:
    """What a page draws of an alarm; everything lies on the places first <= place < stop."""

    first_place: int
    stop_place: int
    until_now: bool  # False: the log goes on after it
    unit: str
    band: Band | None
    lines: tuple[Line, ...]
    newcomers: tuple[Newcomer, ...]
    evidence: EvidenceCurve | None  # None: the log has forgotten it
    edges: tuple[int, ...]  # of the cohorts' cells, one more than they are
    cohorts: tuple[CohortRow, ...]  # by contribution
    moments: tuple[Moment, ...]  # of every place named here


def stretch_of(alarm: Alarm, *, recovered: int | None, end: int) -> tuple[int, int]:
    """Return the places that are drawn: from before the onset to after the alarm, `PLOT_PLACES` at most."""
    around = max(2 * (alarm.place - alarm.onset_place), LEAST_AROUND)
    stop = min(max(recovered or 0, alarm.place) + max(around, MOST_AFTER // 2), alarm.place + MOST_AFTER, end)
    first = max(alarm.onset_place - min(around, MOST_BEFORE), stop - PLOT_PLACES, 0)
    return first, max(stop, first + 1)


def draw(stored: StoredAlarm, baseline: Baseline | None, log: CurveLog, rules: FoldRules) -> Curves | None:
    """Draw *stored* from the log; None where it is no matter of evidence, or its baseline cannot be read."""
    alarm = stored.alarm
    if alarm.kind not in {AlarmKind.DRIFT, AlarmKind.INPUT_SHIFT} or baseline is None or baseline.outdated:
        return None
    end = log.end.next_place
    first, stop = stretch_of(alarm, recovered=stored.recovered_place, end=end)
    law = baseline.get(alarm.stream.signal, alarm.stream.scorer_version)
    evidence = fold_evidence(alarm, baseline, rules, log, first=first, stop=stop)
    drawn = Curves(first, stop, stop == end, "", None, (), (), evidence, (), (), ())
    if law is not None and alarm.kind is AlarmKind.DRIFT:
        batches = list(log.window(first, stop, {alarm.stream.signal}))
        edges = np.unique(np.linspace(first, stop, CELLS + 1).astype(np.int64))
        parts = parts_of(alarm, baseline, log) if alarm.stream.cohort == ALL else ()
        drawn = replace(
            drawn,
            unit=law.unit,
            band=band_of(law, alarm.stream),
            lines=lines_of(batches, alarm.stream, law),
            newcomers=newcomers_of(batches, alarm.stream, first, stop),
            edges=tuple(edges.tolist()) if parts else (),
            cohorts=cohort_rows(batches, alarm.stream, law, parts=parts, edges=edges),
        )
    named = {first, stop - 1, alarm.onset_place, alarm.place, *(min(edge, stop - 1) for edge in drawn.edges)}
    curves = [line.points for line in drawn.lines] + ([] if evidence is None else [evidence.points])
    named |= {newcomer.place for newcomer in drawn.newcomers}
    named |= {point.place for points in curves for point in points}
    return replace(drawn, moments=tuple(log.moments(sorted(place for place in named if first <= place < stop))))


def band_of(law: SignalBaseline, stream: StreamKey) -> Band:
    nothing = StreamNumbers(0, 0.0, EPOCH, 0.0)
    status = status_by_law(stream, law, nothing)
    strata, window = law.for_policy(stream.policy_model), law.law()
    chosen = [strata[stream.cohort]] if stream.cohort in strata else list(strata.values())
    total = sum(row.observations for row in chosen)
    up = sum(row.observations * in_unit(law, window, row, row.tolerance_up) for row in chosen) / total
    down = sum(row.observations * in_unit(law, window, row, -row.tolerance_down) for row in chosen) / total
    return Band(
        mean=status.baseline_mean,
        lower=status.baseline_lower,
        upper=status.baseline_upper,
        accepted_lower=status.baseline_lower + down,
        accepted_upper=status.baseline_upper + up,
    )


def lines_of(batches: Sequence[ObservationBatch], stream: StreamKey, law: SignalBaseline) -> tuple[Line, ...]:
    """Return the stream's own line first, then those of the models that were observed most beside it."""
    seen: Counter[str] = Counter()
    for batch in batches:
        if batch.belongs_to(replace(stream, policy_model=OTHER)):
            seen[batch.series.policy_model] += len(batch.values)
    others = [name for name, _ in seen.most_common() if stream.policy_model not in {name, OTHER}]
    named = [stream.policy_model, *others[: LINES - 1]]
    lines = (line_of(excerpt_of(batches, replace(stream, policy_model=name)), name, law) for name in named)
    return tuple(line for line in lines if line.points)


def newcomers_of(batches: Sequence[ObservationBatch], stream: StreamKey, first: int, stop: int) -> tuple[Newcomer, ...]:
    """Return the models that are not there in the first part of the stretch, and come later."""
    came: dict[str, int] = {}
    for batch in batches:
        if len(batch.places) and batch.belongs_to(replace(stream, policy_model=OTHER)):
            model, place = batch.series.policy_model, int(batch.places[0])
            came[model] = min(place, came.get(model, place))
    later = (Newcomer(model, place) for model, place in came.items() if place > first + LATE * (stop - first))
    return tuple(sorted(later, key=lambda newcomer: newcomer.place)[:MAX_NEWCOMERS])


def line_of(found: Excerpt, policy_model: str, law: SignalBaseline) -> Line:
    """Return the moving mean of an excerpt, values beyond the law's bounds counted as its ends."""
    values, count = np.clip(found.values, *law.bounds), len(found.values)
    window = max(LEAST_WINDOW, count // WINDOWS)
    if count < LEAST_POINT:
        return Line(policy_model, window, ())
    sums = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.unique(np.linspace(LEAST_POINT, count, POINTS).astype(np.int64))
    means = (sums[ends] - sums[np.maximum(ends - window, 0)]) / np.minimum(ends, window)
    points = (Point(int(place), float(mean)) for place, mean in zip(found.places[ends - 1], means, strict=True))
    return Line(policy_model, window, tuple(points))


def parts_of(alarm: Alarm, baseline: Baseline, log: CurveLog) -> tuple[CohortPart, ...]:
    decision = since_of(alarm)
    if decision is None:
        return ()
    since = read_since(decision, baseline, log)
    return tuple(cohort_parts(since, decision)) if len(since) else ()


def cohort_rows(
    batches: Sequence[ObservationBatch],
    stream: StreamKey,
    law: SignalBaseline,
    *,
    parts: Sequence[CohortPart],
    edges: Integers,
) -> tuple[CohortRow, ...]:
    """Return the cohorts that the effect is made of, by contribution, each beside its own baseline."""
    strata = law.for_policy(stream.policy_model)
    found = excerpt_of(batches, replace(stream, cohort=ALL, policy_model=OTHER))
    names, values = np.asarray(found.cohorts, dtype=np.str_), np.clip(found.values, *law.bounds)
    cells = np.searchsorted(edges, found.places, side="right") - 1
    rows = []
    for part in [part for part in parts if part.cohort in strata][:COHORTS]:
        own, usual = names == part.cohort, strata[part.cohort].mean
        counts = np.bincount(cells[own], minlength=len(edges) - 1)
        sums = np.bincount(cells[own], weights=values[own] - usual, minlength=len(edges) - 1)
        means = [float(s / n) if n >= LEAST_IN_CELL else None for s, n in zip(sums, counts, strict=True)]
        rows.append(CohortRow(part.cohort, part, usual, tuple(means)))
    return tuple(rows)


def fold_evidence(
    alarm: Alarm, baseline: Baseline, rules: FoldRules, log: ReadableLog, *, first: int, stop: int
) -> EvidenceCurve | None:
    """Fold the alarm's one stream again up to *stop*; None where the log has forgotten it.

    From the baseline's end, or where that lies far behind from shortly before *first*. What was gathered before
    is then not counted; evidence only adds up, so the curve is a lower bound.
    """
    start = baseline.stop_place
    if stop - start > FOLD_PLACES:
        start = max(start, first - WARM_PLACES)
    fold, whole, points, decided = Fold(baseline, rules), None, [], None
    for entry in entries_upto(log, log.position_at(start), stop - 1):
        if whole is None:
            whole = start == baseline.stop_place and entry.first_place <= start
        for part in cut(only(entry, alarm.stream), start=start, first=first, stop=stop, alarm_place=alarm.place):
            fold.add(part)
            at = part.first_place + part.places - 1
            value = share_of(fold, alarm)
            if value is None:
                continue
            if at == alarm.place:
                decided = value
            if at >= first:
                points.append(Point(at, value))
    if not points:
        return None
    agrees = None
    if whole and decided is not None and alarm.evidence_log is not None:
        agrees = abs(decided - alarm.evidence_log) < 1e-6
    return EvidenceCurve(tuple(thinned(points, keep=alarm.place)), bool(whole), agrees)


def only(entry: PlacedEntry, stream: StreamKey) -> PlacedEntry:
    """Return *entry* with the observations that *stream* reads alone; what was asked stays whole."""
    return replace(entry, observations=tuple(batch for batch in entry.observations if batch.belongs_to(stream)))


def cut(entry: PlacedEntry, *, start: int, first: int, stop: int, alarm_place: int) -> Iterator[PlacedEntry]:
    """Yield *entry* whole, or on the plot in pieces, one of which ends with the alarm's place."""
    begin, end = max(entry.first_place, start), entry.first_place + entry.places
    if not entry.places:
        yield entry
        return
    step = max((stop - first) // POINTS, 1)
    marks = {end, alarm_place + 1, *range(first, stop, step)}
    for mark in sorted(mark for mark in marks if begin < mark <= end):
        yield part_of(entry, begin, mark)
        begin = mark


def share_of(fold: Fold, alarm: Alarm) -> float | None:
    """Return the stream's evidence by what the alarm's severity takes; None before its first observation."""
    stream, detector = fold.streams.get(alarm.stream), fold.detector(alarm.stream)
    if stream is None or detector is None:
        return None
    tier = min(TIERS.index(alarm.severity), detector.tiers - 1)
    log_e = float(detector.log_e(stream.evidence)[tier])
    return max(log_e / float(np.log(fold.days.thresholds(stream.day)[alarm.severity])), 0.0)


def thinned(points: Sequence[Point], *, keep: int) -> list[Point]:
    """Return at most `POINTS` of *points* and one more, the last and that at the place *keep* among them."""
    step = max(-(-len(points) // POINTS), 1)
    return [point for at, point in enumerate(reversed(points)) if at % step == 0 or point.place == keep][::-1]
