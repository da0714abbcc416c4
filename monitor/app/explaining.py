"""Explanations of alarms, from the database."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from monitor.drift.explain import Explanation, explain
from monitor.drift.fold import FoldRules
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.streams import PostgresFoldStore

WEB_PLACES = 20_000  # folded again for a page; the terminal has time for all of them


class Explanations:
    """Makes alarms again from the log; may be asked from many threads."""

    def __init__(self, engine: Engine, rules: FoldRules, *, max_places: int | None = None) -> None:
        self._alarms = PostgresAlarms(engine)
        self._log = PostgresFoldStore(engine)
        self._rules = rules
        self._max_places = max_places

    def explanation(self, alarm_id: int) -> Explanation | None:
        """Return what can be said of an alarm; None where there is no such alarm."""
        stored = self._alarms.alarm(alarm_id)
        if stored is None:
            return None
        baseline = None if stored.baseline_id is None else self._log.baseline(stored.baseline_id)
        told = explain(
            stored,
            baseline,
            self._log,
            self._rules,
            coincident=self._alarms.coincident(stored),
            max_places=self._max_places,
        )
        active = self._log.active()
        if told.recount is None or active is None or active.baseline_id == stored.baseline_id:
            return told
        note = f"{told.recount.note}; it is against baseline {stored.baseline_id}, and {active.baseline_id} came since"
        return replace(told, recount=replace(told.recount, note=note))
