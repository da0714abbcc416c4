"""Baselines: listed, shown, and frozen from a window of traces, with a look at what that would change."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine

from monitor.app.rules import null_rule_of
from monitor.domain.baseline import BaselineQuery, TraceWindow, window_bounds
from monitor.domain.order import Actor
from monitor.domain.view import BaselineSummary
from monitor.drift.baseline import Baseline
from monitor.drift.controller import freeze_window
from monitor.drift.preview import FreezePreview, preview_freeze
from monitor.drift.summary import BaselineLaws, kinds_of, summarise
from monitor.errors import Conflict
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.baselines import PostgresBaselineViews
from monitor.settings.root import Settings


class Baselines:
    """`web.routes.baseline.Freezes`, and the command's; may be asked from many threads."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._store = PostgresFoldStore(engine)
        self._views = PostgresBaselineViews(engine)
        self._rule = null_rule_of(settings)
        self._freezing = threading.Lock()  # a window takes memory, and a processor

    def baselines(self, wanted: BaselineQuery, *, limit: int, before: int | None = None) -> Sequence[BaselineSummary]:
        return self._views.baselines(wanted, limit=limit, before=before)

    def summary(self, baseline_id: int) -> BaselineSummary | None:
        return self._views.summary(baseline_id)

    def laws_of(self, baseline_id: int) -> BaselineLaws | None:
        found = self._views.stored(baseline_id)
        if found is None:
            return None
        baseline = found.baseline
        return BaselineLaws(found.baseline_id, found.revision, summarise(baseline), kinds_of(baseline))

    def preview(self, window: TraceWindow) -> FreezePreview:
        with self._one_at_a_time():
            frozen, start, stop = self._build(window)
        return preview_freeze(
            frozen,
            self._store.active(),
            traces=(start, stop),
            alarms=self._views.live_alarms(),
            at_once=self._rule.signals.at_once,
        )

    def freeze(
        self, window: TraceWindow, *, actor: Actor, note: str = "", instead_of: int | None = None
    ) -> BaselineSummary:
        with self._one_at_a_time():
            frozen, start, stop = self._build(window)
            self._require(instead_of)
            told = note or f"traces {start} to {stop}"
            made = self._store.freeze(frozen, by=actor.name, role=actor.role, note=told, instead_of=instead_of)
        if (made.baseline.first_place, made.baseline.stop_place) != (frozen.first_place, frozen.stop_place):
            raise Conflict(f"baseline {made.baseline_id} took the place of {instead_of} meanwhile: look at it first")
        found = self._views.summary(made.baseline_id)
        assert found is not None
        return found

    def _build(self, window: TraceWindow) -> tuple[Baseline, int, int]:
        store = self._store
        store.place_entries()
        start, stop = window_bounds(window, store.placed_traces())
        first_place, stop_place = store.place_of_trace(start), store.place_of_trace(stop - 1) + 1
        return freeze_window(store, self._rule, first_place=first_place, stop_place=stop_place), start, stop

    def _require(self, instead_of: int | None) -> None:
        active = self._store.active()
        if instead_of is not None and (active is None or active.baseline_id != instead_of):
            there = "none is" if active is None else f"{active.baseline_id} is"
            raise Conflict(f"baseline {instead_of} is not the active one, {there}: look at what would change again")

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._freezing.acquire(blocking=False):
            raise Conflict("a baseline is being built already: try again when it is done")
        try:
            yield
        finally:
            self._freezing.release()
