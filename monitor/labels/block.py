"""Blocks: runs of traces of which some are labelled, counted whole and in their order, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from monitor.domain.label import Verdict
from monitor.domain.observation import ObservationBatch, moment_of
from monitor.domain.review import ItemState, Queued
from monitor.labels.counting import count_block, sum_days
from monitor.labels.estimate import DaySums, LabelItem
from monitor.labels.item import Items, Sampling
from monitor.labels.tuning import Labelled, Tuning
from monitor.signals.estimand import Estimand

ANY_CRITERIA = "any"


class Outcome(StrEnum):
    MATURED = "matured"  # its labels are all there; it is in the log
    MISSING = "missing"  # dropped whole: some label did not come in time, or never can
    UNLABELLED = "unlabelled"  # dropped whole: nobody labels, so no label says nothing


@dataclass(frozen=True, slots=True)
class BlockRule:
    sampling: Sampling = Sampling.REVIEW
    traces: int = 64  # of a block
    wait: timedelta = timedelta(days=7)
    least_probability: float = 0.01
    criteria_version: str | None = None  # None: any


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """A run of the log whose labels are not all there."""

    number: int  # 1, 2, 3, ...
    first_place: int
    stop_place: int
    cut_at: datetime  # the log's time when its last trace was there
    criteria_version: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a block."""

    block: OpenBlock
    outcome: Outcome
    items: Items
    rows: tuple[LabelItem, ...]
    missing: int  # selected, without a verdict
    observations: tuple[ObservationBatch, ...]  # where it has matured; places count from its first item, at 0
    days: tuple[DaySums, ...]


def settle(
    block: OpenBlock,
    items: Items,
    verdicts: Mapping[str, Verdict],
    *,
    estimand: Estimand,
    rule: BlockRule,
    tuning: Tuning,
    queued: Mapping[str, Queued],
    now: datetime,
) -> tuple[Settled, Tuning] | None:
    """Say what became of *block*, and what is learnt of it; None while its labels may still come.

    *verdicts*, and where the review queue stood with each before they were read (*queued*), are by trace id. An item
    that is asked of nobody any more and has no verdict, by the block's criteria, gets none. *now* is the log's time.
    """
    late = now >= block.cut_at + rule.wait
    if rule.sampling is Sampling.STATED:
        if not late:
            return None
        drawn = [_stated(verdicts.get(name), rule) for name in items.ids]
        items = replace(
            items,
            selected=np.array([probability > 0.0 for probability in drawn], dtype=np.bool_),
            probability=np.array(drawn),
            least=np.full(len(items), rule.least_probability),
        )
    wanted = [name for name, selected in zip(items.ids, items.selected, strict=True) if selected]
    missing = [name for name in wanted if name not in verdicts]
    given_up = any(queued[name].state is not ItemState.OPEN for name in missing if name in queued)
    if not (late or given_up or all(_is_judged(verdicts.get(name), queued.get(name)) for name in wanted)):
        return None
    rows = tuple(_rows(block, items, verdicts, estimand=estimand, tuning=tuning))
    if missing:
        return _dropped(block, Outcome.MISSING, items, rows=rows, missing=len(missing)), tuning
    if rule.sampling is Sampling.STATED and tuning.is_silent(len(items), labelled=len(rows)):
        return _dropped(block, Outcome.UNLABELLED, items, rows=(), missing=0), tuning.passed(len(items), 0)
    known = np.flatnonzero(items.selected)
    seen = Labelled(
        cheap=items.cheap[known],
        probability=items.probability[known],
        value=np.array([verdicts[items.ids[row]].value for row in known]),
        gap=items.gap[known],
    )
    criteria = block.criteria_version or ""
    batches = count_block(items, seen, estimand=estimand, criteria_version=criteria or ANY_CRITERIA, tuning=tuning)
    days = sum_days(items, estimand=estimand.name, criteria_version=criteria, tuning=tuning)
    settled = Settled(block, Outcome.MATURED, items, rows, 0, batches, days)
    return settled, tuning.passed(len(items), len(known)).after(seen)


def _is_judged(verdict: Verdict | None, queued: Queued | None) -> bool:
    """Say whether no further verdict on a trace is waited for."""
    if verdict is None:
        return False
    return queued is None or queued.state is not ItemState.OPEN or verdict.annotators >= queued.wanted


def _stated(verdict: Verdict | None, rule: BlockRule) -> float:
    if verdict is None or verdict.probability is None or verdict.probability < rule.least_probability:
        return 0.0
    return verdict.probability


def _dropped(block: OpenBlock, outcome: Outcome, items: Items, *, rows: tuple[LabelItem, ...], missing: int) -> Settled:
    return Settled(block, outcome, items, tuple(row for row in rows if row.value is None), missing, (), ())


def _rows(
    block: OpenBlock, items: Items, verdicts: Mapping[str, Verdict], *, estimand: Estimand, tuning: Tuning
) -> Iterator[LabelItem]:
    """Yield the selected ones of *items*, with their verdicts."""
    predicted = tuning.predict(items.cheap)
    for row in np.flatnonzero(items.selected):
        verdict = verdicts.get(items.ids[row])
        yield LabelItem(
            estimand=estimand.name,
            trace_id=items.ids[row],
            number=block.number,
            timestamp=moment_of(int(items.timestamps[row])),
            policy_model=str(items.policy_models[row]),
            cohort=str(items.cohorts[row]),
            scorer_version=str(items.scorer_versions[row]),
            criteria_version=block.criteria_version or "",
            cheap=_known(items.cheap[row]),
            prediction=float(predicted[row]),
            probability=float(items.probability[row]),
            length_gap=_known(items.gap[row]),
            value=None if verdict is None else verdict.value,
            annotators=0 if verdict is None else verdict.annotators,
            labelled_at=None if verdict is None else verdict.labelled_at,
        )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
