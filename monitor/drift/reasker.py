"""Asking the released policy the prompts of an alarm again, a few at a time, beside everything else a leader does."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from monitor.domain.alarm import Direction, ReferenceVerdict
from monitor.domain.reference import (
    AnswerOutcome,
    Asking,
    Budget,
    ChosenPrompt,
    LoggedAnswer,
    Pair,
    ReferenceAnswer,
)
from monitor.drift.comparison import Compared, Comparison
from monitor.drift.log import ObservationLog
from monitor.drift.reask import (
    CHOSEN_SHARE,
    MEASURES,
    Background,
    PairTolerance,
    Question,
    background_of,
    choose_prompts,
    judge,
    note_of,
)

RECENT_PLACES = 20_000  # before the alarm, from which prompts are chosen, and after it
ATTEMPTS = 3  # of one prompt, where the server fails
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
GIVE_UP = timedelta(hours=6)  # after an alarm, where no more prompts come
log = structlog.get_logger(__name__)


class ReaskStore(Protocol):
    """What was asked and what came of it. Every method raises `Unavailable` where the store is away."""

    def begin(self, signals: Collection[str], *, hold_pages: bool) -> None:
        """Take up the alarms on *signals* that are about to page; let their pages wait where *hold_pages* says so."""
        ...

    def release(self, *, patience_seconds: float) -> None:
        """Let the pages go that have waited for so long; their alarms are still asked about."""
        ...

    def asked(self) -> list[Asking]:
        """Return the live alarms that are asked about, the roll-up's first."""
        ...

    def log_end(self) -> int:
        """Return the log's next place."""
        ...

    def pairs(self, alarm_id: int) -> list[Pair]:
        """Return all pairs of an alarm, by rank."""
        ...

    def plan(self, alarm_id: int, prompts: Sequence[ChosenPrompt], *, reference: str) -> None:
        """Keep that *prompts* are to be asked next; those that *reference* has answered before are answered."""
        ...

    def logged(self, trace_ids: Sequence[str]) -> Mapping[str, LoggedAnswer]:
        """Return what is kept of production's answers to the prompts of *trace_ids*."""
        ...

    def reserve(self, requests: int) -> int:
        """Count up to so many requests as sent today; return how many of them today's budget allows."""
        ...

    def budget_left(self) -> Budget: ...

    def record(self, answers: Sequence[tuple[int, Pair]], *, tokens: int) -> None:
        """Keep pairs that are answered now, each with its alarm, and count their tokens."""
        ...

    def conclude(self, alarm_id: int, verdict: ReferenceVerdict, *, note: str) -> None: ...


class ReaskMetrics(Protocol):
    def count_reference(self, outcome: AnswerOutcome) -> None: ...

    def show_reference_budget(self, left: Budget) -> None: ...


@dataclass(frozen=True, slots=True)
class ReaskRules:
    reference: str  # which policy is asked, and how: answers of two are never mixed
    max_prompts: int
    concurrency: int
    alpha: float
    patience_seconds: float = 0.0  # that a page waits
    tolerance: PairTolerance = field(default_factory=PairTolerance)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What is known of the prompts of an alarm's stream."""

    background: Background
    places: NDArray[np.int64]  # of its latest observations
    stop: int  # the place up to which the log is read


@dataclass(frozen=True, slots=True)
class _Flight:
    alarm_id: int
    pair: Pair
    answer: Future[Compared]
    sent: float  # by the clock


class Reasker:
    """A leader's duty: each call takes what has come, judges it, and sends what is next. Never waits for an answer.

    Everything that was answered is stored, so another leader goes on where this one stopped. What was sent and not
    answered when a leader ended is sent once more.
    """

    def __init__(
        self,
        store: ReaskStore,
        observations: ObservationLog,
        comparison: Comparison,
        *,
        rules: ReaskRules,
        metrics: ReaskMetrics,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._log, self._comparison = store, observations, comparison
        self._rules, self._metrics = rules, metrics
        self._clock, self._now = clock, now
        self._flying: dict[tuple[int, int], _Flight] = {}  # by alarm and rank
        self._failed: Counter[tuple[int, int]] = Counter()
        self._pause = 0.0  # 0: the server answers
        self._pause_began = -math.inf
        self._not_before = 0.0
        self._candidates: dict[int, _Candidates] = {}

    def __call__(self) -> None:
        self._land()
        self._store.begin(MEASURES, hold_pages=self._rules.patience_seconds > 0)
        self._store.release(patience_seconds=self._rules.patience_seconds)
        asked = self._store.asked()
        self._metrics.show_reference_budget(self._store.budget_left())
        self._candidates = {one.alarm_id: self._candidates[one.alarm_id] for one in asked if self._knows(one)}
        for asking in asked:
            if self._go_on(asking):
                break  # one at a time: the next alarm may want the very prompts that are being asked

    def _knows(self, asking: Asking) -> bool:
        return asking.alarm_id in self._candidates

    def _land(self) -> None:
        """Store what has come since the last call; what is to be asked again is left open."""
        landed = [flight for flight in self._flying.values() if flight.answer.done()]
        answers, tokens = [], 0
        for flight in landed:
            answer, old, new = flight.answer.result()
            key = (flight.alarm_id, flight.pair.rank)
            self._metrics.count_reference(answer.outcome)
            tokens += answer.total_tokens or 0
            failed = answer.outcome is AnswerOutcome.FAILED
            self._failed[key] += failed
            if answer.outcome is AnswerOutcome.UNAVAILABLE or (failed and self._failed[key] < ATTEMPTS):
                self._wait(answer, sent=flight.sent)
                continue
            self._pause = 0.0
            self._failed.pop(key, None)
            answers.append((flight.alarm_id, replace(flight.pair, outcome=answer.outcome, old=old, new=new)))
        if landed:
            self._store.record(answers, tokens=tokens)
        for flight in landed:
            del self._flying[flight.alarm_id, flight.pair.rank]

    def _wait(self, answer: ReferenceAnswer, *, sent: float) -> None:
        """Send nothing for a while, for longer each time; all that were on their way together fail as one."""
        if sent >= self._pause_began:
            self._pause = min(max(2.0 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            self._pause_began = self._clock()
        pause = max(self._pause, answer.retry_after_seconds or 0.0)
        self._not_before = max(self._not_before, self._clock() + pause)
        log.warning("reference_waits", outcome=answer.outcome, reason=answer.detail, seconds=pause)

    def _go_on(self, asking: Asking) -> bool:
        """Judge what an alarm's pairs have come to, or send more; say whether answers are waited for."""
        known = self._look(asking)
        question = Question(
            stream=asking.alarm.stream,
            direction=asking.alarm.direction or Direction.UP,
            observations=asking.alarm.observations,
            background=known.background,
            tolerance=self._rules.tolerance,
            alpha=self._rules.alpha,
        )
        pairs = self._store.pairs(asking.alarm_id)
        verdict, reason = judge(pairs, question), ""
        if verdict is None:
            pairs = self._planned(asking, pairs, known.places)
            verdict = judge(pairs, question)  # some of them may have been answered for another alarm
        if verdict is None:
            reason = self._send(asking, pairs) or ""
            verdict = ReferenceVerdict.UNDECIDED if reason else None
        if verdict is not None:
            note = f"{reason}: {note_of(pairs, question)}" if reason else note_of(pairs, question)
            self._store.conclude(asking.alarm_id, verdict, note=note)
            self._candidates.pop(asking.alarm_id, None)
            log.warning("reference_verdict", alarm=asking.alarm_id, verdict=verdict, note=note)
            return False
        return any(pair.outcome is None for pair in pairs)

    def _look(self, asking: Asking) -> _Candidates:
        """Read what the log has of the alarm's stream since the last look."""
        alarm, stop = asking.alarm, self._store.log_end()
        known = self._candidates.get(asking.alarm_id)
        start = max(alarm.onset_place, alarm.place - RECENT_PLACES) if known is None else known.stop
        fresh = self._log.excerpt(alarm.stream, start, stop)
        if known is None:
            window, up = self._log.window(*asking.baseline), alarm.direction is Direction.UP
            known = _Candidates(background_of(window, fresh.values, stream=alarm.stream, up=up), fresh.places, stop)
        else:
            places = np.concatenate([known.places, fresh.places])
            kept = places[(places <= alarm.place) | (places >= stop - RECENT_PLACES)]
            known = replace(known, places=kept, stop=stop)
        self._candidates[asking.alarm_id] = known
        return known

    def _planned(self, asking: Asking, pairs: list[Pair], places: NDArray[np.int64]) -> list[Pair]:
        """Return the pairs with as many new ones as there is room to ask; some of those may be answered already."""
        most = self._rules.max_prompts * asking.rounds
        count = min(self._room() - sum(pair.outcome is None for pair in pairs), most - len(pairs))
        if count <= 0:
            return pairs
        prompts = choose_prompts(
            places,
            decided_at=asking.alarm.place,
            taken=[pair.place for pair in pairs],
            chosen_room=max(int(most * CHOSEN_SHARE) - sum(pair.chosen for pair in pairs), 0),
            count=count,
        )
        if not prompts:
            return pairs
        named = self._log.locate([place for place, _ in prompts])
        chosen = [
            ChosenPrompt(place, subject.subject_id, leans)
            for (place, leans), subject in zip(prompts, named, strict=True)
        ]
        self._store.plan(asking.alarm_id, chosen, reference=self._rules.reference)
        return self._store.pairs(asking.alarm_id)

    def _room(self) -> int:
        """Return how many requests may be on their way; one, to see whether a server is back that was away."""
        if self._clock() < self._not_before:
            return 0
        return 1 if self._pause else self._rules.concurrency

    def _send(self, asking: Asking, pairs: Sequence[Pair]) -> str | None:
        """Send what there is room for; return why no verdict will ever come, if so."""
        waiting = [pair for pair in pairs if pair.outcome is None]
        free = [pair for pair in waiting if (asking.alarm_id, pair.rank) not in self._flying]
        room = self._room() - len(self._flying)
        if free and room > 0:
            return self._ask(asking.alarm_id, free[:room])
        if waiting:
            return None
        if len(pairs) >= self._rules.max_prompts * asking.rounds:
            return "no more prompts may be asked"
        return "too few prompts came" if self._now() - asking.created_at > GIVE_UP else None

    def _ask(self, alarm_id: int, pairs: Sequence[Pair]) -> str | None:
        granted = self._store.reserve(len(pairs))
        if not granted:
            return "the day's budget is spent"
        logged = self._store.logged([pair.trace_id for pair in pairs if pair.trace_id is not None])
        gone = []
        for pair in pairs[:granted]:
            kept = None if pair.trace_id is None else logged.get(pair.trace_id)
            if kept is None:
                gone.append((alarm_id, replace(pair, outcome=AnswerOutcome.NO_TEXT)))
                continue
            self._flying[alarm_id, pair.rank] = _Flight(alarm_id, pair, self._comparison.start(kept), self._clock())
        if gone:
            self._store.record(gone, tokens=0)
        return None
