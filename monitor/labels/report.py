"""What people are told of labels: estimates, how far the blocks are, and which labels count in no estimate."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol

from monitor.domain.label import LabelSource
from monitor.labels.estimate import (
    DaySums,
    Estimate,
    EstimateRule,
    LabelItem,
    LengthEffect,
    Span,
    estimate_spans,
    usual_spans,
)
from monitor.signals.estimand import ESTIMANDS, WIN_RATE, Estimand

WEEK = timedelta(days=7)
RECENT = WEEK  # labels and blocks of the last seven days are counted
AGAIN_SECONDS = 600.0  # after which estimates are made anew though nothing was seen to have come
Sampling = Literal["review", "stated"]


class LabelUse(StrEnum):
    """What becomes of a label in an estimate of its kind."""

    COUNTED = "counted"
    WAITING = "waiting"  # its block's other labels are not all there yet
    NOT_SELECTED = "not_selected"  # the review queue did not draw its trace
    NO_PROBABILITY = "no_probability"  # sampling is `stated`, and it states none
    SMALL_PROBABILITY = "small_probability"  # it states less than labels.least_probability
    OTHER_CRITERIA = "other_criteria"
    LATE = "late"  # its block was settled or dropped before it came
    BLOCK_DROPPED = "block_dropped"  # another label of its block never came
    NOT_ELIGIBLE = "not_eligible"  # its trace is a repeat, or has no reference response
    NO_TRACE = "no_trace"  # its trace is not stored, or not any more
    USER = "user"  # users choose themselves whether they speak
    AI = "ai"  # a model's


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What decides the use of a label, and how many labels share it."""

    source: LabelSource
    criteria_version: str | None
    stated: bool | None  # whether the probability it states is large enough; None: it states none
    selected: bool  # by the queue
    stored: bool  # its trace is
    counted: bool  # its trace stands with a verdict in a settled block
    settled: bool  # its trace's block is, or was dropped
    dropped: bool
    late: bool  # it came after that
    labels: int


@dataclass(frozen=True, slots=True)
class UseRule:
    sampling: Sampling = "review"
    criteria_version: str | None = None  # None: any


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """Blocks of the last seven days, and all that wait."""

    matured: int = 0
    dropped: int = 0
    waiting: int = 0
    waiting_since: datetime | None = None  # the oldest of them

    @property
    def dropped_ratio(self) -> float:
        return self.dropped / max(self.matured + self.dropped, 1)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is stored of one estimand, at one moment."""

    sums: Sequence[DaySums] = ()
    items: Sequence[LabelItem] = ()
    length_effect: LengthEffect | None = None
    blocks: BlockCounts = BlockCounts()
    facts: Sequence[LabelFacts] = ()
    criteria_version: str | None = None  # that labels must have now; None: any


@dataclass(frozen=True, slots=True)
class LabelReport:
    """All there is to tell of one estimand."""

    signal: str
    kind: str  # of the labels
    estimates: tuple[Estimate, ...]  # each length-controlled one after its own
    past: tuple[Estimate, ...]  # of the weeks before, oldest first
    blocks: BlockCounts
    labels: Mapping[LabelUse, int]  # of the last seven days
    min_labels: int
    hint: str = ""

    def only(
        self, *, window: str | None = None, cohort: str | None = None, policy_model: str | None = None
    ) -> LabelReport:
        """Return the report with the estimates that were asked for alone; None asks for all."""

        def wanted(estimate: Estimate) -> bool:
            return cohort in {None, estimate.cohort} and policy_model in {None, estimate.policy_model}

        return replace(
            self,
            estimates=tuple(row for row in self.estimates if wanted(row) and window in {None, row.span.name}),
            past=tuple(filter(wanted, self.past)),
        )


class EstimateStore(Protocol):
    def mark(self, estimand: Estimand) -> object:
        """Return what is another once labels have come or blocks were settled since."""
        ...

    def evidence(self, estimand: Estimand, *, recent: timedelta) -> Evidence: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    mark: object
    made_at: float
    report: LabelReport


@dataclass(slots=True)
class EstimateReports:
    """Reports of what is stored, made anew only where something has come since; safe from any thread."""

    store: EstimateStore
    rule: EstimateRule
    use: UseRule
    clock: Callable[[], float]
    _kept: dict[tuple[str, int], _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reports(self, *, signal: str | None = None, past_weeks: int = 0) -> list[LabelReport]:
        """Return what is told of *signal*, or of the win rate and every other estimand that has labels."""
        wanted = [estimand for estimand in ESTIMANDS.values() if signal in {None, estimand.name}]
        found = [self._report(estimand, past_weeks) for estimand in wanted]
        return [told for told in found if told.signal in {signal, WIN_RATE.name} or told.labels or told.estimates]

    def _report(self, estimand: Estimand, past_weeks: int) -> LabelReport:
        with self._lock:  # one at a time: of two who ask at once the second finds it made
            key, mark, now = (estimand.name, past_weeks), self.store.mark(estimand), self.clock()
            kept = self._kept.get(key)
            if kept is None or kept.mark != mark or now - kept.made_at > AGAIN_SECONDS:
                evidence = self.store.evidence(estimand, recent=RECENT)
                report = report_of(estimand, evidence, rule=self.rule, use=self.use, past_weeks=past_weeks)
                kept = self._kept[key] = _Kept(mark, now, report)
            return kept.report


def report_of(
    estimand: Estimand, evidence: Evidence, *, rule: EstimateRule, use: UseRule, past_weeks: int = 0
) -> LabelReport:
    """Return what *evidence* tells; its windows end with the last day of which anything is settled."""
    use = replace(use, criteria_version=evidence.criteria_version)
    uses = Counter[LabelUse]()
    for facts in evidence.facts:
        uses[use_of(facts, use)] += facts.labels
    return LabelReport(
        signal=estimand.name,
        kind=estimand.kind,
        estimates=tuple(_estimates(evidence, lambda today: usual_spans(evidence.sums, today), rule)),
        past=tuple(_estimates(evidence, lambda today: weeks_before(today, past_weeks), rule)),
        blocks=evidence.blocks,
        labels=dict(sorted(uses.items())),
        min_labels=rule.min_labels,
        hint=hint_of(evidence.facts, use),
    )


def _estimates(evidence: Evidence, spans_of: Callable[[date], Sequence[Span]], rule: EstimateRule) -> list[Estimate]:
    if not evidence.sums:
        return []
    spans = spans_of(max(row.day for row in evidence.sums))
    return estimate_spans(evidence.items, evidence.sums, spans, rule=rule, length_effect=evidence.length_effect)


def weeks_before(today: date, count: int) -> list[Span]:
    """Return *count* weeks that end where the one up to *today* begins, oldest first.

    >>> [(str(span.start), str(span.stop)) for span in weeks_before(date(2026, 11, 21), 1)]
    [('2026-11-08', '2026-11-15')]
    """
    stop = today + timedelta(days=1)
    return [Span("week", stop - (number + 1) * WEEK, stop - number * WEEK) for number in range(count, 0, -1)]


def use_of(facts: LabelFacts, rule: UseRule) -> LabelUse:
    """Say what becomes of a label; of several reasons why it does not count, the first that people can mend."""
    reasons = (
        (facts.source is LabelSource.USER, LabelUse.USER),
        (facts.source is LabelSource.AI, LabelUse.AI),
        (rule.criteria_version not in {None, facts.criteria_version}, LabelUse.OTHER_CRITERIA),
        (facts.counted, LabelUse.COUNTED),
        (rule.sampling == "stated" and facts.stated is None, LabelUse.NO_PROBABILITY),
        (rule.sampling == "stated" and facts.stated is False, LabelUse.SMALL_PROBABILITY),
        (not facts.stored, LabelUse.NO_TRACE),
        (rule.sampling == "review" and not facts.selected, LabelUse.NOT_SELECTED),
        (not facts.settled, LabelUse.WAITING),
        (facts.late, LabelUse.LATE),
        (facts.dropped, LabelUse.BLOCK_DROPPED),
    )
    return next((use for holds, use in reasons if holds), LabelUse.NOT_ELIGIBLE)


def hint_of(facts: Iterable[LabelFacts], rule: UseRule) -> str:
    """Say which setting lets labels count that do not, where one does."""
    unused = [row for row in facts if use_of(row, rule) is LabelUse.NOT_SELECTED and row.stated]
    if not unused:
        return ""
    return (
        f"{sum(row.labels for row in unused)} labels state the probability with which their trace was chosen, and the"
        " queue did not choose it: set labels.sampling to stated, and such labels count"
    )
