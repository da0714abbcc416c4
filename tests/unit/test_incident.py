"""Which alarms are one incident, and what they make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alarm import (
    Alarm,
    AlarmKind,
    AlarmState,
    Decomposition,
    Direction,
    Effect,
    ReferenceVerdict,
    ScorerVerdict,
    Severity,
    StoredAlarm,
)
from monitor.domain.incident import Cause, Filed, Likelihood, likely_causes, sum_up
from monitor.domain.stream import StreamKey
from monitor.drift.incident import IncidentRule

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = 1000  # places
RULE = IncidentRule()
OPEN, SEEN, SNOOZED, RECOVERED = AlarmState.OPEN, AlarmState.ACKNOWLEDGED, AlarmState.SNOOZED, AlarmState.RECOVERED


def member(
    number: int, hours: float, signal: str = "refusal", cohort: str = "*", *, since: float | None = None, **changes: Any
) -> StoredAlarm:
    """Return an alarm that is decided after *hours* and dated to *since*, a thousand traces an hour."""
    began = hours - 0.5 if since is None else since
    alarm = Alarm(
        stream=StreamKey(signal, cohort, changes.pop("model", "chat-2"), "1"),
        direction=Direction.UP,
        severity=Severity.ALERT,
        place=round(hours * HOUR),
        trace_id=f"t-{number}",
        timestamp=NOON + timedelta(hours=hours),
        onset_place=round(began * HOUR),
        onset_timestamp=NOON + timedelta(hours=began),
        observations=100,
        evidence_log=1.0,
        effect=Effect(0.1, 0.05, 0.2, "ratio"),
    )
    own = {name: changes.pop(name) for name in list(changes) if name in StoredAlarm.__match_args__}
    stored = StoredAlarm(number, OPEN, replace(alarm, **changes), NOON, baseline_id=1)
    return replace(stored, **own)


def groups_of(filed: Sequence[Filed]) -> list[list[int]]:
    """Return the alarms of each incident, by number."""
    found: dict[int, list[int]] = {}
    for item in filed:
        found.setdefault(item.incident, []).append(item.member.alarm_id)
    return sorted(sorted(numbers) for numbers in found.values())


def kept(filed: Sequence[Filed]) -> list[StoredAlarm]:
    """Return alarms as they are stored once filed; a new incident's number is made positive."""
    return [replace(item.member, incident_id=abs(item.incident)) for item in filed]


def test_a_policy_swap_is_one_incident_whatever_it_moves_and_in_whatever_order() -> None:
    swap = [
        member(1, 0.2, "response_length", severity=Severity.WARNING, state=AlarmState.SUPERSEDED),
        member(2, 0.3, "response_length"),
        member(3, 1.5, "refusal", "dataset=koala", since=0.1),
        *(member(4 + place, 2.0 + place, "reward", f"dataset={place}", since=0.4) for place in range(6)),
        member(10, 60.0, "refusal", "dataset=quiet", since=0.0),
    ]
    assert groups_of(RULE.file(reversed(swap), ())) == [list(range(1, 11))]
    facts = sum_up(kept(RULE.file(swap, ())))
    assert (facts.state, facts.severity, facts.members, facts.pages) == (OPEN, Severity.ALERT, 9, True)
    assert facts.summary == (
        "response_length up in *, refusal up in dataset=koala and 1 cohort, reward up in dataset=0 and 5 cohorts"
    )


@pytest.mark.parametrize(
    ("later", "known"),
    [
        pytest.param(member(2, 30.0, "reward", since=29.0), {}, id="that began after the window"),
        pytest.param(member(2, 30.0, "reward", since=-40.0), {}, id="decided late, of long before"),
        pytest.param(member(2, 24.0 * 8, since=0.0), {}, id="when the incident has grown for long enough"),
        pytest.param(member(2, 2.0), {"state": RECOVERED, "recovered_place": 1500}, id="after the recovery"),
        pytest.param(member(2, 2.0, model="chat-1"), {}, id="of a model that is served beside it"),
        pytest.param(member(2, 2.0, baseline_id=2), {}, id="against another baseline"),
        pytest.param(member(2, 2.0, kind=AlarmKind.NO_DATA), {}, id="of another kind"),
    ],
)
def test_an_alarm_of_another_cause_is_another_incident(later: StoredAlarm, known: dict[str, Any]) -> None:
    first = replace(member(1, 1.0), incident_id=7, **known)
    assert groups_of(RULE.file([later], [first])) == [[2]]
    assert RULE.file([later], [first])[0].incident < 0


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(member(2, 30.0, since=0.8), id="decided late, begun with the rest"),
        pytest.param(member(2, 24.0, since=-300.0), id="begun long before, decided with the rest"),
        pytest.param(member(2, 2.0, model="chat-3", policy_since=NOON), id="of the model that came after"),
        pytest.param(member(2, 2.0, kind=AlarmKind.INPUT_SHIFT, model="*"), id="of what is asked"),
    ],
)
def test_an_alarm_that_may_be_of_the_same_cause_joins_the_incident(later: StoredAlarm) -> None:
    first = replace(member(1, 1.0), incident_id=7)
    assert [filed.incident for filed in RULE.file([later], [first])] == [7]


def test_of_two_incidents_an_alarm_joins_the_one_that_began_nearest_to_it() -> None:
    known = [replace(member(1, 1.0), incident_id=7), replace(member(2, 20.0, model="chat-1"), incident_id=8)]
    both = member(3, 21.0, since=19.0, policy_since=NOON)
    assert [filed.incident for filed in RULE.file([both], known)] == [8]


def test_input_shifts_alone_page_nobody_and_a_drift_that_joins_them_does() -> None:
    shift = member(1, 1.0, "input_shift", kind=AlarmKind.INPUT_SHIFT)
    alone = kept(RULE.file([shift], ()))
    assert (sum_up(alone).kind, sum_up(alone).pages) == (AlarmKind.INPUT_SHIFT, False)
    joined = kept(RULE.file([member(2, 2.0)], alone))
    facts = sum_up([*alone, *joined])
    assert (facts.kind, facts.pages, facts.causes[0].cause) == (AlarmKind.DRIFT, True, Cause.INPUT_SHIFT)


@pytest.mark.parametrize("state", [SEEN, SNOOZED])
@pytest.mark.parametrize(
    ("seen", "newcomer", "expected"),
    [
        pytest.param({}, member(2, 2.0, cohort="a"), "covered", id="no worse than what was seen"),
        pytest.param({"severity": Severity.WARNING}, member(2, 2.0), "open", id="an alert beside warnings"),
        pytest.param({}, member(2, 2.0, model="chat-3", policy_since=NOON), "open", id="of a model nobody saw"),
    ],
)
def test_what_somebody_has_seen_covers_what_joins_it_unless_it_is_worse(
    state: AlarmState, seen: dict[str, Any], newcomer: StoredAlarm, expected: str
) -> None:
    until = NOON + timedelta(days=1) if state is SNOOZED else None
    first = member(1, 1.0, state=state, incident_id=7, acknowledged_by="eve", snoozed_until=until, **seen)
    [filed] = RULE.file([newcomer], [first])
    assert filed.member.state is (state if expected == "covered" else OPEN)
    assert sum_up([first, filed.member]).pages is (expected == "open")
    if expected == "covered":
        assert (filed.member.acknowledged_by, filed.member.snoozed_until) == ("eve", until)


def test_an_incident_is_as_open_as_its_most_severe_alarms() -> None:
    seen, warning = member(1, 1.0, state=SEEN, acknowledged_by="eve"), member(2, 2.0, severity=Severity.WARNING)
    assert (sum_up([seen, warning]).state, sum_up([seen, warning]).acknowledged_by) == (SEEN, "eve")
    ended = replace(seen, state=RECOVERED, recovered_place=3000)
    assert (sum_up([ended, warning]).state, sum_up([ended, warning]).severity) == (OPEN, Severity.WARNING)
    all_ended = [ended, replace(warning, state=AlarmState.SUPERSEDED)]
    assert (sum_up(all_ended).state, sum_up(all_ended).severity) == (RECOVERED, Severity.ALERT)
    assert sum_up([replace(item, state=AlarmState.SUPERSEDED) for item in all_ended]).state is AlarmState.SUPERSEDED


def test_an_alert_that_traffic_explains_pages_nobody() -> None:
    asked = member(1, 1.0, reference_verdict=ReferenceVerdict.TRAFFIC_CHANGED)
    assert not sum_up([asked]).pages
    assert sum_up([asked, member(2, 2.0)]).pages


def test_causes_are_ranked_by_what_speaks_for_them() -> None:
    parts = Decomposition(52.0, 8.0, 44.0, "tokens")
    members = [
        member(1, 1.0, kind=AlarmKind.INPUT_SHIFT),
        member(2, 1.5, decomposition=parts),
        member(3, 2.0, scorer_verdict=ScorerVerdict.SCORER_CHANGED),
    ]
    found = [(cause.cause, cause.likelihood) for cause in likely_causes(members)]
    assert found == [
        (Cause.SCORER, Likelihood.SHOWN),
        (Cause.POLICY_MODEL, Likelihood.LIKELY),
        (Cause.INPUT_SHIFT, Likelihood.POSSIBLE),
    ]
    [came] = likely_causes([member(1, 1.0, policy_since=NOON)])
    assert came.because == "chat-2 came at 2026-11-21 12:00Z"
    assert [cause.cause for cause in likely_causes([member(1, 1.0)])] == [Cause.UNKNOWN]


@st.composite
def histories(draw: st.DrawFn) -> list[StoredAlarm]:
    """Return alarms of a few streams over some weeks, ended or not, each of an episode of its own."""
    numbers = count(1)
    hours = st.floats(0, 24 * 20).map(lambda value: round(value, 2))
    found = []
    for _ in range(draw(st.integers(1, 12))):
        number, at = next(numbers), draw(hours)
        alarm = member(
            number,
            at,
            draw(st.sampled_from(["refusal", "reward"])),
            draw(st.sampled_from(["*", "a", "b"])),
            since=at - draw(st.floats(0, 100)),
            model=draw(st.sampled_from(["chat-1", "chat-2"])),
            severity=draw(st.sampled_from(Severity)),
            kind=draw(st.sampled_from([AlarmKind.DRIFT, AlarmKind.INPUT_SHIFT, AlarmKind.NO_DATA])),
            episode=number,
            policy_since=draw(st.sampled_from([None, NOON])),
        )
        if draw(st.booleans()):
            ended = alarm.alarm.place + draw(st.integers(1, 100 * HOUR))
            alarm = replace(alarm, state=RECOVERED, recovered_place=ended)
        found.append(alarm)
    return found


@given(histories(), st.randoms(use_true_random=False))
def test_each_alarm_is_in_one_incident_and_neither_their_order_nor_how_they_are_cut_plays_a_part(
    alarms: list[StoredAlarm], random: Any
) -> None:
    whole = groups_of(RULE.file(alarms, ()))
    assert sorted(number for numbers in whole for number in numbers) == [alarm.alarm_id for alarm in alarms]
    shuffled = random.sample(alarms, len(alarms))
    assert groups_of(RULE.file(shuffled, ())) == whole
    ordered = [item.member for item in RULE.file(alarms, ())]
    cuts = sorted({0, len(ordered), *(random.randrange(len(ordered) + 1) for _ in range(3))})
    known: list[StoredAlarm] = []
    for start, stop in pairwise(cuts):
        numbers = count(max((item.incident_id or 0 for item in known), default=0) + 1)
        given_numbers: dict[int, int] = {}
        for item in RULE.file(ordered[start:stop], known):
            number = item.incident if item.incident > 0 else given_numbers.setdefault(item.incident, 0)
            if number == 0:
                number = given_numbers[item.incident] = next(numbers)
            known.append(replace(item.member, incident_id=number))
    pieces: dict[int | None, list[int]] = {}
    for stored in known:
        pieces.setdefault(stored.incident_id, []).append(stored.alarm_id)
    assert sorted(sorted(numbers) for numbers in pieces.values()) == whole
