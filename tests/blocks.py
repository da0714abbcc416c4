"""Traces that may be labelled, as the log holds them, with the labels that people give: what blocks are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from monitor.domain.label import Label, Verdict
from monitor.domain.observation import LogEntry, Series, Source, Subjects, batch_of, micros_of
from monitor.domain.review import Queued
from monitor.drift.refold import ReadableLog
from monitor.drift.stored import FoldPosition
from monitor.labels.block import BlockRule
from monitor.labels.keeper import BlockKeeper, BlockStore
from monitor.labels.verdict import verdicts
from monitor.offline.blocks import InMemoryBlocks
from monitor.offline.log import InMemoryLog
from monitor.review.criteria import DEFAULT
from monitor.signals.estimand import LENGTH_GAP, REWARD_WIN, WIN_RATE
from tests.traces import START

Floats = NDArray[np.float64]
Told = dict[tuple[str, str, str], list[tuple[str, str, float, float | None]]]
DISPUTED = 0.1  # of an opinion from one half, within which more traces are drawn


@dataclass(frozen=True)
class Traces:
    """Traces t-0, t-1, ... a second apart; parallel arrays."""

    eligible: NDArray[np.bool_]  # False: a repeat, or there is no reference response
    models: Sequence[str]
    cohorts: Sequence[str]
    scorers: Sequence[str]  # "": nobody has an opinion
    cheap: Floats
    gap: Floats
    verdict: Floats  # what a person says, or would say
    probability: Floats
    least: Floats
    selected: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cheap)

    def labels(self, **changes: object) -> list[Label]:
        """Return what people say of those that were drawn, an hour after each."""
        return self.labels_between(0, len(self), **changes)

    def labels_between(self, start: int, stop: int, **changes: object) -> list[Label]:
        return [self.label(row, **changes) for row in self.drawn() if start <= row < stop]

    def drawn(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(self.selected)]

    def label(self, row: int, **changes: object) -> Label:
        usual: dict[str, object] = {
            "label_id": f"{changes.get('source', 'human')}-{row}",
            "timestamp": START + timedelta(seconds=int(row), hours=1),
            "trace_id": f"t-{row}",
            "kind": WIN_RATE.kind,
            "value": float(self.verdict[row]),
            "annotator_id": "ada",
            "criteria_version": DEFAULT.version,
            "inclusion_probability": float(self.probability[row]),
        }
        return Label(**usual | changes)  # type: ignore[arg-type]

    def entries(self, cuts: Iterable[int] = ()) -> list[LogEntry]:
        """Return the log's entries of all, cut before the rows *cuts*."""
        return [self.entry(start, stop) for start, stop in pairwise(sorted({0, len(self), *cuts}))]

    def entry(self, start: int, stop: int) -> LogEntry:
        """Return the entry that a worker writes of some of them."""
        rows: dict[tuple[str, str, str], list[tuple[int, str, float]]] = defaultdict(list)
        inclusion: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for row in range(start, stop):
            place, model, cohort = row - start, self.models[row], self.cohorts[row]
            rows["response_length", model, "words-1"].append((place, cohort, 100.0))
            if not self.eligible[row]:
                continue
            drawn = WIN_RATE.selected, model, repr(float(self.least[row]))
            rows[drawn].append((place, cohort, float(self.selected[row])))
            inclusion[drawn].append(float(self.probability[row]))
            if not np.isnan(self.gap[row]):
                rows[LENGTH_GAP.name, model, "words-1"].append((place, cohort, float(self.gap[row])))
            if self.scorers[row]:
                rows[REWARD_WIN.name, model, self.scorers[row]].append((place, cohort, float(self.cheap[row])))
        batches = (batch_of(Series(*series), found, inclusion.get(series)) for series, found in sorted(rows.items()))
        subjects = Subjects(
            ids=tuple(f"t-{row}" for row in range(start, stop)),
            timestamps=micros_of([START + timedelta(seconds=row) for row in range(start, stop)]),
        )
        return LogEntry(Source.TRACES, subjects, tuple(batches))


def traces(
    count: int,
    *,
    seed: int = 0,
    rate: float = 0.4,
    agrees: float = 0.75,
    share: float = 0.2,
    disputed: float | None = None,
    mixed: bool = True,
    falls: int | None = None,
) -> Traces:
    """Return *count* traces, of which people prefer a *rate*; opinions agree with an *agrees* of the verdicts.

    A *share* is labelled, and a *disputed* share of those on which nobody is sure. *mixed*: several policy models,
    cohorts and scorers, traces that may not be labelled, and some without an opinion. From *falls* on the rate is .1.
    """
    random = np.random.default_rng(seed)
    wanted = np.where(np.arange(count) < (count if falls is None else falls), rate, 0.1)
    verdict = (random.random(count) < wanted).astype(float)
    said = np.where(random.random(count) < agrees, verdict, 1.0 - verdict)
    cheap = np.clip(0.3 + 0.4 * said + random.normal(0.0, 0.1, count), 0.01, 0.99)
    verdict = np.where(random.random(count) < 0.1, 0.5, verdict)
    unsure = np.abs(cheap - 0.5) < DISPUTED
    probability = np.where(unsure, disputed or share, share)
    numbers = np.arange(count)
    scorers = np.where(random.random(count) < 0.1, "", np.where(numbers < count // 2, "e-1", "e-2"))
    eligible = (random.random(count) < 0.85) if mixed else np.full(count, True)
    return Traces(
        eligible=eligible,
        models=np.where(random.random(count) < 0.3, "chat-2", "chat-1").tolist() if mixed else ["chat-1"] * count,
        cohorts=np.asarray(["koala", "vicuna", "other"])[random.integers(0, 3, count)].tolist()
        if mixed
        else ["koala"] * count,
        scorers=scorers.tolist() if mixed else ["e-1"] * count,
        cheap=cheap,
        gap=np.where(random.random(count) < 0.05, np.nan, random.normal(0.2, 0.5, count) + 0.4 * (verdict - rate)),
        verdict=verdict,
        probability=probability,
        least=np.full(count, share),
        selected=eligible & (random.random(count) < probability),
    )


class WaitingBlocks(InMemoryBlocks):
    """Blocks whose labels come while a test goes on, with a review queue and a clock that the test sets."""

    def __init__(self, log: InMemoryLog) -> None:
        super().__init__(log, ())
        self.labels: list[Label] = []
        self.queue: dict[str, Queued] = {}
        self.version: str | None = None
        self.at = START

    def verdicts(
        self, kind: str, trace_ids: Sequence[str], criteria_version: str | None, *, stated_only: bool
    ) -> Mapping[str, Verdict]:
        found = verdicts(self.labels, kind, criteria_version=criteria_version, stated_only=stated_only)
        return {name: verdict for name, verdict in found.items() if name in trace_ids}

    def queued(self, kind: str, trace_ids: Sequence[str]) -> Mapping[str, Queued]:
        return self.queue

    def criteria(self) -> str | None:
        return self.version

    def now(self) -> datetime:
        return self.at


def settle_all(store: BlockStore, rule: BlockRule) -> None:
    """Take turns until nothing more can be settled."""
    keeper = BlockKeeper(store, rule)
    while keeper.turn():
        pass


def told_in(log: ReadableLog, *signals: str) -> Told:
    """Return what settled blocks wrote, by series: each trace's id, cohort, value and inclusion, in the log's order."""
    found: Told = defaultdict(list)
    for entry in log.entries(FoldPosition(1, 0), max_places=10**9):
        for batch in entry.observations if entry.source is Source.LABELS else ():
            if signals and batch.series.signal not in signals:
                continue
            ids = [seen.subject_id or "" for seen in log.locate(batch.places.tolist())]
            inclusion = [None] * len(batch.values) if batch.inclusion is None else batch.inclusion.tolist()
            series = batch.series.signal, batch.series.policy_model, batch.series.scorer_version
            found[series] += zip(ids, batch.cohort_names().tolist(), batch.values.tolist(), inclusion, strict=True)
    return dict(found)
