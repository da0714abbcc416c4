"""The laws of versions that came after the baseline: its window's answers are kept, and are read again."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import structlog

from monitor.domain.observation import SubjectWindow
from monitor.domain.signal import Observation
from monitor.domain.trace import Trace
from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.first import FirstLaws
from monitor.drift.freeze import NullRule, Window, build_signal_baseline, read_prompts
from monitor.drift.stored import ActiveBaseline

Key = tuple[str, str]  # signal and version
Reader = Callable[[Sequence[Trace]], Sequence[Sequence[Observation]]]  # what is observed on each trace
SLICE_TRACES = 32  # read at once
SLICE_SECONDS = 2.0  # of a turn: the leader has other duties
AGAIN_SECONDS = 3600.0  # after which a version that got no law is tried again: a judge may have been away
STRANGE_SECONDS = 3600.0  # for which a version that this program does not compute is taken for a release's that comes
GONE_SECONDS = 60.0  # after which a version that nobody writes has ended
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptTrace:
    """A trace of the baseline's window, of which the prompt and the answers are kept."""

    place: int
    cohort: str
    trace: Trace


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """Which versions may lack a law for a while, and why some will have none."""

    signals: frozenset[str] = frozenset()  # that are read again, or get a law of their first traces
    reasons: Mapping[Key, str] = field(default_factory=dict)

    def reason(self, key: Key) -> str | None:
        """Return why *key* has no law, "" where nobody knows; None while one may still come."""
        return self.reasons.get(key) if key[0] in self.signals else ""


class VersionStore(Protocol):
    """What versions are asked of the log. Every method raises `Unavailable` where the store is away."""

    def latest_versions(self) -> set[Key]:
        """Return signal and version of the latest observations of traces."""
        ...

    def kept_traces(self, baseline_id: int, *, after: int, limit: int) -> Sequence[KeptTrace]:
        """Return the first *limit* kept traces of the window past the place *after*, in the order of places."""
        ...

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        """Return what was known before the answers of the subjects on the places start <= place < stop."""
        ...

    def hand_over(self, ended: Collection[Key], lasting: Collection[Key]) -> None:
        """Supersede the live alarms of versions that *ended*; open again what goes on of the *lasting* ones."""
        ...


@dataclass(slots=True)
class _Reading:
    """How far the window is read again, for some versions."""

    wanted: frozenset[Key]
    next_place: int = -1
    traces: int = 0
    rows: defaultdict[Key, list[tuple[int, str, str, float]]] = field(default_factory=lambda: defaultdict(list))


class VersionLaws:
    """Makes the laws that the active baseline lacks, of versions that this program computes; a slice a call.

    It begins when such a version is seen in the log, whoever wrote it. Only *signals* are read again: they hang on a
    trace's prompt and answer alone, which are kept. Others get a law of their *first* traces. Nothing but time is lost
    where a leader ends in the middle.
    """

    def __init__(
        self,
        store: VersionStore,
        read: Reader,
        rule: NullRule,
        *,
        signals: Collection[str],
        first: FirstLaws | None = None,
        edition: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*edition* changes with whom *read* asks, where another may take its place while this program runs."""
        self.signals, self._first = frozenset(signals), first
        self.reasons: dict[Key, str] = {}  # why a version that was seen has no law
        self._tried: dict[Key, float] = {}  # when that was found
        self._store, self._read, self._rule, self._clock = store, read, rule, clock
        self._edition, self._known_edition = edition, edition()
        self._baseline_id: int | None = None
        self._reading: _Reading | None = None
        self._strange: dict[Key, float] = {}  # since when
        self._seen: dict[Key, float] = {}  # last
        self._ended: frozenset[Key] = frozenset()

    def unfollowed(self) -> Unfollowed:
        if self._first is None:
            return Unfollowed(self.signals, dict(self.reasons))
        return Unfollowed(self.signals | self._first.signals, self.reasons | self._first.reasons)

    def look(self, active: ActiveBaseline) -> None:
        """See which versions are written, begin to read for those without a law, and end those that are gone."""
        if active.baseline_id != self._baseline_id:
            self._baseline_id, self._reading, self._ended = active.baseline_id, None, frozenset()
            self.reasons, self._tried, self._strange, self._seen = {}, {}, {}, {}
        if self._edition() != self._known_edition:  # what was strange may be its version, and half of a reading is not
            self._known_edition, self._reading, self._strange = self._edition(), None, {}
        known, now = {law.key for law in active.baseline.signals}, self._clock()
        versions = self._store.latest_versions()
        if self._first is not None:
            self._first.look(active, versions)
        latest = {key for key in versions if key[0] in self.signals}
        self._seen |= dict.fromkeys(latest, now)
        self._end(known, latest, now)
        for key, since in list(self._strange.items()):
            if key not in known and now - since >= STRANGE_SECONDS:
                self._give_up(key, "another release, or other settings, compute it")
                del self._strange[key]
        given_up = {key for key, at in self._tried.items() if now - at < AGAIN_SECONDS}
        wanted = frozenset(latest - known - given_up - self._strange.keys())
        if wanted and self._reading is None:
            self._reading = _Reading(wanted)
            log.info("reading_window_again", baseline=active.baseline_id, versions=sorted(wanted))

    def _end(self, known: Collection[Key], latest: Collection[Key], now: float) -> None:
        """End the versions that nobody writes any more, where another of the same signal is followed."""
        lasting = {key for key in latest if key in known}
        followed = {signal for signal, _ in lasting}
        gone = {
            key
            for key in known
            if key[0] in followed and now - self._seen.setdefault(key, now) >= GONE_SECONDS and key not in latest
        }
        if gone != self._ended:
            self._store.hand_over(gone, lasting)
            self._ended = frozenset(gone)

    def advance(self, active: ActiveBaseline) -> list[SignalBaseline]:
        """Read a slice; return the laws once all is read, and nothing before. Else those of first traces."""
        reading = self._reading
        if active.baseline_id != self._baseline_id:
            return []
        if reading is None:
            return [] if self._first is None else self._first.laws(active)
        until = self._clock() + SLICE_SECONDS
        while True:
            kept = self._store.kept_traces(active.baseline_id, after=reading.next_place, limit=SLICE_TRACES)
            self._take(reading, kept)
            if self._edition() != self._known_edition:
                return []  # the next look begins anew
            if len(kept) < SLICE_TRACES:
                break
            if self._clock() >= until:
                return []
        self._reading = None
        return list(self._laws(reading, active.baseline))

    def _take(self, reading: _Reading, kept: Sequence[KeptTrace]) -> None:
        found = self._read([item.trace for item in kept]) if kept else ()
        for item, observed in zip(kept, found, strict=True):
            for seen in observed:
                row = item.place, item.cohort, item.trace.policy_model, seen.value
                reading.rows[seen.signal, seen.scorer_version].append(row)
        if kept:
            reading.next_place = kept[-1].place
            reading.traces += len(kept)

    def _laws(self, reading: _Reading, baseline: Baseline) -> Iterator[SignalBaseline]:
        prompts = None
        if baseline.prompts is not None and reading.wanted & reading.rows.keys():
            subjects = self._store.subjects(baseline.first_place, baseline.stop_place)
            prompts = read_prompts(subjects, baseline.prompts)
        for key in sorted(reading.wanted):
            rows = reading.rows.get(key, [])
            law = None if not rows else build_signal_baseline(_window(key, rows), self._rule, prompts)
            if law is not None and law.strata:
                log.info("version_read_again", signal=key[0], version=key[1], traces=len(rows))
                yield replace(law, since=baseline.stop_place)  # not one of those that the window's budget counts
                continue
            own = sorted(version for signal, version in reading.rows if signal == key[0])
            if own and not rows:  # in the middle of a rollout the leader may be the older, or the newer
                self._strange[key] = self._clock()
                continue
            kept = reading.traces
            few = f"of {kept} kept answers of the baseline's window only {len(rows)} can be read again"
            self._give_up(key, few if kept else "no text of the baseline's window is kept")

    def _give_up(self, key: Key, reason: str) -> None:
        if self.reasons.get(key) != reason:
            log.warning("version_not_read_again", signal=key[0], version=key[1], reason=reason)
        self.reasons[key], self._tried[key] = reason, self._clock()


def _window(key: Key, rows: Sequence[tuple[int, str, str, float]]) -> Window:
    places, cohorts, models, values = zip(*rows, strict=True)
    return Window(
        signal=key[0],
        scorer_version=key[1],
        cohorts=cohorts,
        policy_models=models,
        values=np.array(values, dtype=np.float64),
        places=np.array(places, dtype=np.int64),
    )
