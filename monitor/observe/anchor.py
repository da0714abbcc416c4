"""Scoring the anchor set again, on a schedule and when an alarm asks for it, as entries of the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from monitor.domain.anchor import MAX_ANCHORS, MIN_ANCHORS, AnchorPair, AnchorSet, subject_of
from monitor.domain.cohort import UNLABELLED
from monitor.domain.observation import LogEntry, Series, Source, Subjects, batch_of, micros_of
from monitor.domain.signal import ANCHOR_FIRST_REWARD, ANCHOR_REWARD, Signal
from monitor.errors import Fenced, InvalidInput, Unavailable
from monitor.observe.scoring import RewardModel
from monitor.telemetry.metrics import AnchorOutcome, Metrics

SLICE_ROWS = 16  # scored at once: the worker's own batches wait for no more
ASKED_SECONDS = 30.0  # least time between two scorings that alarms ask for: they come in swarms
RETRY_SECONDS = 30.0
WANTED = 'wanted {"messages": [{"role": text, "content": text}, ...], "response": text}'
log = structlog.get_logger(__name__)


class Scorer(Protocol):
    """The ensemble in use."""

    def current(self) -> RewardModel | None: ...

    def version(self) -> str | None:
        """Return what its scores are of; None while that is not known."""
        ...


@dataclass(frozen=True, slots=True)
class AnchorStanding:
    """What the log holds of one series, and what is asked of it."""

    now: datetime  # by the database's clock, as the others
    last: datetime | None  # when the set was scored last
    last_entry: int | None
    asked: datetime | None  # when the latest alarm on this scorer's rewards was raised


class AnchorStore(Protocol):
    """Where anchors are kept. Every method raises `Unavailable` where the store is away."""

    def baseline_id(self) -> int | None: ...

    def window_pairs(self, baseline_id: int, size: int) -> tuple[AnchorPair, ...]:
        """Return *size* pairs of the baseline's window, or all where it holds fewer: the same ones each time."""
        ...

    def first_scores(self, baseline_id: int, size: int, scorer_version: str) -> list[float | None] | None:
        """Return what the pairs of `window_pairs` scored as traces; None where too few have such a score."""
        ...

    def standing(self, series: Series) -> AnchorStanding: ...

    def claim(self) -> AbstractContextManager[bool]:
        """Say whether this process may score the set: no other does to the end of the block."""
        ...

    def append(self, entry: LogEntry, *, after: int | None) -> None:
        """Append *entry*; raises `Fenced` where the last entry of its series is not *after* any more."""
        ...


@dataclass(frozen=True, slots=True)
class AnchorPlan:
    """Which pairs are scored, and when."""

    size: int  # pairs drawn from the baseline's window, where none are given
    period: timedelta
    pairs: tuple[AnchorPair, ...] = ()

    def is_due(self, standing: AnchorStanding) -> bool:
        """Say whether the set is to be scored: for the first time, for an alarm, or because its time has come."""
        if standing.last is None:
            return True
        waited = standing.now - standing.last
        asked = standing.asked is not None and standing.asked >= standing.last
        return waited >= self.period or (asked and waited >= timedelta(seconds=ASKED_SECONDS))


class AnchorScoring:
    """Scores the anchor set whenever that is due; `tick` is for one thread."""

    def __init__(self, plan: AnchorPlan, *, scorer: Scorer, store: AnchorStore, metrics: Metrics) -> None:
        self._plan = plan
        self._scorer = scorer
        self._store = store
        self._metrics = metrics
        self._anchors: tuple[int, AnchorSet] | None = None  # and whose baseline's they are
        self._not_before: datetime | None = None

    def turn(self) -> None:
        self.tick()

    def tick(self) -> AnchorOutcome | None:
        """Score the set if that is due; return what came of it. What fails is counted and tried again later."""
        version, model = self._scorer.version(), self._scorer.current()
        baseline_id = self._store.baseline_id()
        if version is None or model is None or baseline_id is None:
            return None
        if self._anchors is None or self._anchors[0] != baseline_id:
            pairs = self._plan.pairs or self._store.window_pairs(baseline_id, self._plan.size)
            self._anchors = baseline_id, AnchorSet.of(baseline_id, pairs)
            told = log.info if len(pairs) >= MIN_ANCHORS else log.warning  # fewer are not scored
            told("anchor_set", name=self._anchors[1].name, pairs=len(pairs), wanted=MIN_ANCHORS)
        anchors = self._anchors[1]
        series = Series(ANCHOR_REWARD.name, anchors.name, version)
        standing = self._store.standing(series)
        early = self._not_before is not None and standing.now < self._not_before
        if len(anchors.pairs) < MIN_ANCHORS or early or not self._plan.is_due(standing):
            return None
        with self._store.claim() as claimed:
            standing = self._store.standing(series)  # another process may have scored it a moment ago
            if not claimed or not self._plan.is_due(standing):
                return None
            outcome = self._score(series, anchors.pairs, model, baseline_id=baseline_id, standing=standing)
        self._metrics.count_anchor(outcome)
        stored = outcome is AnchorOutcome.STORED
        self._not_before = None if stored else standing.now + timedelta(seconds=RETRY_SECONDS)
        return outcome

    def _score(
        self,
        series: Series,
        pairs: Sequence[AnchorPair],
        model: RewardModel,
        *,
        baseline_id: int,
        standing: AnchorStanding,
    ) -> AnchorOutcome:
        try:
            values = list(score_pairs(pairs, model, version=series.scorer_version))
        except Unavailable as reason:
            log.warning("anchor_not_scored", reason=str(reason))
            return AnchorOutcome.UNAVAILABLE
        if sum(value is not None for value in values) < max(MIN_ANCHORS, len(values) / 2):
            log.warning("anchor_not_scored", reason="too few of its pairs have a score", pairs=len(values))
            return AnchorOutcome.NOT_SCORED
        observed = {ANCHOR_REWARD: values}
        if standing.last_entry is None and not self._plan.pairs:
            first = self._store.first_scores(baseline_id, self._plan.size, series.scorer_version)
            observed |= {ANCHOR_FIRST_REWARD: first} if first is not None else {}
        try:
            self._store.append(anchor_entry(series, observed, at=standing.now), after=standing.last_entry)
        except Fenced as reason:
            log.warning("anchor_scored_elsewhere", reason=str(reason))
            return AnchorOutcome.FENCED
        return AnchorOutcome.STORED


def score_pairs(pairs: Sequence[AnchorPair], model: RewardModel, *, version: str) -> Iterator[float | None]:
    """Yield each pair's mean reward by *version*, None where it has none.

    Raises `Unavailable` where the ensemble is away, or another one by now.
    """
    for start in range(0, len(pairs), SLICE_ROWS):
        for reward in model.score([(pair.messages, pair.response) for pair in pairs[start : start + SLICE_ROWS]]):
            if reward is not None and reward.scorer_version != version:
                raise Unavailable(f"scorer {version} was replaced by {reward.scorer_version} while it scored")
            yield None if reward is None else reward.mean


def anchor_entry(series: Series, observed: Mapping[Signal, Sequence[float | None]], *, at: datetime) -> LogEntry:
    """Return the entry of one scoring: a subject a pair, and an observation wherever it has a score."""
    count = max(map(len, observed.values()))
    batches = tuple(
        batch_of(
            replace(series, signal=signal.name),
            [(number, UNLABELLED, value) for number, value in enumerate(values) if value is not None],
        )
        for signal, values in sorted(observed.items(), key=lambda item: item[0].name)
    )
    subjects = Subjects(tuple(map(subject_of, range(count))), micros_of([at] * count))
    return LogEntry(Source.ANCHOR, subjects, batches)


def read_pairs(path: Path) -> tuple[AnchorPair, ...]:
    """Read the pairs of a file of JSON lines; raises `InvalidInput` naming the file, the line and what was wanted."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}; name a file of JSON lines, {WANTED} on each") from None
    found: dict[AnchorPair, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            pair = _PAIR.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            shown = line[:80].decode("utf-8", "replace")
            raise InvalidInput(f"{path}:{number}: {error}, in {shown!r}; {WANTED}") from None
        if not pair.messages:
            raise InvalidInput(f"{path}:{number}: 'messages' is empty; {WANTED}")
        if pair in found:
            raise InvalidInput(f"{path}:{number}: the same pair as on line {found[pair]}; name each once")
        found[pair] = number
    if not MIN_ANCHORS <= len(found) <= MAX_ANCHORS:
        raise InvalidInput(f"{path}: {len(found)} pairs; wanted {MIN_ANCHORS} to {MAX_ANCHORS}, one a line")
    return tuple(found)


_PAIR = msgspec.json.Decoder(AnchorPair)
