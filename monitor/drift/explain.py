"""An alarm made again from the log: what decided, what it had to exceed, and who contributed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.domain.alarm import Alarm, AlarmKind, Decomposition, Direction, Effect, Severity, StoredAlarm
from monitor.domain.cohort import ALL, OTHER
from monitor.domain.covariates import Covariates
from monitor.domain.incident import LikelyCause, likely_causes
from monitor.drift.asked import read_asked, shift_key
from monitor.drift.baseline import Baseline, SignalBaseline, Stratum
from monitor.drift.diagnosis import Since, read_since
from monitor.drift.fold import FoldRules
from monitor.drift.followed import join
from monitor.drift.null import Foretold, Null
from monitor.drift.refold import ReadableLog, Recount, Refolded, compare, refold
from monitor.drift.scale.law import STEPS
from monitor.drift.sentence import levels_of, sentence
from monitor.drift.stream import Decision
from monitor.drift.summary import in_unit

Floats = NDArray[np.float64]
WINDOW_PLACES = 20_000  # of the baseline, in which prompts like an example's are looked for
SINCE_PLACES = 50_000  # before the decision, whose observations are looked at
EXAMPLES, ALIKE = 5, 3
LEAST_ALIKE = 0.2  # Jaccard index of two prompts' words
KINDS = 3


@dataclass(frozen=True, slots=True)
class Margin:
    """What the change had to exceed at the decision, part by part in `unit`, for a mean answer of that cohort.

    The two wanders go in as squares; so the total is less than the sum of the parts.
    """

    unit: str
    error: float  # the window's own: z standard errors
    least: float  # the smallest change that is told
    tolerance: float  # 0 for a warning
    wander: float  # half of tau_t, the wander over time
    kinds: float  # 2 tau_g D_t: how kinds of prompts wander, as far as the mix has moved
    leaning: float  # what the recent prompts may do beyond what they let expect
    total: float
    distance: float  # D_t
    stake: float  # the share of its stakes that was placed on the deciding observation


@dataclass(frozen=True, slots=True)
class KindMove:
    """A kind of prompts: its share among the latest before the decision, and in the baseline."""

    name: str
    of_late: float
    usual: float


@dataclass(frozen=True, slots=True)
class CohortPart:
    """What a cohort's observations since the onset do to the mean."""

    cohort: str
    observations: int
    effect: float  # of its own, beyond what was expected
    contribution: float  # to the stream's; the contributions add up to it


@dataclass(frozen=True, slots=True)
class Alike:
    """A trace of the baseline whose prompt is like an example's."""

    trace_id: str | None
    place: int
    similarity: float  # Jaccard index of the sketches' ids
    value: float


@dataclass(frozen=True, slots=True)
class Example:
    trace_id: str | None
    place: int
    value: float
    expected: float
    alike: tuple[Alike, ...]  # the most alike first


@dataclass(frozen=True, slots=True)
class Coincidence:
    """An input shift that was there at the time."""

    alarm_id: int
    cohort: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What can be said of an alarm today."""

    stored: StoredAlarm
    sentence: str  # since when, from what to what, under which model
    recount: Recount | None  # None: the log has forgotten it, or it is no matter of evidence
    effect: Effect | None
    decomposition: Decomposition | None
    margin: Margin | None
    kinds: tuple[KindMove, ...]  # those that moved most
    cohorts: tuple[CohortPart, ...]  # by their contribution
    causes: tuple[LikelyCause, ...]
    shifts: tuple[Coincidence, ...]
    examples: tuple[Example, ...]


def explain(
    stored: StoredAlarm,
    baseline: Baseline | None,
    log: ReadableLog,
    rules: FoldRules,
    *,
    coincident: Sequence[StoredAlarm] = (),
    max_places: int | None = None,
) -> Explanation:
    """Make *stored* again from the log, under the *baseline* it was raised against.

    A decision that lies more than *max_places* behind the baseline is not folded again from its end.
    """
    alarm = stored.alarm
    known = alarm.kind in {AlarmKind.DRIFT, AlarmKind.INPUT_SHIFT} and baseline is not None and not baseline.outdated
    shifts = [other for other in coincident if other.alarm_id != stored.alarm_id]
    told = Explanation(
        stored=stored,
        sentence=sentence(stored, levels_of(stored, baseline, log)),
        recount=None,
        effect=alarm.effect,
        decomposition=alarm.decomposition,
        margin=None,
        kinds=(),
        cohorts=(),
        causes=likely_causes([stored, *shifts]) if known else (),
        shifts=tuple(
            Coincidence(other.alarm_id, other.alarm.stream.cohort, other.alarm.onset_timestamp, other.alarm.detail)
            for other in shifts
        ),
        examples=(),
    )
    if not known or baseline is None:
        return told
    again = refold(alarm, baseline, rules, log, max_places=max_places)
    if again is None:
        return told
    told = replace(told, recount=compare(alarm, again), kinds=moved_kinds(alarm, baseline, again))
    if alarm.kind is not AlarmKind.DRIFT:
        return told
    decision = decided(alarm, again)
    since, row = read_since(decision, baseline, log), deciding(decision, baseline, again)
    if not len(since):
        return told
    return replace(
        told,
        decomposition=since.decomposition(),
        margin=None if row is None else row.margin(decision),
        cohorts=tuple(cohort_parts(since, decision)),
        examples=tuple(examples_of(since, decision, baseline, log)),
    )


def decided(alarm: Alarm, again: Refolded) -> Decision:
    """Return the decision that *alarm* was made of, with observations of the latest places alone."""
    assert alarm.direction is not None
    assert alarm.evidence_log is not None
    return Decision(
        stream=alarm.stream,
        episode=alarm.episode,
        severity=alarm.severity,
        direction=alarm.direction,
        channel=again.decisions[-1].channel if again.decisions else 0,
        place=alarm.place,
        onset_place=max(alarm.onset_place, alarm.place - SINCE_PLACES),
        observations=alarm.observations,
        evidence_log=alarm.evidence_log,
    )


@dataclass(frozen=True, slots=True)
class Deciding:
    """The observation that decided, and what it was bet on against."""

    law: SignalBaseline
    null: Null
    stratum: Stratum
    prompts: Foretold  # of one row, as the next two
    distance: Floats
    stake: Floats

    def error(self, channel: int, sign: float) -> float:
        """Return the window's own error on *channel* as a shift on the scale's axis, upwards where *sign* is 1."""
        steps = STEPS * self.prompts.spread
        one = np.ones(len(steps))
        location, spread = self.prompts.location * one, self.prompts.spread * one
        means = self.law.scale.expected(location, spread, steps, self.null.law)[:, channel]
        half = self.null.half_width[self.prompts.strata[0], channel]
        return abs(float(np.interp(np.interp(0.0, steps, means) + sign * half, means, steps)))

    def margin(self, decision: Decision) -> Margin:
        up, number = decision.direction is Direction.UP, self.prompts.strata[0]
        sign, widths = (1.0 if up else -1.0), self.null.widths(self.prompts, self.distance)
        error = self.error(decision.channel, sign)
        accepted = (self.null.tolerance_up if up else self.null.tolerance_down)[number]
        tolerance = float(accepted) if decision.severity is Severity.ALERT else 0.0
        leaning, wanders = float((widths.rises if up else widths.falls)[0]), float(widths.wanders[0])

        def told(shift: float) -> float:
            return in_unit(self.law, self.null.law, self.stratum, sign * shift)

        return Margin(
            unit=self.law.unit,
            error=told(error),
            least=told(self.law.scale.least(np.asarray(self.law.quantiles))),
            tolerance=told(tolerance),
            wander=told(float(widths.over_time[0])),
            kinds=told(float(widths.over_kinds[0])),
            leaning=told(leaning),
            total=told(error + tolerance + wanders + leaning),
            distance=float(self.distance[0]),
            stake=float(self.stake[0]),
        )


def deciding(decision: Decision, baseline: Baseline, again: Refolded) -> Deciding | None:
    """Return the observation that decided, as the fold met it; None where the entry does not hold it."""
    key, entry = decision.stream, again.entry
    law = baseline.get(key.signal, key.scorer_version)
    parts = [batch.between(baseline.stop_place) for batch in entry.observations if batch.belongs_to(key)]
    if law is None or not parts:
        return None
    followed = law.followed(key.cohort, key.policy_model)
    if not followed:
        return None
    null, batch = Null.of(law, followed, key.cohort, window=law.law()), join(parts[0].series, parts)
    row_of = np.array([null.rows.get(name, -1) for name in batch.cohorts], dtype=np.int64)[batch.cohort_codes]
    chosen = np.flatnonzero(row_of >= 0)
    rows, places = row_of[chosen], batch.places[chosen]
    asked = read_asked(entry, baseline, again.mixes)
    said, spread = (column[places - entry.first_place] for column in asked.expected(law, entry.places))
    lean, _ = null.leaning(rows, said, again.leans.get(key, 0.0))
    one = np.flatnonzero(places == decision.place)
    if not len(one):
        return None
    distance, stake = asked.of_rows((places - entry.first_place)[one], law)
    prompts = Foretold(rows[one], said[one], null.located(rows, said)[one], spread[one], lean[one])
    return Deciding(law, null, followed[rows[one[0]]], prompts, distance, stake)


def moved_kinds(alarm: Alarm, baseline: Baseline, again: Refolded) -> tuple[KindMove, ...]:
    """Return the kinds of prompts whose shares differed most at the decision, in the alarm's cohort."""
    law, cohort = baseline.prompts, alarm.stream.cohort
    usual, of_late = None if law is None else law.mix(cohort), again.moved.get(shift_key(cohort))
    if law is None or law.kinds is None or usual is None or of_late is None:
        return ()
    rows = zip(law.kinds.names, of_late.shares.tolist(), usual.shares, strict=True)
    moves = sorted((KindMove(*row) for row in rows), key=lambda move: -abs(move.of_late - move.usual))
    return tuple(moves[:KINDS])


def cohort_parts(since: Since, decision: Decision) -> Iterable[CohortPart]:
    """Return each cohort's part in the effect since the onset, the largest in its direction first."""
    names = np.array([row.cohort for row in since.strata])
    shifts, sign = since.values - since.told, 1.0 if decision.direction is Direction.UP else -1.0
    parts = [
        CohortPart(
            cohort=str(name),
            observations=int((names == name).sum()),
            effect=float(shifts[names == name].mean()),
            contribution=float(shifts[names == name].sum() / len(since)),
        )
        for name in np.unique(names)
    ]
    return sorted(parts, key=lambda part: -sign * part.contribution)


def examples_of(since: Since, decision: Decision, baseline: Baseline, log: ReadableLog) -> Iterator[Example]:
    """Yield the most telling traces since the onset, each with the baseline's answers to prompts like its own."""
    order = since.telling(decision.direction)[:EXAMPLES]
    places = [int(place) for place in since.places[order]]
    located = {row.place: row.subject_id for row in log.locate(places)}
    window = log.subjects(baseline.first_place, min(baseline.stop_place, baseline.first_place + WINDOW_PLACES))
    everything = replace(decision.stream, cohort=ALL, policy_model=OTHER)
    before = log.excerpt(everything, baseline.first_place, baseline.stop_place)
    values = dict(zip(before.places.tolist(), before.values.tolist(), strict=True))
    told = np.array([place in values for place in window.places.tolist()], dtype=np.bool_)
    for row, place in zip(order, places, strict=True):
        asked, alike = log.subjects(place, place + 1).covariates, []
        if asked is not None and window.covariates is not None and len(asked):
            similar = likeness(asked, window.covariates) * told
            best = [int(at) for at in np.argsort(-similar, kind="stable")[:ALIKE] if similar[at] >= LEAST_ALIKE]
            found = log.locate([int(window.places[at]) for at in best]) if best else []
            alike = [
                Alike(subject.subject_id, subject.place, float(similar[at]), values[subject.place])
                for at, subject in zip(best, found, strict=True)
            ]
        yield Example(located[place], place, float(since.values[row]), float(since.told[row]), tuple(alike))


def likeness(one: Covariates, others: Covariates) -> Floats:
    """Return the Jaccard index of the first prompt's ids and each of the others', (n,)."""
    rows = len(others)
    ids = csr_matrix((np.ones(len(others.sketch)), others.sketch, others.sketch_starts), shape=(rows, 2**16))
    ids.sum_duplicates()
    ids.data[:] = 1.0
    own = np.zeros(2**16)
    own[one.sketch[one.sketch_starts[0] : one.sketch_starts[1]]] = 1.0
    shared = np.asarray(ids @ own)
    either = np.asarray(ids.sum(axis=1)).ravel() + own.sum() - shared
    return np.asarray(np.divide(shared, either, out=np.zeros(rows), where=either > 0))
