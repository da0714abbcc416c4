"""Alarms about what does not come: data, scores, newer timestamps; and about traffic that nobody watches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from monitor.domain.alarm import Alarm, AlarmKind, Recovery, Severity
from monitor.domain.cohort import ALL
from monitor.domain.signal import DISAGREEMENT, REWARD
from monitor.domain.stream import StreamKey
from monitor.drift.arrivals import FORWARD_ROW, LOG_ROW, WHOLE_LOG, RaisedBefore, Sender, Senders
from monitor.drift.freeze import MIN_STRATUM
from monitor.drift.stored import ActiveBaseline
from monitor.drift.versions import Unfollowed
from monitor.signals.estimand import REWARD_WIN
from monitor.signals.set import DEFAULT, SignalSet
from monitor.stats.rhythm import DAY_HOURS, HOUR


@dataclass(frozen=True, slots=True)
class WatchRules:
    """When what does not come is told."""

    false_days: float = 30.0  # one silence is told falsely in so many days, over all that is watched
    log_share: float = 0.5  # of those, the whole log's; the others share the rest
    # A worker that died is replaced after so long, and its partitions are read by nobody meanwhile.
    takeover_seconds: float = 45.0
    unread_after_seconds: float = 300.0  # without an entry, clock entries included: nobody was there to read
    unwatched_share: float = 0.01  # of all observations since the baseline was frozen
    signals: SignalSet = DEFAULT  # those that are on: another one's values have just ended


@dataclass(frozen=True, slots=True)
class Followed:
    """Of what the active baseline holds a law."""

    baseline_id: int
    cohorts: frozenset[str]
    scorers: frozenset[tuple[str, str]]  # signal and scorer
    unfollowed: Unfollowed = field(default_factory=Unfollowed)  # of the others


@dataclass(frozen=True, slots=True)
class Finding:
    """What is the matter now."""

    kind: AlarmKind
    stream: StreamKey
    severity: Severity
    since: float  # seconds since 1970
    observations: int
    detail: str


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a row has been silent, and what was to be expected."""

    seconds: float
    usual_seconds: float  # between two arrivals at these hours
    since: float

    @property
    def told(self) -> str:
        return f"for {span(self.seconds)}; at these hours one usually comes every {span(self.usual_seconds)}"


def followed_by(active: ActiveBaseline, unfollowed: Unfollowed) -> Followed:
    laws = active.baseline.signals
    cohorts = frozenset(row.cohort for law in laws for row in law.strata)
    return Followed(active.baseline_id, cohorts, frozenset(law.key for law in laws), unfollowed)


def span(seconds: float) -> str:
    """Return a length of time in its two largest units.

    >>> span(11520.0), span(40.4), span(0.25)
    ('3 h 12 min', '40 s', '0.2 s')
    """
    if seconds < 10.0:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = [("d", whole // 86_400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60)]
    first = next(number for number, (_, count) in enumerate(units) if count)
    return " ".join(f"{count} {unit}" for unit, count in units[first : first + 2] if count)


class Look:
    """One look at the senders: what is silent, told by the largest that is.

    *waiting* records are in Kafka, unread: what seems missing may be among them.
    """

    def __init__(self, senders: Senders, rules: WatchRules, *, waiting: int = 0) -> None:
        self.senders, self.rules, self.at = senders, rules, senders.rhythms.at
        rhythms, rows = senders.rhythms, len(senders.rhythms)
        rest = (1.0 - rules.log_share) / max(rows - 1 + len(senders.presence), 1)
        exceed = np.full(rows, rest)
        exceed[LOG_ROW] = rules.log_share
        self.daily = senders.ratio[0] / max(senders.ratio[1], 1e-9) * rhythms.pace[LOG_ROW] * HOUR * DAY_HOURS
        waited = waiting / max(self.daily, 1e-9) * HOUR * DAY_HOURS  # seconds of usual traffic
        self.allowed = rhythms.allowed(exceed, rules.false_days) + rhythms.pace * (rules.takeover_seconds + waited)
        self.silent, self.certain = rhythms.open > self.allowed, rhythms.known > self.allowed
        traces = np.maximum(senders.presence.records / max(senders.presence.records[FORWARD_ROW], 1.0), 1e-9)
        may_miss = senders.presence.allowed(np.full(len(traces), rest), traces * self.daily * rules.false_days)
        long = self.at - senders.present > rules.takeover_seconds  # a service that starts anew is no silence either
        self.without = long & (senders.presence.waited > may_miss)

    def findings(self, followed: Followed | None) -> list[Finding]:
        """Return all that is the matter at the senders' time; one cause is told once."""
        silent = self.whole_log() or self.timestamps()
        if not silent:
            silent = [*self.partitions(), *self.signals(), *self.policies(), *self.cohorts()]
        return [*silent, *(unwatched(self.senders, followed, self.rules) if followed is not None else [])]

    @property
    def log_silence(self) -> float | None:
        """How long the log's silence is beside what its rhythm explains, 1 is the alarm; None while it knows none."""
        allowed = float(self.allowed[LOG_ROW])
        return float(self.senders.rhythms.open[LOG_ROW]) / allowed if np.isfinite(allowed) else None

    def silence(self, row: int) -> Silence:
        rhythms = self.senders.rhythms
        since = float(rhythms.last[row])
        watched = self.at - max(since, self.senders.quiet_from)
        return Silence(self.at - since, rhythms.usual_seconds(row, watched), since)

    def whole_log(self) -> list[Finding]:
        if not self.silent[LOG_ROW]:
            return []
        self.senders.stopped = True
        silence = self.silence(LOG_ROW)
        detail = f"no traces {silence.told}"
        severity = Severity.ALERT
        if not self.certain[LOG_ROW]:
            severity, detail = Severity.WARNING, f"{detail}; hours of this kind were never watched before"
        return [self._finding(AlarmKind.NO_DATA, WHOLE_LOG, severity, since=silence.since, detail=detail)]

    def timestamps(self) -> list[Finding]:
        senders = self.senders
        if not self.without[FORWARD_ROW]:
            return []
        records, since = round(senders.presence.waited[FORWARD_ROW]), float(senders.present[FORWARD_ROW])
        detail = (
            f"{records} records came in {span(self.at - since)}, and none has a later timestamp than"
            f" {_moment(senders.newest):%Y-%m-%d %H:%M:%S} UTC: a replay, or a producer's clock that stands still"
        )
        return [self._finding(AlarmKind.PRODUCER_STALLED, WHOLE_LOG, Severity.ALERT, since=since, detail=detail)]

    def partitions(self) -> list[Finding]:
        rows = {name: row for name, row in self.senders.partitions.items() if self.silent[row]}
        if not rows:
            return []
        name, row = max(rows.items(), key=lambda item: self.senders.rhythms.open[item[1]])
        silence = self.silence(row)
        others = f", nor in {len(rows) - 1} more of {len(self.senders.partitions)}" if len(rows) > 1 else ""
        detail = f"no records in partition {name}{others}, {silence.told}; others go on"
        return [
            self._finding(AlarmKind.PRODUCER_STALLED, WHOLE_LOG, Severity.WARNING, since=silence.since, detail=detail)
        ]

    def signals(self) -> list[Finding]:
        """Tell of signals that no longer come with their traces: over all cohorts, or else of a cohort."""
        presence, found, everywhere = self.senders.presence, list[Finding](), set[str]()
        reward = self.senders.signals.get((REWARD.name, ALL))
        scorer_is_silent = reward is not None and bool(self.without[reward])
        for (signal, cohort), row in sorted(self.senders.signals.items(), key=lambda item: item[0][1] != ALL):
            of_scorer = signal in {REWARD.name, DISAGREEMENT.name} or (signal == REWARD_WIN.name and scorer_is_silent)
            if signal not in self.rules.signals.known or not self.without[row] or signal in everywhere:
                continue
            if of_scorer and (signal, cohort) != (REWARD.name, ALL):
                continue
            kind = AlarmKind.SCORER_SILENT if of_scorer else AlarmKind.NO_DATA
            severity = Severity.ALERT if of_scorer else Severity.WARNING
            since, where = float(self.senders.present[row]), "" if cohort == ALL else f" of {cohort}"
            before = max(presence.records[row] - presence.waited[row], 1.0)
            usual = min(max(1.0 - (presence.missed[row] - presence.waited[row]) / before, 0.0), 1.0)
            detail = (
                f"{round(presence.waited[row])} traces{where} came in {span(self.at - since)} without {signal};"
                f" it usually comes with {usual:.1%} of them"
            )
            found.append(self._finding(kind, (cohort, ALL), severity, since=since, detail=detail, signal=signal))
            everywhere |= {signal} if cohort == ALL else set()
        return found

    def cohorts(self) -> list[Finding]:
        last, found = self.senders.rhythms.last, []
        for (cohort, model), row in self.senders.streams.items():
            if cohort == ALL or not self.silent[row]:
                continue
            silence, moved = self.silence(row), sorted(self.senders.moved)
            gone = [name for _, name in moved if last[self.senders.streams[ALL, name]] >= silence.since]
            detail = f"no traces of {cohort} {silence.told}; the rest of the log goes on"
            detail += f"; the policy model {gone[0]} was replaced meanwhile" if gone else ""
            found.append(
                self._finding(AlarmKind.NO_DATA, (cohort, model), Severity.WARNING, since=silence.since, detail=detail)
            )
        return found

    def policies(self) -> list[Finding]:
        """Tell of policy models that are silent, unless others took over; those are remembered as moved."""
        found = []
        for sender, row in self.senders.streams.items():
            if sender[1] == ALL or sender in self.senders.moved or not self.silent[row]:
                continue
            if self._moved(row):
                self.senders.moved.add(sender)
                continue
            silence = self.silence(row)
            detail = f"no traces of the policy model {sender[1]} {silence.told}; no other took its place"
            found.append(self._finding(AlarmKind.NO_DATA, sender, Severity.WARNING, since=silence.since, detail=detail))
        return found

    def _moved(self, row: int) -> bool:
        """Say whether others took over the traffic of a policy model: the log has lost less than half of its share.

        In the first day nobody can tell, and it counts as moved.
        """
        senders = self.senders
        traces, clock, ratio = senders.marks[row]
        expected = (senders.rhythms.clock[LOG_ROW] - clock) * ratio
        lost = 0.5 * senders.sent[row] / max(senders.traces, 1.0)
        young = senders.rhythms.hours[LOG_ROW].sum() < DAY_HOURS
        return bool(young or senders.traces - traces >= expected * (1.0 - lost))

    def _finding(
        self, kind: AlarmKind, sender: Sender, severity: Severity, *, since: float, detail: str, signal: str = ALL
    ) -> Finding:
        traces = round(float(self.senders.sent[self.senders.streams[sender]]))
        return Finding(kind, key_of(sender, signal), severity, since, traces, detail)


def unwatched(senders: Senders, followed: Followed, rules: WatchRules) -> list[Finding]:
    """Tell of cohorts and scorers that have come to a share of the traffic and have no law in the baseline."""
    whole, of_signal = sum(senders.cohorts.values()), dict[str, int]()
    for (signal, _), count in senders.scorers.items():
        of_signal[signal] = of_signal.get(signal, 0) + count
    seen = [
        (key_of((cohort, ALL)), f"the cohort {cohort}", count, whole, "")
        for cohort, count in senders.cohorts.items()
        if cohort not in followed.cohorts
    ]
    seen += [
        (StreamKey(signal, ALL, ALL, scorer), f"{signal} by {scorer}", count, of_signal[signal], reason)
        for (signal, scorer), count in senders.scorers.items()
        if (signal, scorer) not in followed.scorers
        and rules.signals.holds(signal, scorer)
        and (reason := followed.unfollowed.reason((signal, scorer))) is not None
    ]
    found, at = [], senders.rhythms.at
    for key, name, count, among, reason in seen:
        if count >= MIN_STRATUM and count >= rules.unwatched_share * among:
            detail = f"{name} has {count / among:.1%} of the observations since the baseline, which has no law of it"
            detail += f": {reason}; freeze a new baseline" if reason else ""
            found.append(Finding(AlarmKind.UNWATCHED_COHORT, key, Severity.WARNING, at, count, detail))
    return found


def settle(
    findings: Iterable[Finding],
    senders: Senders,
    *,
    before: RaisedBefore,
    followed: Followed | None,
    signals: SignalSet = DEFAULT,
) -> tuple[list[Alarm], list[Recovery]]:
    """Return the alarms that *findings* raise, those of *before* left out, and which of the live ones have recovered.

    An alarm recovers when what it missed is back, or is not wanted any more, not when nothing more is said of it.
    """
    open_now = {(alarm.kind, alarm.stream): alarm for alarm in before.live}
    raised, told = [], set()
    for finding in findings:
        of = finding.kind, finding.stream
        told.add(of)
        there = open_now.get(of)
        if there is None or (there.severity is Severity.WARNING and finding.severity is Severity.ALERT):
            raised.append(_alarm(finding, senders, before.episodes.get(of, 0) if there is None else there.episode))
    recoveries = [
        Recovery(alarm.stream, alarm.episode, senders.next_place, alarm.kind)
        for of, alarm in open_now.items()
        if of not in told and (is_retired(alarm.stream, signals) or is_back(alarm, senders, followed))
    ]
    return raised, recoveries


def is_retired(stream: StreamKey, signals: SignalSet) -> bool:
    """Say whether *stream* is of a signal that is off now, or of a version that is not its own any more."""
    if stream.signal == ALL:
        return False
    if stream.scorer_version == ALL:
        return stream.signal not in signals.known
    return not signals.holds(stream.signal, stream.scorer_version)


def is_back(alarm: Alarm, senders: Senders, followed: Followed | None) -> bool:
    """Say whether what *alarm* missed has come since."""
    at, key, last = alarm.timestamp.timestamp(), alarm.stream, senders.rhythms.last
    if alarm.kind is AlarmKind.UNWATCHED_COHORT:
        of_scorer = followed is not None and (key.signal, key.scorer_version) in followed.scorers
        return of_scorer or (followed is not None and key.cohort in followed.cohorts)
    if alarm.kind is AlarmKind.PRODUCER_STALLED:
        read = all(last[row] > at for name, row in senders.partitions.items() if name in senders.offsets)
        return bool(senders.present[FORWARD_ROW] > at) and read
    if key.signal != ALL:
        there = senders.signals.get((key.signal, key.cohort))
        return there is not None and bool(senders.present[there] > at)
    sender = key.cohort, key.policy_model
    return sender in senders.moved or (sender in senders.streams and bool(last[senders.streams[sender]] > at))


def _alarm(finding: Finding, senders: Senders, episode: int) -> Alarm:
    return Alarm(
        stream=finding.stream,
        direction=None,
        severity=finding.severity,
        place=senders.next_place,
        trace_id=None,
        timestamp=_moment(senders.rhythms.at),
        onset_place=senders.next_place,
        onset_timestamp=_moment(finding.since),
        observations=finding.observations,
        evidence_log=None,
        effect=None,
        episode=episode,
        kind=finding.kind,
        detail=finding.detail,
    )


def key_of(sender: Sender, signal: str = ALL) -> StreamKey:
    """Return *sender* as an alarm names it."""
    cohort, model = sender
    return StreamKey(signal, cohort, model, ALL)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
