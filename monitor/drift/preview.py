"""What freezing a window would change, told before anybody does it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from monitor.domain.cohort import ALL
from monitor.drift.baseline import Baseline
from monitor.drift.stored import ActiveBaseline
from monitor.drift.summary import SignalSummary, summarise


@dataclass(frozen=True, slots=True)
class LawChange:
    """One signal's law, before and after; None where there is none."""

    signal: str
    scorer_version: str
    before: SignalSummary | None
    after: SignalSummary | None
    comes_later: bool = False  # labels, probes or users tell it: its law is added once enough of them came


@dataclass(frozen=True, slots=True)
class FreezePreview:
    """What would change if these traces were the baseline; nothing has."""

    first_trace: int  # its number, from 0
    stop_trace: int  # exclusive
    instead_of: int | None  # the active baseline's number
    laws: tuple[LawChange, ...]  # by signal and scorer
    cohorts_added: tuple[str, ...]  # watched from then on
    cohorts_lost: tuple[str, ...]  # watched no more
    alarms_superseded: int  # live ones against the active baseline


def preview_freeze(
    frozen: Baseline,
    active: ActiveBaseline | None,
    *,
    traces: tuple[int, int],
    alarms: int,
    at_once: Collection[str],
) -> FreezePreview:
    """Tell *frozen* from the *active* baseline; signals that are not *at_once* get their laws later."""
    before = {} if active is None else {(row.signal, row.scorer_version): row for row in summarise(active.baseline)}
    after = {(row.signal, row.scorer_version): row for row in summarise(frozen)}
    laws = tuple(
        LawChange(*key, before.get(key), after.get(key), key not in after and key[0] not in at_once)
        for key in sorted(before.keys() | after.keys())
    )
    known, new = set() if active is None else cohorts_of(active.baseline), cohorts_of(frozen)
    return FreezePreview(
        first_trace=traces[0],
        stop_trace=traces[1],
        instead_of=None if active is None else active.baseline_id,
        laws=laws,
        cohorts_added=tuple(sorted(new - known)),
        cohorts_lost=tuple(sorted(known - new)),
        alarms_superseded=alarms,
    )


def cohorts_of(baseline: Baseline) -> set[str]:
    """Return the cohorts that have a law of their own."""
    return {row.cohort for law in baseline.signals for row in law.strata} - {ALL}
