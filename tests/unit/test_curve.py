"""The curves of an alarm, and its sentence, from a log whose answers grew longer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from monitor.domain.alarm import AlarmKind, Effect, Severity
from monitor.domain.observation import LogEnd, Moment, ObservationBatch
from monitor.drift.curve import FOLD_PLACES, PLOT_PLACES, POINTS, draw, stretch_of
from monitor.drift.refold import WARM_PLACES
from monitor.drift.sentence import Levels, change_of, levels_of, sentence
from monitor.drift.stored import FoldPosition
from tests.curves import InMemoryCurveLog
from tests.drifted import PLAN, Drifted
from tests.unit.in_memory_ports import stored_alarm


class CountedLog(InMemoryCurveLog):
    """A long log that is forgotten, and counts what is asked of it."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places, self.read = places, 0
        self.began: int | None = None

    @property
    def end(self) -> LogEnd:
        return LogEnd(self.places, self.places)

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> list[ObservationBatch]:
        self.read += stop - start
        return super().window(start, stop, signals)

    def position_at(self, place: int) -> FoldPosition:
        self.began = place
        return FoldPosition(place, place)

    def moments(self, places: Sequence[int]) -> list[Moment]:
        return []


@pytest.fixture(scope="module")
def case() -> Drifted:
    return Drifted()


def test_the_mean_leaves_the_baseline_s_band_after_the_onset_and_not_before(case: Drifted) -> None:
    stored = case.stored()
    drawn = case.drawn(stored)
    assert drawn.band is not None
    assert drawn.unit == "tokens"
    (line,) = drawn.lines
    before = [point.value for point in line.points if point.place < 1300]
    after = [point.value for point in line.points if point.place > 1300 + 2 * line.window]
    assert sum(before) / len(before) == pytest.approx(drawn.band.mean, rel=0.1)
    assert sum(after) / len(after) > drawn.band.accepted_upper > drawn.band.upper > drawn.band.mean
    assert drawn.band.accepted_lower < drawn.band.lower
    assert (drawn.stop_place, drawn.until_now) == (2000, True)


@pytest.mark.parametrize("severity", Severity)
def test_the_evidence_reaches_one_at_the_alarm_s_place_and_is_the_stored_one_there(
    case: Drifted, severity: Severity
) -> None:
    stored = case.stored(severity)
    curve = case.drawn(stored).evidence
    assert curve is not None
    assert (curve.whole, curve.agrees) == (True, True)
    values = {point.place: point.value for point in curve.points}
    assert values[stored.alarm.place] == pytest.approx(stored.alarm.evidence_log)
    earlier = [value for place, value in values.items() if place < stored.alarm.place]
    assert earlier
    assert max(earlier) < 1.0
    assert len(curve.points) <= POINTS + 2


def test_a_cohort_s_own_stream_has_its_evidence_too_and_no_heatmap(case: Drifted) -> None:
    drawn = case.drawn(case.stored(cohort="dataset=wild"))
    assert drawn.evidence is not None
    assert drawn.evidence.agrees
    assert drawn.cohorts == ()


def test_the_cohort_that_moved_comes_first_and_its_cells_say_when(case: Drifted) -> None:
    drawn = case.drawn(case.stored())
    assert sorted(row.cohort for row in drawn.cohorts) == ["dataset=calm", "dataset=wild"]
    assert [row.part.contribution for row in drawn.cohorts] == sorted(
        (row.part.contribution for row in drawn.cohorts), reverse=True
    )
    cells = drawn.cohorts[0].cells
    assert len(cells) == len(drawn.edges) - 1
    late = [
        [cell or 0.0 for edge, cell in zip(drawn.edges, row.cells, strict=False) if edge >= 1300]
        for row in drawn.cohorts
    ]
    assert drawn.cohorts[0].cohort == "dataset=wild"
    assert sum(late[0]) > 2 * abs(sum(late[1]))


def test_every_place_that_is_named_has_both_its_times(case: Drifted) -> None:
    stored = case.stored()
    drawn = case.drawn(stored)
    assert drawn.evidence is not None
    known = {moment.place: moment for moment in drawn.moments}
    points = [*drawn.evidence.points, *(point for line in drawn.lines for point in line.points)]
    assert {point.place for point in points} <= known.keys()
    assert known[stored.alarm.place].trace_time == stored.alarm.timestamp
    assert known[stored.alarm.place].logged_at >= known[stored.alarm.place].trace_time
    assert len(known) < 2 * POINTS + 100


def test_far_behind_its_baseline_the_evidence_is_folded_from_shortly_before_and_says_so(
    case: Drifted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.drift.curve.FOLD_PLACES", 100)
    monkeypatch.setattr("monitor.drift.curve.WARM_PLACES", 20)
    monkeypatch.setattr("monitor.drift.curve.LEAST_AROUND", 100)
    stored = case.stored()
    curve = case.drawn(stored).evidence
    assert curve is not None
    assert (curve.whole, curve.agrees) == (False, None)
    (at,) = (point.value for point in curve.points if point.place == stored.alarm.place)
    assert stored.alarm.evidence_log is not None
    assert 0.5 < at <= stored.alarm.evidence_log


@pytest.mark.parametrize("span", [1, 300, 4_000, 90_000])
def test_no_stretch_is_longer_than_what_may_be_read(case: Drifted, span: int) -> None:
    alarm = replace(stored_alarm().alarm, place=200_000, onset_place=200_000 - span)
    first, stop = stretch_of(alarm, recovered=None, end=10**9)
    assert first <= alarm.place < stop
    assert stop - first <= PLOT_PLACES
    assert (first < alarm.onset_place) == (span < 20_000)
    log, baseline = CountedLog(300_000), case.result.baseline
    assert baseline is not None
    drawn = draw(replace(stored_alarm(), alarm=alarm), baseline, log, PLAN.fold)
    assert drawn is not None
    assert log.began is not None
    assert log.read <= 2 * PLOT_PLACES + alarm.place - alarm.onset_place
    assert stop - log.began <= max(FOLD_PLACES, PLOT_PLACES + WARM_PLACES)


def test_an_alarm_of_silence_and_one_whose_baseline_cannot_be_read_have_no_curves(case: Drifted) -> None:
    stored = case.stored()
    silent = replace(stored, alarm=replace(stored.alarm, kind=AlarmKind.NO_DATA))
    assert draw(silent, case.result.baseline, case.log, PLAN.fold) is None
    assert draw(stored, None, case.log, PLAN.fold) is None


def test_what_the_log_has_forgotten_leaves_no_curve_behind(case: Drifted) -> None:
    drawn = draw(case.stored(), case.result.baseline, InMemoryCurveLog(), PLAN.fold)
    assert drawn is not None
    assert (drawn.lines, drawn.evidence, drawn.moments) == ((), None, ())


def test_the_sentence_names_levels_percent_model_and_delay(case: Drifted) -> None:
    stored = replace(case.stored(), trace_number=1363, onset_trace_number=1300)
    levels = levels_of(stored, case.result.baseline, case.log)
    assert levels is not None
    assert stored.alarm.effect is not None
    assert levels.seen - levels.expected == pytest.approx(stored.alarm.effect.estimate)
    said = sentence(stored, levels)
    assert said.startswith(f"since {stored.alarm.onset_timestamp:%Y-%m-%d %H:%M} UTC: {levels.expected:,.0f} -> ")
    assert said.endswith(f"under {stored.alarm.stream.policy_model}; 63 traces after it began")


@pytest.mark.parametrize(
    ("effect", "levels", "told"),
    [
        (Effect(67, 48.6, 90.9, "tokens"), Levels(128, 195, "tokens"), "128 -> 195 tokens (+52%, 95% +38..+71%)"),
        (Effect(-6e2, -7e2, -5e2, "tokens"), Levels(1240, 640, "tokens"), "1,240 -> 640 tokens (-48%, 95% -56..-40%)"),
        (Effect(0.053, 0.02, 0.09, "ratio"), Levels(0.031, 0.084, "ratio"), "3.1% -> 8.4% (+5.3 points, 95% +2..+9)"),
        (Effect(-0.3, -0.5, -0.1, "reward"), Levels(-1.0, -1.3, "reward"), "-1 -> -1.3 reward (-0.3, 95% -0.5..-0.1)"),
        (Effect(0.053, 0.02, 0.09, "ratio"), None, "+5.3 points (95% +2..+9)"),
    ],
)
def test_a_change_is_told_in_what_its_unit_is_read_in(effect: Effect, levels: Levels | None, told: str) -> None:
    assert change_of(effect, levels) == told


def test_an_alarm_without_an_effect_says_what_it_found() -> None:
    stored = stored_alarm(kind=AlarmKind.NO_DATA, effect=None, detail="no trace for 20 min")
    assert sentence(stored, None) == "since 2026-11-21 11:57 UTC: no trace for 20 min"


def test_a_model_that_came_with_the_change_has_its_own_line_and_its_first_place() -> None:
    case = Drifted("chat-3")
    stored = case.stored()
    drawn = case.drawn(stored)
    assert stored.alarm.stream.policy_model == "chat-3"
    assert [line.policy_model for line in drawn.lines] == ["chat-3", "phi-2"]
    assert [(one.policy_model, one.place) for one in drawn.newcomers] == [("chat-3", 1300)]
    assert drawn.lines[1].points[-1].place < 1300 <= drawn.lines[0].points[0].place
