"""The control stream: a share of all prompts is asked again whether or not there is an alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.domain.observation import LogEntry, ObservationBatch, Series, Source, SubjectRef, Subjects, micros_of
from monitor.domain.reference import AnswerOutcome, LoggedAnswer, Pair
from monitor.domain.signal import CONTROL_LENGTH, CONTROL_REFUSAL
from monitor.drift.comparison import Compared, Comparison
from monitor.drift.log import ObservationLog
from monitor.drift.reask import log_ratios, scrambled
from monitor.drift.reasker import RECENT_PLACES, ReaskMetrics
from monitor.signals.refusal import REFUSAL

PLACES_AT_ONCE = 2_000  # looked at in one turn
_NOT_HAD = frozenset({AnswerOutcome.REJECTED, AnswerOutcome.NO_TEXT, AnswerOutcome.UNAVAILABLE})


class ControlStore(Protocol):
    """Every method raises `Unavailable` where the store is away."""

    def log_end(self) -> int: ...

    def control_place(self) -> int | None:
        """Return the first place that was not looked at; None before the first."""
        ...

    def write_control(self, entry: LogEntry | None, *, next_place: int, tokens: int) -> None:
        """Append *entry* and move on to *next_place*, in one transaction; count the tokens."""
        ...

    def logged(self, trace_ids: Sequence[str]) -> Mapping[str, LoggedAnswer]: ...

    def reserve(self, requests: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """A trace of the sample, as the log knows it."""

    subject: SubjectRef
    cohort: str
    policy_model: str


@dataclass(frozen=True, slots=True)
class _Portion:
    asked: tuple[tuple[Sampled, Future[Compared]], ...]
    next_place: int


class ControlStream:
    """A leader's duty: asks the sample's prompts, a few at a time, and writes how the answers differ to the log.

    A place's own hash draws the sample, so whoever looks again draws the same, and no answer has a part in it.
    """

    def __init__(
        self,
        store: ControlStore,
        observations: ObservationLog,
        comparison: Comparison,
        *,
        reference: str,
        ratio: float,
        at_once: int,
        metrics: ReaskMetrics,
    ) -> None:
        self._store, self._log, self._comparison = store, observations, comparison
        self._reference, self._ratio, self._at_once, self._metrics = reference, ratio, at_once, metrics
        self._portion: _Portion | None = None

    def __call__(self) -> bool:
        """Write what has come, or send what is next; say whether more waits to be looked at."""
        portion = self._portion
        if portion is None:
            return self._send()
        if not all(answer.done() for _, answer in portion.asked):
            return False
        landed = [(sampled, answer.result()) for sampled, answer in portion.asked]
        tokens = sum(answer.total_tokens or 0 for _, (answer, _, _) in landed)
        entry = control_entry(landed, reference=self._reference)
        self._store.write_control(entry, next_place=portion.next_place, tokens=tokens)
        for _, (answer, _, _) in landed:
            self._metrics.count_reference(answer.outcome)
        self._portion = None
        return True

    def _send(self) -> bool:
        end, known = self._store.log_end(), self._store.control_place()
        start = end if known is None else max(known, end - RECENT_PLACES)  # what is long past is let go
        stop = min(start + PLACES_AT_ONCE, end)
        sample = self._sample(start, stop)
        if len(sample) > self._at_once:
            sample = sample[: self._at_once]
            stop = sample[-1].subject.place + 1
        sample = sample[: self._store.reserve(len(sample))] if sample else sample  # a spent budget leaves the rest out
        logged = self._store.logged([one.subject.subject_id for one in sample if one.subject.subject_id is not None])
        asked = [
            (one, logged[name]) for one in sample if (name := one.subject.subject_id) is not None and name in logged
        ]
        if asked:
            self._portion = _Portion(tuple((one, self._comparison.start(kept)) for one, kept in asked), stop)
        elif stop != known:
            self._store.write_control(None, next_place=stop, tokens=0)
        return not asked and stop < end

    def _sample(self, start: int, stop: int) -> list[Sampled]:
        """Return the sample's traces on the places start <= place < stop, by place; repeats are none of them."""
        found: dict[int, tuple[str, str]] = {}
        for batch in self._log.window(start, stop) if start < stop else ():
            if batch.series.signal == REFUSAL.name:
                drawn = batch.places[is_drawn(batch.places, self._ratio)]
                names = batch.cohort_names()[np.isin(batch.places, drawn)]
                for place, cohort in zip(drawn, names, strict=True):
                    found[int(place)] = str(cohort), batch.series.policy_model
        places = sorted(found)
        subjects = self._log.locate(places) if places else []
        return [Sampled(subject, *found[place]) for place, subject in zip(places, subjects, strict=True)]


def is_drawn(places: NDArray[np.int64], ratio: float) -> NDArray[np.bool_]:
    """Say of each place whether the sample holds it, which takes *ratio* of all; not those an alarm would ask first."""
    return np.asarray(scrambled(~places) < np.uint64(min(int(ratio * 2.0**64), 2**64 - 1)))


def control_entry(landed: Sequence[tuple[Sampled, Compared]], *, reference: str) -> LogEntry | None:
    """Return the log's entry of what was answered; None where nothing was.

    An answer that came too late, or was cut, counts as no difference: so it may hide a change, and makes none.
    """
    had = [(sampled, compared) for sampled, compared in landed if compared[0].outcome not in _NOT_HAD]
    if not had:
        return None
    pairs = [
        Pair(number, sampled.subject.place, sampled.subject.subject_id, False, answer.outcome, old, new)
        for number, (sampled, (answer, old, new)) in enumerate(had)
    ]
    refused = [0.0 if new is None else float(old.refused) - float(new.refused) for _, (_, old, new) in had]
    values = {CONTROL_LENGTH.name: np.nan_to_num(log_ratios(pairs)), CONTROL_REFUSAL.name: np.array(refused)}
    models = np.array([sampled.policy_model for sampled, _ in had])
    cohorts, codes = np.unique([sampled.cohort for sampled, _ in had], return_inverse=True)
    batches = [
        ObservationBatch(
            series=Series(signal, str(model), reference),
            cohorts=tuple(map(str, cohorts)),
            cohort_codes=codes[models == model].astype(np.int32),
            places=np.flatnonzero(models == model).astype(np.int64),
            values=column[models == model],
        )
        for signal, column in values.items()
        for model in np.unique(models)
    ]
    subjects = Subjects(
        ids=tuple(sampled.subject.subject_id for sampled, _ in had),
        timestamps=micros_of([sampled.subject.timestamp for sampled, _ in had]),
    )
    return LogEntry(Source.REFERENCE, subjects, tuple(batches))
