"""Explanations of alarms, from the database."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Engine

from monitor.app.rules import controller_rules_of
from monitor.domain.alarm import AlarmState, Severity, StoredAlarm
from monitor.domain.episode import AlarmPage, Compared, KeptText, ShownAnswer, events_of
from monitor.drift.curve import Curves, draw, stretch_of
from monitor.drift.explain import Explanation, explain
from monitor.drift.fold import FoldRules
from monitor.drift.sentence import ToldAlarm, levels_of, sentence
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.alarm_page import PostgresCurveLog, PostgresEpisodes
from monitor.postgres.views.history import PostgresHistory
from monitor.settings.root import Settings

WEB_PLACES = 20_000  # folded again for a page; the terminal has time for all of them
MAX_LIVE = 1000  # alarms of a state that a report looks through
MAX_TOLD = 50  # alarms that a report tells
SENTENCES = 256  # that are kept: an alarm's sentence never changes


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


class AlarmPages:
    """What the pages of alarms show; may be asked from many threads."""

    def __init__(self, engine: Engine, rules: FoldRules) -> None:
        self._alarms = PostgresAlarms(engine)
        self._episodes = PostgresEpisodes(engine)
        self._log = PostgresCurveLog(engine)
        self._histories = PostgresHistory(engine)
        self._explanations = Explanations(engine, rules, max_places=WEB_PLACES)
        self._rules = rules
        self._drawing = threading.Lock()  # one folds at a time, however many look
        self._sentences: OrderedDict[int, str] = OrderedDict()

    def page(self, alarm_id: int) -> AlarmPage | None:
        """Return what is said of an alarm; None where there is no such alarm."""
        stored = self._alarms.alarm(alarm_id)
        if stored is None:
            return None
        alarm, end = stored.alarm, self._log.end.next_place
        first, stop = stretch_of(alarm, recovered=stored.recovered_place, end=end)
        places = {first, stop - 1, alarm.onset_place, alarm.place, stored.recovered_place or alarm.place}
        moments = {moment.place: moment for moment in self._log.moments(sorted(places))}
        since = moments[first].logged_at if first in moments else stored.created_at
        until = moments[stop - 1].logged_at if stop < end and stop - 1 in moments else None
        records = self._episodes.records(stored, since=since, until=until)
        ends = [row.stop_place - 1 for row in records.baselines]
        moments |= {moment.place: moment for moment in self._log.moments(ends)}
        events, stream_id = events_of(stored, records, moments), self._histories.number_of(alarm.stream)
        return AlarmPage(stored, self.sentence(stored), events, records.jobs, stream_id)

    def explanation(self, alarm_id: int) -> Explanation | None:
        """Return what can be said of an alarm, folded again as far as a page may wait."""
        return self._explanations.explanation(alarm_id)

    def curves(self, alarm_id: int) -> Curves | None:
        """Return what is drawn of an alarm; None where there is no such alarm, or nothing to draw."""
        stored = self._alarms.alarm(alarm_id)
        if stored is None or stored.baseline_id is None:
            return None
        with self._drawing:
            return draw(stored, self._log.baseline(stored.baseline_id), self._log, self._rules)

    def answers(self, alarm_id: int) -> tuple[Compared, ...] | None:
        """Return the most telling answers beside the baseline's; None where there is no such alarm."""
        with self._drawing:
            told = self.explanation(alarm_id)
        if told is None:
            return None
        named = [example.trace_id for example in told.examples]
        named += [row.trace_id for example in told.examples for row in example.alike]
        texts = self._episodes.texts([trace_id for trace_id in named if trace_id is not None])
        return tuple(
            Compared(
                example=_shown(example.trace_id, example.value, None, texts),
                expected=example.expected,
                alike=tuple(_shown(row.trace_id, row.value, row.similarity, texts) for row in example.alike),
            )
            for example in told.examples
        )

    def sentence(self, stored: StoredAlarm) -> str:
        """Return *stored* in one sentence."""
        known = self._sentences.get(stored.alarm_id)
        if known is None:
            baseline = None if stored.baseline_id is None else self._log.baseline(stored.baseline_id)
            known = sentence(stored, levels_of(stored, baseline, self._log))
            self._sentences[stored.alarm_id] = known
            while len(self._sentences) > SENTENCES:
                self._sentences.popitem(last=False)
        return known


def told_alarms(engine: Engine, settings: Settings, alarm_id: int | None) -> list[ToldAlarm]:
    """Return the alarm *alarm_id*, or those that are live, alerts first, at most `MAX_TOLD`; each with its sentence."""
    alarms, pages = PostgresAlarms(engine), AlarmPages(engine, controller_rules_of(settings).fold)
    if alarm_id is None:
        live = [one for state in AlarmState if state.is_live for one in alarms.alarms(state=state, limit=MAX_LIVE)]
        found = sorted(live, key=lambda one: (one.alarm.severity is not Severity.ALERT, -one.alarm_id))[:MAX_TOLD]
    else:
        found = [one for one in (alarms.alarm(alarm_id),) if one is not None]
    return [ToldAlarm(one, pages.sentence(one)) for one in found]


def _shown(trace_id: str | None, value: float, likeness: float | None, texts: Mapping[str, KeptText]) -> ShownAnswer:
    kept = texts.get(trace_id or "") or KeptText(None, None, cut=False)
    return ShownAnswer(trace_id or "", value, likeness, kept.prompt, kept.response, kept.cut)
