"""What labels tell of the whole period of some files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor.domain.cohort import ALL
from monitor.domain.label import Label
from monitor.domain.observation import LogEntry, moment_of
from monitor.labels.block import BlockRule, Settled
from monitor.labels.estimate import Estimate, EstimateRule, LengthEffect, Span, estimate_spans
from monitor.labels.item import Sampling
from monitor.labels.verdict import COUNTED
from monitor.offline.blocks import InMemoryBlocks
from monitor.offline.log import InMemoryLog
from monitor.signals.estimand import ESTIMANDS, WIN_RATE, Estimand
from monitor.stats.length_control import GAP_SPREAD

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LabelPlan:
    blocks: BlockRule = field(default_factory=lambda: BlockRule(Sampling.STATED))
    estimates: EstimateRule = field(default_factory=EstimateRule)
    baseline_labels: int = 200  # from which a rate that labels tell has a law


@dataclass(frozen=True, slots=True)
class LabelUses:
    """What became of the labels; each stands once, and the first that applies counts."""

    read: int
    of_no_trace: int  # of the files
    of_nobody: int  # users, who choose themselves whether they speak, and models
    unstated: int  # with no inclusion probability, or one that is too small
    counted: int  # of an estimated kind, on a trace that is in an estimate

    @property
    def left(self) -> int:
        return self.read - self.of_no_trace - self.of_nobody - self.unstated - self.counted


@dataclass(frozen=True, slots=True)
class WholePeriod:
    """Estimates over all traces, one a signal, cohort and policy model."""

    start: datetime  # of the first trace
    stop: datetime  # of the last
    estimates: tuple[Estimate, ...]
    uses: LabelUses


def estimated(labels: Iterable[Label]) -> list[Estimand]:
    """Return the win rate, and what else *labels* tell of."""
    kinds = {label.kind for label in labels}
    return [estimand for estimand in ESTIMANDS.values() if estimand is WIN_RATE or estimand.kind in kinds]


def rule_of(rule: BlockRule, entries: Iterable[LogEntry], labels: Iterable[Label]) -> BlockRule:
    """Return *rule* for labels that are all known: a block waits for the latest of all, and for nothing else.

    The smallest probability that a label states, of those that count, is the smallest that any trace had.
    """
    given: dict[str | None, datetime] = {}
    stated = [1.0]
    for label in labels:
        if label.source not in COUNTED:
            continue
        given[label.trace_id] = max(label.timestamp, given.get(label.trace_id, label.timestamp))
        if label.inclusion_probability is not None and label.inclusion_probability >= rule.least_probability:
            stated.append(label.inclusion_probability)
    delays = [
        given[name] - moment_of(int(micros))
        for entry in entries
        for name, micros in zip(entry.subjects.ids, entry.subjects.timestamps, strict=True)
        if name in given
    ]
    return replace(rule, wait=max([timedelta(), *delays]), least_probability=min(stated))


def whole_period(blocks: InMemoryBlocks, log: InMemoryLog, labels: Sequence[Label], plan: LabelPlan) -> WholePeriod:
    """Return what the settled *blocks* come to."""
    start, stop = log.period
    span = Span("all", start.date(), stop.date() + DAY)
    found = []
    for estimand in estimated(labels):
        settled = blocks.settled.get(estimand.name, [])
        slope = blocks.cut(estimand.name).tuning.length_slope if estimand is WIN_RATE else None
        estimates = estimate_spans(
            [row for block in settled for row in block.rows],
            [row for block in settled for row in block.days],
            [span],
            rule=plan.estimates,
            length_effect=None if slope is None else LengthEffect(slope, GAP_SPREAD),
        )
        found += [*estimates, *_unlabelled(estimand, settled, estimates, span)]
    return WholePeriod(start, stop, tuple(found), _uses(blocks, log, labels, plan))


def _unlabelled(
    estimand: Estimand, settled: Sequence[Settled], estimates: Sequence[Estimate], span: Span
) -> list[Estimate]:
    """Return an estimate without a number for each stream whose blocks were all dropped, since no label came."""
    traces: dict[tuple[str, str], int] = {}
    for block in settled:
        for model, own in zip(block.items.policy_models.tolist(), block.items.cohorts.tolist(), strict=True):
            for cohort in (own, ALL):
                traces[model, cohort] = traces.get((model, cohort), 0) + 1
    told = {(row.policy_model, row.cohort) for row in estimates}
    return [
        Estimate(estimand.name, cohort, model, "", span, count, labels=0, missing=0, reason="no label counts here")
        for (model, cohort), count in sorted(traces.items(), key=lambda item: (item[0][0], item[0][1] != ALL, item[0]))
        if (model, cohort) not in told
    ]


def _uses(blocks: InMemoryBlocks, log: InMemoryLog, labels: Sequence[Label], plan: LabelPlan) -> LabelUses:
    known = log.trace_ids
    counted = {
        (estimand.kind, row.trace_id)
        for estimand in ESTIMANDS.values()
        for block in blocks.settled.get(estimand.name, [])
        for row in block.rows
    }
    least, left = plan.blocks.least_probability, list(labels)

    def take(applies: Callable[[Label], bool]) -> int:
        nonlocal left
        before, left = len(left), [label for label in left if not applies(label)]
        return before - len(left)

    return LabelUses(
        read=len(labels),
        of_no_trace=take(lambda label: label.trace_id not in known),
        of_nobody=take(lambda label: label.source not in COUNTED),
        unstated=take(lambda label: label.inclusion_probability is None or label.inclusion_probability < least),
        counted=take(lambda label: (label.kind, label.trace_id) in counted),
    )
