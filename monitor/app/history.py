"""Streams' pasts: what the leader does so that they can be drawn, and what their pages are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import Engine

from monitor.app.leader import Duty
from monitor.app.signals import signals_of
from monitor.domain.history import HistoryRange
from monitor.domain.stream import StreamKey
from monitor.drift.history import HeldBand, KnownBand, StreamHistory, about, band_in, held_band, marks_of, points_of
from monitor.drift.rollup import Bucket, BucketKey, roll_up
from monitor.drift.stored import HeldBaseline
from monitor.postgres.rollups import PostgresRollups, Unread
from monitor.postgres.views.history import PostgresHistory
from monitor.settings.root import Settings
from monitor.signals.set import SignalSet

STEP_PLACES = 20_000  # of the log in one turn: what is behind is caught up in so many at a time
MAX_KNOWN = 5000  # bands that are kept, of a stream in a baseline each
PAUSE_SECONDS = 10.0  # between two steps where all is read: each writes every stream's row once


class RollupStore(Protocol):
    def unread(self, *, max_places: int) -> Unread | None: ...

    def save(self, unread: Unread, buckets: Mapping[BucketKey, Bucket]) -> None: ...


class RollUp:
    """Add the log's next entries to the roll-ups, a step a turn; return whether more is there."""

    def __init__(self, store: RollupStore) -> None:
        self._store = store

    def __call__(self) -> bool:
        unread = self._store.unread(max_places=STEP_PLACES)
        if unread is None:
            return False
        self._store.save(unread, roll_up(unread.seen, since=unread.since))
        return unread.more


def history_duties(settings: Settings, fenced: Engine) -> list[Duty]:
    return [Duty("roll_up", PAUSE_SECONDS, RollUp(PostgresRollups(fenced, days=settings.retention.rollup_days)))]


class StreamHistories:
    """`web.routes.stream.Histories`; may be asked from many threads."""

    def __init__(self, engine: Engine, signals: SignalSet) -> None:
        self._store = PostgresHistory(engine)
        self._signals = signals
        self._known: dict[tuple[int, int, StreamKey], tuple[KnownBand, datetime | None]] = {}

    @classmethod
    def of(cls, engine: Engine, settings: Settings) -> StreamHistories:
        return cls(engine, signals_of(settings))

    def knows(self, stream_id: int) -> bool:
        return self._store.knows(stream_id)

    def history(self, stream_id: int, chosen: HistoryRange, *, until: datetime | None) -> StreamHistory | None:
        found = self._store.stored(stream_id, chosen, until)
        if found is None:
            return None
        bands, unit = self._bands(found.held, found.stream.key)
        known_unit, meaning = about(self._signals, found.stream.key.signal)
        return StreamHistory(
            stream=found.stream,
            unit=unit or known_unit,
            meaning=meaning,
            range=chosen,
            since=found.since,
            until=found.until,
            width_seconds=chosen.width_seconds,
            points=points_of(found.buckets, chosen.width_seconds),
            bands=bands,
            marks=marks_of(
                found.alarms,
                found.baselines,
                found.releases,
                found.models,
                since=found.since,
                until=found.until,
            ),
            first=found.first,
            last=found.last,
            related=found.related,
        )

    def _bands(self, held: Sequence[HeldBaseline], stream: StreamKey) -> tuple[tuple[HeldBand, ...], str]:
        """Return the bands of *stream* and its unit; a baseline is read once for as long as nothing is added to it."""
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        names = {one.baseline_id: (one.baseline_id, one.revision, stream) for one in held}
        found = {number: self._known[name] for number, name in names.items() if name in self._known}
        for number, baseline in self._store.laws([number for number in names if number not in found], stream):
            known = band_in(baseline, stream)
            added = self._store.moment_of(known.place - 1) if known.place else None
            found[number] = self._known[names[number]] = known, added
        told = [(one, *found[one.baseline_id]) for one in held if one.baseline_id in found]
        bands = (held_band(one, known, added) for one, known, added in told)
        unit = next((known.unit for _, known, _ in reversed(told) if known.unit), "")
        return tuple(band for band in bands if band is not None), unit
