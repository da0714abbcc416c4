"""What people are told of labels: estimates, how far the blocks are, and which labels count in no estimate."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

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
from monitor.labels.item import Sampling
from monitor.signals.estimand import ESTIMANDS, WIN_RATE, Estimand

WEEK = timedelta(days=7)
LATEST = 100  # labelled traces, which say whose answers people get now
RECENT = WEEK  # labels and blocks of the last seven days are counted
AGAIN_SECONDS = 600.0  # after which estimates are made anew though nothing was seen to have come


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
    meets_criteria: bool  # that its block wants, or the next one where it is in none
    stated: bool | None  # whether the probability it states is large enough; None: it states none
    selected: bool  # by the queue
    stored: bool  # its trace is
    counted: bool  # its trace stands with a verdict in a settled block
    settled: bool  # its trace's block is, or was dropped
    dropped: bool
    late: bool  # it came after that
    labels: int


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
    present: str | None = None  # the policy model that serves now: of most of the latest labelled traces

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

    def evidence(self, estimand: Estimand, *, recent: timedelta, days: int | None) -> Evidence:
        """Return what is stored; of the items those of the last *days* that are settled, or all."""
        ...


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
    sampling: Sampling
    clock: Callable[[], float]
    _kept: dict[tuple[str, int, int | None], _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reports(self, *, signal: str | None = None, past_weeks: int = 0, days: int | None = None) -> list[LabelReport]:
        """Return what is told of *signal*, or of the win rate and every other estimand that has labels.

        With *days* longer windows are left out, and what they are made of is not read.
        """
        wanted = [estimand for estimand in ESTIMANDS.values() if signal in {None, estimand.name}]
        found = [self._report(estimand, past_weeks, days) for estimand in wanted]
        return [told for told in found if told.signal in {signal, WIN_RATE.name} or told.labels or told.estimates]

    def _report(self, estimand: Estimand, past_weeks: int, days: int | None) -> LabelReport:
        with self._lock:  # one at a time: of two who ask at once the second finds it made
            key, mark, now = (estimand.name, past_weeks, days), self.store.mark(estimand), self.clock()
            kept = self._kept.get(key)
            if kept is None or kept.mark != mark or now - kept.made_at > AGAIN_SECONDS:
                evidence = self.store.evidence(estimand, recent=RECENT, days=days)
                report = report_of(
                    estimand, evidence, rule=self.rule, sampling=self.sampling, past_weeks=past_weeks, days=days
                )
                kept = self._kept[key] = _Kept(mark, now, report)
            return kept.report


def report_of(
    estimand: Estimand,
    evidence: Evidence,
    *,
    rule: EstimateRule,
    sampling: Sampling,
    past_weeks: int = 0,
    days: int | None = None,
) -> LabelReport:
    """Return what *evidence* tells; its windows end with the last day of which anything is settled."""
    uses = Counter[LabelUse]()
    for facts in evidence.facts:
        uses[use_of(facts, sampling)] += facts.labels

    def estimates(spans: Sequence[Span]) -> tuple[Estimate, ...]:
        effect = evidence.length_effect
        return tuple(estimate_spans(evidence.items, evidence.sums, spans, rule=rule, length_effect=effect))

    last = max((row.day for row in evidence.sums), default=date.min)
    windows = usual_spans(evidence.sums, last) if evidence.sums else []
    return LabelReport(
        signal=estimand.name,
        kind=estimand.kind,
        estimates=estimates([span for span in windows if days is None or (span.stop - span.start).days <= days]),
        past=estimates(weeks_before(last, past_weeks) if evidence.sums else []),
        blocks=evidence.blocks,
        labels=dict(sorted(uses.items())),
        min_labels=rule.min_labels,
        hint=hint_of(evidence.facts, sampling),
        present=present_model(evidence.items),
    )


def present_model(items: Iterable[LabelItem]) -> str | None:
    """Return the policy model of most of the LATEST labelled traces; None where there are none."""
    latest = sorted(items, key=lambda item: item.timestamp)[-LATEST:]
    return Counter(item.policy_model for item in latest).most_common(1)[0][0] if latest else None


def weeks_before(today: date, count: int) -> list[Span]:
    """Return *count* weeks that end where the one up to *today* begins, oldest first.

    >>> [(str(span.start), str(span.stop)) for span in weeks_before(date(2026, 11, 21), 1)]
    [('2026-11-08', '2026-11-15')]
    """
    stop = today + timedelta(days=1)
    return [Span("week", stop - (number + 1) * WEEK, stop - number * WEEK) for number in range(count, 0, -1)]


def use_of(facts: LabelFacts, sampling: Sampling) -> LabelUse:
    """Say what becomes of a label; of several reasons why it does not count, the first that people can mend."""
    stated = sampling is Sampling.STATED
    reasons = (
        (facts.source is LabelSource.USER, LabelUse.USER),
        (facts.source is LabelSource.AI, LabelUse.AI),
        (not facts.meets_criteria, LabelUse.OTHER_CRITERIA),
        (facts.counted, LabelUse.COUNTED),
        (stated and facts.stated is None, LabelUse.NO_PROBABILITY),
        (stated and facts.stated is False, LabelUse.SMALL_PROBABILITY),
        (not facts.stored, LabelUse.NO_TRACE),
        (not stated and not facts.selected, LabelUse.NOT_SELECTED),
        (not facts.settled, LabelUse.WAITING),
        (facts.late, LabelUse.LATE),
        (facts.dropped, LabelUse.BLOCK_DROPPED),
    )
    return next((use for holds, use in reasons if holds), LabelUse.NOT_ELIGIBLE)


def hint_of(facts: Iterable[LabelFacts], sampling: Sampling) -> str:
    """Say which setting lets labels count that do not, where one does."""
    unused = [row for row in facts if use_of(row, sampling) is LabelUse.NOT_SELECTED and row.stated]
    if not unused:
        return ""
    return (
        f"{sum(row.labels for row in unused)} labels state the probability with which their trace was chosen, and the"
        " queue did not choose it: set labels.sampling to stated, and such labels count"
    )
