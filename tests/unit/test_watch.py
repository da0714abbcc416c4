"""What does not come: the whole log, a cohort, a policy model, a signal, newer timestamps; and who is not watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.alarm import AlarmKind, Severity
from monitor.domain.stream import StreamKey
from monitor.drift.arrivals import Arrivals, RaisedBefore, Senders
from monitor.drift.versions import Unfollowed
from monitor.drift.watch import Finding, Followed, Look, WatchRules, key_of, settle, span
from monitor.signals.set import DEFAULT, choose

START = datetime(2026, 3, 2, 9, 20, tzinfo=UTC)  # a Monday
RULES = WatchRules(takeover_seconds=30.0, unread_after_seconds=200.0)
PERIOD = 5.0
Traffic = Mapping[tuple[str, str], int]  # traces an entry, by cohort and policy model
BOTH: Traffic = {("koala", "a"): 6, ("vicuna", "a"): 4}
FOLLOWED = Followed(1, frozenset({"koala", "vicuna"}), frozenset({("reward", "v1"), ("refusal", "rules")}))


class Site:
    """A log that an entry is written to every `PERIOD` seconds, and a leader that looks at it."""

    def __init__(self) -> None:
        self.senders, self.at, self.sequence = Senders(START), START, 0
        self.timestamp: Callable[[datetime], datetime] = lambda at: at
        self.offsets = {"traces/0": 0, "traces/1": 0}

    def send(self, traffic: Traffic, hours: float, *, scored: bool = True, partitions: int = 2) -> list[Finding]:
        """Let *traffic* come for so long; return all that was found meanwhile."""
        found: list[Finding] = []
        for number in range(round(hours * 3600.0 / PERIOD)):
            self.at += timedelta(seconds=PERIOD)
            self.senders.add(self.entry(traffic, scored=scored), unread_after_seconds=RULES.unread_after_seconds)
            self.offsets |= {f"traces/{part}": number + self.sequence for part in range(partitions)}
            self.senders.look_at(self.offsets)
            if number % 12 == 0:
                found += self.look()
        return found

    def entry(self, traffic: Traffic, *, scored: bool = True) -> Arrivals:
        self.sequence += 1
        seen = {StreamKey("refusal", *of, "rules"): count for of, count in traffic.items()}
        if scored:
            seen |= {StreamKey("reward", *of, "v1"): count for of, count in traffic.items()}
        traces, at = sum(traffic.values()), self.at
        return Arrivals(self.sequence, self.sequence * 10, at, traces, 0, self.timestamp(at) if traces else None, seen)

    def wait(self, hours: float, *, told: bool = True) -> list[Finding]:
        """Let so much time pass without anything; a leader tells the time of each minute, or nobody is there."""
        found: list[Finding] = []
        until = self.at + timedelta(hours=hours)
        while self.at < until:
            self.at += timedelta(minutes=1)
            if told:
                self.senders.add(self.entry({}), unread_after_seconds=RULES.unread_after_seconds)
                found += self.look()
        return found

    def look(self) -> list[Finding]:
        return Look(self.senders, RULES).findings(FOLLOWED)


@pytest.fixture
def site() -> Site:
    site = Site()
    assert site.send(BOTH, 3.0) == []
    return site


def told(found: list[Finding]) -> set[tuple[AlarmKind, StreamKey, Severity]]:
    return {(finding.kind, finding.stream, finding.severity) for finding in found}


def test_a_log_that_falls_silent_is_told_once_and_not_again_for_each_of_its_cohorts_and_signals(site: Site) -> None:
    stopped = site.at
    found = site.wait(1.0)
    assert told(found) == {(AlarmKind.NO_DATA, StreamKey("*", "*", "*", "*"), Severity.ALERT)}
    assert found[0].since == stopped.timestamp()
    assert found[0].detail.startswith("no traces for 1 min; at these hours one usually comes every 5.0 s")


def test_a_log_that_is_back_with_one_cohort_first_waits_for_the_other_as_for_any(site: Site) -> None:
    site.wait(0.5)
    assert site.send({("koala", "a"): 6}, 1 * PERIOD / 3600.0, partitions=1) == []
    found = site.send({("koala", "a"): 6}, 0.5)
    assert {finding.stream for finding in found} == {key_of(("vicuna", "*"))}
    assert "no traces of vicuna for 31 min 10 s; at these hours one usually comes every 5.0 s" in found[0].detail


def test_a_cohort_that_stops_is_a_warning_of_its_own_and_its_signals_are_not(site: Site) -> None:
    found = site.send({("koala", "a"): 6}, 1.0)
    assert told(found) == {(AlarmKind.NO_DATA, key_of(("vicuna", "*")), Severity.WARNING)}
    assert found[-1].detail.startswith("no traces of vicuna for ")


def test_traces_that_come_without_their_scores_are_told_as_a_silent_scorer(site: Site) -> None:
    found = site.send(BOTH, 0.5, scored=False)
    assert told(found) == {(AlarmKind.SCORER_SILENT, StreamKey("reward", "*", "*", "*"), Severity.ALERT)}
    assert "without reward; it usually comes with 100.0% of them" in found[0].detail


def test_opinions_that_stop_alone_are_told_and_not_beside_a_scorer_that_stopped(site: Site) -> None:
    def send(*signals: str) -> set[tuple[AlarmKind, StreamKey, Severity]]:
        found: list[Finding] = []
        for _ in range(300):
            site.at += timedelta(seconds=PERIOD)
            entry = site.entry(BOTH, scored=False)
            seen = {StreamKey(signal, *of, "v1"): count for of, count in BOTH.items() for signal in signals}
            site.senders.add(
                replace(entry, seen={**entry.seen, **seen}), unread_after_seconds=RULES.unread_after_seconds
            )
            site.senders.look_at({name: offset + site.sequence for name, offset in site.offsets.items()})
            found += site.look()
        return {item for item in told(found) if item[0] is not AlarmKind.UNWATCHED_COHORT}

    send("reward", "reward_win")
    assert send("reward") == {(AlarmKind.NO_DATA, StreamKey("reward_win", "*", "*", "*"), Severity.WARNING)}
    send("reward", "reward_win")
    assert send() == {(AlarmKind.SCORER_SILENT, StreamKey("reward", "*", "*", "*"), Severity.ALERT)}


def test_a_policy_model_that_another_replaces_is_not_silent_and_one_whose_traffic_is_gone_is() -> None:
    site, both = Site(), {("koala", "a"): 6, ("koala", "b"): 6}
    site.send(both, 24.5)
    assert site.send({("koala", "c"): 6, ("koala", "b"): 6}, 2.0) == []
    assert told(site.send({("koala", "c"): 6}, 2.0)) == {(AlarmKind.NO_DATA, key_of(("*", "b")), Severity.WARNING)}


def test_records_whose_timestamps_stand_still_are_a_stalled_producer(site: Site) -> None:
    stuck = site.at
    site.timestamp = lambda _: stuck
    found = site.send(BOTH, 0.5)
    assert told(found) == {(AlarmKind.PRODUCER_STALLED, StreamKey("*", "*", "*", "*"), Severity.ALERT)}
    assert "none has a later timestamp than 2026-03-02 12:20:00 UTC" in found[0].detail


def test_one_timestamp_from_the_future_stalls_nothing(site: Site) -> None:
    site.timestamp = lambda at: at + timedelta(days=100)
    site.send(BOTH, PERIOD / 3600.0)
    site.timestamp = lambda at: at - timedelta(seconds=2)
    assert site.send(BOTH, 1.0) == []


def test_a_partition_that_stops_while_the_other_goes_on_is_told(site: Site) -> None:
    found = site.send(BOTH, 0.5, partitions=1)
    assert told(found) == {(AlarmKind.PRODUCER_STALLED, StreamKey("*", "*", "*", "*"), Severity.WARNING)}
    assert found[0].detail.startswith("no records in partition traces/1, for ")


@pytest.mark.parametrize("hours", [0.1, 8.0])
def test_a_time_in_which_nobody_read_is_no_silence_neither_then_nor_while_the_backlog_is_read(
    site: Site, hours: float
) -> None:
    down = site.at
    site.wait(hours, told=False)
    assert site.wait(1.0 / 60.0, told=False) == site.send({}, PERIOD / 3600.0) == []
    site.timestamp = lambda at: down + (at - down) / 2
    assert site.send(BOTH, 0.1) == []
    usual = site.senders.rhythms.arrivals.sum()
    assert site.send(BOTH, 0.1) == []
    assert site.senders.rhythms.arrivals.sum() <= usual  # the backlog's pace is not taken for the traffic's
    site.timestamp = lambda at: at
    assert site.send(BOTH, 1.0) == []
    assert told(site.wait(0.5)) == {(AlarmKind.NO_DATA, StreamKey("*", "*", "*", "*"), Severity.ALERT)}


def test_a_log_in_which_nothing_ever_came_is_not_silent() -> None:
    assert Site().wait(30.0) == []


def test_what_waits_in_kafka_is_not_silent(site: Site) -> None:
    site.wait(0.2)
    assert site.look() != []
    assert Look(site.senders, RULES, waiting=100_000).findings(FOLLOWED) == []


def test_a_new_leader_goes_on_from_what_was_stored(site: Site) -> None:
    site.wait(0.2)
    taken_up = Senders.of_bytes(site.senders.to_bytes())
    assert Look(taken_up, RULES).findings(FOLLOWED) == site.look() != []
    assert taken_up.next_sequence == site.senders.next_sequence


def test_a_cohort_or_scorer_without_a_law_is_told_from_a_share_on_that_is_worth_it(site: Site) -> None:
    site.senders.count_under(2)
    site.send({("koala", "a"): 995, ("rare", "a"): 5, ("new", "a"): 20}, 0.01)
    of_new = replace(FOLLOWED, scorers=frozenset({("refusal", "rules")}))
    found = told(Look(site.senders, RULES).findings(of_new))
    assert found == {
        (AlarmKind.UNWATCHED_COHORT, key_of(("new", "*")), Severity.WARNING),
        (AlarmKind.UNWATCHED_COHORT, StreamKey("reward", "*", "*", "v1"), Severity.WARNING),
    }
    site.senders.count_under(3)
    assert Look(site.senders, RULES).findings(of_new) == []


def test_a_version_whose_law_may_still_come_is_not_told_and_one_that_will_have_none_says_why(site: Site) -> None:
    def found(unfollowed: Unfollowed) -> list[str]:
        followed = replace(FOLLOWED, scorers=frozenset({("reward", "v1")}), unfollowed=unfollowed)
        return [finding.detail for finding in Look(site.senders, RULES).findings(followed)]

    assert found(Unfollowed(frozenset({"refusal"}))) == []
    why = Unfollowed(frozenset({"refusal"}), {("refusal", "rules"): "no text of the baseline's window is kept"})
    (told_so,) = found(why)
    assert told_so.startswith("refusal by rules has 100.0% of the observations since the baseline, which has no law")
    assert told_so.endswith(": no text of the baseline's window is kept; freeze a new baseline")


def test_an_alarm_is_raised_once_and_recovers_when_data_is_back_but_not_when_the_leader_changes(site: Site) -> None:
    def settled(before: RaisedBefore) -> tuple[int, int]:
        alarms, recoveries = settle(site.look(), site.senders, before=before, followed=FOLLOWED)
        return len(alarms), len(recoveries)

    site.wait(0.2)
    alarms, none = settle(site.look(), site.senders, before=RaisedBefore(), followed=FOLLOWED)
    assert (len(alarms), none) == (1, [])
    raised = RaisedBefore(tuple(alarms), {(alarms[0].kind, alarms[0].stream): 1})
    assert settled(raised) == (0, 0)
    site.senders.begin_quiet(site.at.timestamp())
    assert (site.look(), settled(raised)) == ([], (0, 0))
    warned = RaisedBefore((replace(alarms[0], severity=Severity.WARNING, episode=3),))
    site.wait(0.2)
    again, _ = settle(site.look(), site.senders, before=warned, followed=FOLLOWED)
    assert [(alarm.severity, alarm.episode) for alarm in again] == [(Severity.ALERT, 3)]
    site.send(BOTH, 0.01)
    assert settled(raised) == (0, 1)


def test_a_signal_that_was_switched_off_is_missed_by_nobody_and_its_alarm_ends(site: Site) -> None:
    for _ in range(360):
        site.at += timedelta(seconds=PERIOD)
        entry = site.entry(BOTH)
        seen = {key: count for key, count in entry.seen.items() if key.signal != "refusal"}
        site.senders.add(replace(entry, seen=seen), unread_after_seconds=RULES.unread_after_seconds)
    site.senders.look_at(site.offsets)
    missed = [finding for finding in site.look() if finding.stream.signal == "refusal"]
    assert {finding.kind for finding in missed} == {AlarmKind.NO_DATA}
    alarms, _ = settle(missed, site.senders, before=RaisedBefore(), followed=FOLLOWED)
    without = replace(RULES, signals=choose(off=["refusal"]))
    assert [one for one in Look(site.senders, without).findings(FOLLOWED) if one.stream.signal == "refusal"] == []
    raised = RaisedBefore(tuple(alarms))
    assert settle([], site.senders, before=raised, followed=FOLLOWED) == ([], [])
    _, ended = settle([], site.senders, before=raised, followed=FOLLOWED, signals=without.signals)
    assert [recovery.stream for recovery in ended] == [alarm.stream for alarm in alarms]


def test_a_series_of_a_definition_that_was_replaced_needs_no_law(site: Site) -> None:
    site.senders.count_under(2)
    site.send(BOTH, 0.01)
    of_new = replace(FOLLOWED, scorers=frozenset({("reward", "v1")}))
    assert [one.stream.signal for one in Look(site.senders, RULES).findings(of_new)] == ["refusal"]
    other = replace(RULES, signals=replace(DEFAULT, versions={"refusal": "rules-2"}))
    assert Look(site.senders, other).findings(of_new) == []


def test_in_hours_of_a_kind_that_was_never_watched_silence_is_only_a_warning() -> None:
    site = Site()
    site.send(BOTH, 2.0 + 40.0 / 60.0)
    found = site.wait(1.0)
    assert [finding.severity for finding in found][-1] is Severity.WARNING
    assert "hours of this kind were never watched before" in found[-1].detail


def test_lengths_of_time_are_told_in_their_two_largest_units() -> None:
    assert [span(seconds) for seconds in (0.04, 40.4, 3600.0, 11_520.0, 2 * 86_400 + 60.0)] == [
        "0.0 s",
        "40 s",
        "1 h",
        "3 h 12 min",
        "2 d",
    ]
