"""A log with a baseline and an alarm whose prompts can be asked again, and the reasker over it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, insert, select

from monitor.app.reference import reasker_of, reference_of
from monitor.demo.texts.composer import compose_question, count_tokens
from monitor.demo.traffic import Phase, respond
from monitor.domain.alarm import Alarm, Direction, Effect, ReferenceVerdict, Severity, StoredAlarm
from monitor.domain.score import Reward
from monitor.domain.stream import StreamKey
from monitor.domain.trace import Message, Trace
from monitor.drift.comparison import Comparison, Score
from monitor.drift.reasker import Reasker
from monitor.ingest.offset import StoredOffset
from monitor.postgres import schema
from monitor.postgres.alarms import PostgresAlarms, insert_alarm
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import transaction
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.reference import ReferenceSettings
from monitor.telemetry.reference import ReferenceMetrics
from tests.traces import START, checkpoint, scored

BASELINE = 400
DEADLINE_SECONDS = 60.0


def calls(phase: Phase, product: str, count: int, *, seed: int = 0, first: int = 0) -> list[Trace]:
    """Return *count* calls of the assistant of *phase*, all about one *product*, no two alike."""
    rng = Random(f"{phase.name}:{product}:{seed}")
    traces: list[Trace] = []
    sent: set[str] = set()
    while len(traces) < count:
        question = compose_question(rng)
        if question.product.name != product or question.text in sent:
            continue
        sent.add(question.text)
        response, _ = respond(rng, phase, question)
        number = first + len(traces)
        traces.append(
            Trace(
                trace_id=f"{phase.name}-{product}-{seed}-{number}",
                timestamp=START + timedelta(seconds=number),
                policy_model="assistant",
                response=response,
                messages=(Message("user", question.text),),
                cohort={"dataset": "all"},
                finish_reason="stop",
                output_tokens=count_tokens(response),
            )
        )
    return traces


def unscored(rows: Sequence[tuple[Sequence[Message], str]]) -> Sequence[Reward | None]:
    return [None] * len(rows)


@dataclass
class Ward:
    """What a test watches over."""

    engine: Engine
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    offset: int = 0

    def write(self, traces: list[Trace]) -> None:
        store = PostgresCheckpoints(self.engine, group_id="group", max_cohorts=50)
        if not self.offset:
            store.begin({("traces", 0): StoredOffset(0)})
        rewards = like_short([(trace.messages, trace.response) for trace in traces])
        store.write(checkpoint(scored(traces, rewards=rewards), start=self.offset))
        PostgresFoldStore(self.engine).place_entries()
        self.offset += len(traces)

    def raise_alarm(
        self, *, onset: int, place: int, signal: str = "response_length", scorer: str = "reported", cohort: str = "*"
    ) -> int:
        """Store an alert on the places from *onset* to *place*, against a baseline of the first `BASELINE` ones."""
        alarm = Alarm(
            stream=StreamKey(signal, cohort, "assistant", scorer),
            direction=Direction.DOWN if signal == "reward" else Direction.UP,
            severity=Severity.ALERT,
            place=place,
            trace_id=None,
            timestamp=START + timedelta(seconds=place),
            onset_place=onset,
            onset_timestamp=START + timedelta(seconds=onset),
            observations=place - BASELINE,
            evidence_log=1.0,
            effect=Effect(40.0, 20.0, 60.0, "tokens"),
        )
        with transaction(self.engine) as connection:
            row = {"created_by": "test", "note": "", "active": True, "content": {}}
            baseline = insert(schema.baseline).values(row | {"first_place": 0, "stop_place": BASELINE})
            found = connection.execute(select(schema.baseline.c.baseline_id)).scalar()
            new = found or connection.execute(baseline.returning(schema.baseline.c.baseline_id)).scalar_one()
            insert_alarm(connection, new, alarm)
        return PostgresAlarms(self.engine).alarms(state=None, limit=1)[0].alarm_id

    def alarm(self, alarm_id: int) -> StoredAlarm:
        stored = PostgresAlarms(self.engine).alarm(alarm_id)
        assert stored is not None
        return stored

    def outcomes(self, alarm_id: int) -> list[str | None]:
        table = schema.reasked.c
        with transaction(self.engine) as connection:
            query = select(table.outcome).where(table.alarm_id == alarm_id).order_by(table.rank)
            return list(connection.execute(query).scalars())

    @contextmanager
    def reasker(self, settings: ReferenceSettings, *, score: Score = unscored) -> Iterator[Reasker]:
        with closing(reference_of(settings)) as policy:
            metrics = ReferenceMetrics(CollectorRegistry())
            yield reasker_of(settings, self.engine, comparison=Comparison(policy, score), metrics=metrics)

    def ask(
        self,
        alarm_id: int,
        settings: ReferenceSettings,
        *,
        score: Score = unscored,
        but_not: ReferenceVerdict = ReferenceVerdict.ASKING,
    ) -> tuple[ReferenceVerdict, str]:
        """Do the duty until the alarm has a verdict, another one than *but_not*; return it with its note."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        with self.reasker(settings, score=score) as reasker:
            while time.monotonic() < deadline:
                reasker()
                stored = self.alarm(alarm_id)
                if stored.reference_verdict not in {None, ReferenceVerdict.ASKING, but_not}:
                    assert stored.reference_verdict is not None
                    return stored.reference_verdict, stored.reference_note
                time.sleep(0.01)
        raise AssertionError(f"no verdict on alarm {alarm_id}: {self.outcomes(alarm_id)}")


def like_short(rows: Sequence[tuple[Sequence[Message], str | None]]) -> list[Reward]:
    """Score answers by a model that likes them short."""
    return [Reward("short-1", (value,), value, value, 0.0) for value in (-float(len(text or "")) for _, text in rows)]


def settings_of(url: str, **changes: object) -> ReferenceSettings:
    usual = {"endpoint": url, "max_prompts": 1200, "concurrency": 16, "timeout_seconds": 5.0, "alpha": 0.01}
    return ReferenceSettings.model_validate(usual | changes)
