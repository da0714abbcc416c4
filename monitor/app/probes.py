"""The parts that probe the live model, from the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import Engine

from monitor.app.leader import Duty
from monitor.app.reference import reference_of
from monitor.app.signals import refusals_of
from monitor.app.temperature import ScorerTemperatures
from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.errors import InvalidInput, InvalidSetting
from monitor.postgres.probes import PostgresProbes
from monitor.probes.asking import PAUSES, Pauses
from monitor.probes.prober import Prober, ProbeRules, Wins
from monitor.probes.report import ProbeReports, SuiteReport
from monitor.probes.run import LIVE, RunState
from monitor.probes.suite import PACKAGED, Suite, read_suite
from monitor.reference.http import HttpReference
from monitor.retraining.schedule import parse_cron
from monitor.rewards.turns import SharedScorer
from monitor.settings.probes import ProbeSettings
from monitor.settings.root import Settings
from monitor.telemetry.freshness import Rows
from monitor.telemetry.probes import ProbeMetrics

PROBE_SECONDS = 1.0
SHOW_SECONDS = 30.0


def suites_of(settings: ProbeSettings) -> dict[str, Suite]:
    """Read the packaged suites and those of `probes.suites`; raise `InvalidSetting` for one that cannot be read."""
    return dict(_read(tuple({**PACKAGED, **settings.suites}.items())))


@cache
def _read(paths: tuple[tuple[str, object], ...]) -> Mapping[str, Suite]:
    read = {}
    for name, path in paths:
        if name == LIVE:
            raise InvalidSetting(
                f"probes.suites.{name}: the prompts of the baseline's window have this name; take another"
            )
        try:
            read[name] = read_suite(Path(str(path)), name)
        except InvalidInput as error:
            raise InvalidSetting(f"probes.suites.{name}: {error}") from None
    return read


def cron_of(settings: ProbeSettings) -> CronTrigger:
    """Read `probes.cron`, in UTC; raise `InvalidSetting` naming it."""
    return parse_cron(settings.cron, setting="probes.cron")


def live_model_of(settings: ProbeSettings) -> HttpReference:
    return reference_of(settings, setting="probes.model")


def rules_of(settings: ProbeSettings, pauses: Pauses = PAUSES) -> ProbeRules:
    return ProbeRules(
        cron_of(settings),
        settings.items_per_run,
        settings.concurrency,
        settings.baseline_outcomes,
        settings.policy_model,
        pauses,
    )


def require_probes(settings: ProbeSettings) -> None:
    """Raise `InvalidSetting` for what would keep the probes from being asked."""
    if settings.endpoint is not None:
        cron_of(settings)
        suites_of(settings)


def probe_reports_of(engine: Engine, settings: ProbeSettings) -> ProbeReports:
    return ProbeReports(PostgresProbes(engine), lambda: suites_of(settings))


@contextmanager
def probing(settings: Settings, engine: Engine, *, scorer: SharedScorer, metrics: ProbeMetrics) -> Iterator[list[Duty]]:
    """Offer the leader's duties of probing the live model, while the block lasts; a leader's *engine* is fenced."""
    probes = settings.probes
    if probes.endpoint is None:
        yield []
        return

    def score(rows: Sequence[tuple[Sequence[Message], str]]) -> Sequence[Reward | None]:
        ensemble = scorer.current()
        return [None] * len(rows) if ensemble is None else ensemble.score(rows)

    reports = probe_reports_of(engine, probes)
    with closing(live_model_of(probes)) as model:
        prober = Prober(
            PostgresProbes(engine),
            model,
            suites_of(probes),
            rules=rules_of(probes),
            wins=Wins(score, lambda: scorer.current() is not None, ScorerTemperatures(engine, settings.rewards)),
            refusals=refusals_of(settings),
            metrics=metrics,
        )
        yield [
            Duty("probe", PROBE_SECONDS, prober),
            Duty("show_probes", SHOW_SECONDS, lambda: show_probes(reports.reports(), metrics)),
        ]


def show_probes(reports: Sequence[SuiteReport], metrics: ProbeMetrics) -> None:
    """Show each suite's rate of the week, whether its last run was answered, and when that was."""
    rates: Rows = {
        (report.suite, report.signal, bound): value
        for report in reports
        if (week := report.week_rate) is not None
        for bound, value in (("estimate", week.value), ("lower", week.lower), ("upper", week.upper))
    }
    last = {report.suite: report.last_run for report in reports if report.last_run is not None}
    ended = {suite: run.state for suite, run in last.items() if run.state is not RunState.RUNNING}
    metrics.show_probes(
        rates,
        {suite: state is not RunState.UNAVAILABLE for suite, state in ended.items()},
        {suite: run.started_at.timestamp() for suite, run in last.items()},
    )
