"""The console's first page: what it sends and how long the server takes, before and now.

    python -m tests.benchmarks.console [--cohorts N ...] [--json FILE]

A PostgreSQL holds a baseline and its streams: so many cohorts, and the roll-up, by ten signals, and an alarm on one
stream in twenty. "Polling" is what the page asked for every two seconds before there was an overview on the server:
everything, unpacked. "First load" is what it asks for now; "a fold step" what it asks for again when the fold has gone
on, and "nothing new" what it would where events cannot be had. Bytes are those of the bodies as they are sent.
Milliseconds are those of all these requests, one after the other, over HTTP on this machine: medians of some rounds.
"Busy" is the processor time among them, PostgreSQL's aside: it says the same on a machine that others use too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
from sqlalchemy import Engine, delete, insert, text

from monitor.app.ports import ports_of
from monitor.demo.postgres import EmbeddedPostgres
from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.cohort import ALL
from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.freeze import NullRule, Window, build_baseline
from monitor.postgres import schema
from monitor.postgres.engine import create_engine_for
from monitor.postgres.migrate import upgrade
from monitor.settings.root import Settings
from monitor.signals.set import DEFAULT
from tests.benchmarks.report import machine, options, table, write_json
from tests.served import served

SIGNALS = tuple(DEFAULT.known)[:10]
TIMES = 7
MODEL, NOW = "chat-2-2026-11-20", datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW_TRACES = 2000
ALARMS_A_STREAM = 1 / 20
ALARMS_AN_INCIDENT = 100
POLLED = (
    "/readyz",
    *(f"/api/v1/{path}" for path in ("overview", "streams", "moved", "jobs?limit=50", "jobs/plan", "jobs/actions")),
    *(f"/api/v1/{path}" for path in ("models", "models?role=policy", "announcements?limit=1", "baseline", "anchor")),
    "/api/v1/correlations",
    "/api/v1/incidents?limit=200&state=open&state=acknowledged&state=snoozed",
    *(f"/api/v1/alarms?state={state}&limit=1000" for state in ("open", "acknowledged", "snoozed")),
)
NOW_PARTS = ("/api/v1/overview", "/api/v1/overview/incidents", "/api/v1/overview/heatmap")
KEPT = tuple(path for path in POLLED if path not in {"/api/v1/overview", "/api/v1/streams"} and "alarms" not in path)
LOADED = (*NOW_PARTS, *(path for path in KEPT if "incidents" not in path))
STEP = ("/api/v1/overview", "/api/v1/overview/heatmap", "/api/v1/moved")


@dataclass(frozen=True, slots=True)
class Measured:
    cohorts: int
    asked: str
    requests: int
    sent_bytes: int
    unpacked_bytes: int
    milliseconds: float
    processor_milliseconds: float  # of this process: the server's, and the client's that unpacks


NOTHING = Measured(0, "", 0, 0, 0, 0.0, 0.0)


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("--cohorts", type=int, nargs="+", default=[212, 1000])
    arguments = parser.parse_args()
    rows = list[Measured]()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, EmbeddedPostgres(Path(folder) / "data") as server:
        upgrade(server.url)
        engine = create_engine_for(server.url)
        for cohorts in arguments.cohorts:
            fill(engine, cohorts)
            with serving(engine) as client:
                rows += measure(client, engine, cohorts)
        engine.dispose()
    headers = ["cohorts", "asked", "requests", "bytes sent", "bytes unpacked", "ms", "of them busy"]
    print(f"ten signals; {machine()}\n")
    print(table(headers, [list(asdict(row).values()) for row in rows]))
    write_json(arguments.json, {"machine": machine(), "rows": [asdict(row) for row in rows]})


def measure(client: httpx.Client, engine: Engine, cohorts: int) -> Iterator[Measured]:
    def asked(name: str, paths: Sequence[str], **how: bool) -> Measured:
        return ask(client, engine, paths, replace(NOTHING, cohorts=cohorts, asked=name), **how)

    yield asked("polling, every 2 s before", POLLED, packed=False, fresh=True)
    yield asked("first load", LOADED, fresh=True)
    yield asked("a fold step", STEP, fresh=True)
    yield asked("nothing new", LOADED, known=True)
    yield asked("the heatmap alone, made anew", NOW_PARTS[2:], fresh=True)
    yield asked("the heatmap, its last page", [f"{NOW_PARTS[2]}?page=1000000"])
    yield asked("the heatmap, 200 cohorts", [f"{NOW_PARTS[2]}?size=200"])
    yield asked("the heatmap, part of a name", [f"{NOW_PARTS[2]}?cohort=p007"])


def ask(
    client: httpx.Client,
    engine: Engine,
    paths: Sequence[str],
    blank: Measured,
    *,
    packed: bool = True,
    fresh: bool = False,
    known: bool = False,
) -> Measured:
    """Ask for *paths* in some rounds: after a step of the fold where *fresh*, with the tags of before where *known*."""
    tags: dict[str, str] = {}
    rounds, busy, answers = [], [], list[httpx.Response]()
    for _ in range(TIMES + 1):  # the first fills what is kept in memory
        if fresh:
            touch(engine)
        began, worked = time.perf_counter(), time.process_time()
        answers = [client.get(path, headers=headers_of(packed, tags.get(path) if known else None)) for path in paths]
        rounds.append(1000 * (time.perf_counter() - began))
        busy.append(1000 * (time.process_time() - worked))
        assert {answer.status_code for answer in answers} <= {200, 304}
        tags = {path: answer.headers["etag"] for path, answer in zip(paths, answers, strict=True)}
    return replace(
        blank,
        requests=len(paths),
        sent_bytes=sum(answer.num_bytes_downloaded for answer in answers),
        unpacked_bytes=sum(len(answer.content) for answer in answers),
        milliseconds=statistics.median(rounds[1:]),
        processor_milliseconds=statistics.median(busy[1:]),
    )


def headers_of(packed: bool, tag: str | None) -> dict[str, str]:
    known = {} if tag is None else {"If-None-Match": tag}
    return known | {"Accept-Encoding": "gzip" if packed else "identity"}


@contextmanager
def serving(engine: Engine) -> Iterator[httpx.Client]:
    with (
        served(ports_of(engine, Settings())) as address,
        httpx.Client(base_url=address, timeout=60.0) as client,
    ):
        yield client


def touch(engine: Engine) -> None:
    """Move the fold on, as a step does: what was made of the streams before holds no longer."""
    with engine.begin() as connection:
        connection.execute(text("update fold_position set next_place = next_place + 1"))


def fill(engine: Engine, cohorts: int) -> None:
    """Put a baseline of so many cohorts in the place of what there is, with its streams, alarms and incidents."""
    names = (ALL, *(f"product=p{number:04d},region={'eu' if number % 2 else 'us'}" for number in range(cohorts)))
    baseline = baseline_of(names)
    rng = np.random.default_rng(cohorts)
    keys = [
        {"signal": signal, "cohort": name, "policy_model": MODEL, "scorer_version": "1"}
        for name in names
        for signal in SIGNALS
    ]
    alarmed = rng.random(len(keys)) < ALARMS_A_STREAM
    with engine.begin() as connection:
        for emptied in (schema.alarm, schema.incident, schema.detector, schema.fold_position, schema.baseline):
            connection.execute(delete(emptied))
        values = {"created_by": "operator", "note": "", "active": True, "first_place": 0, "stop_place": WINDOW_TRACES}
        chosen = insert(schema.baseline).values(values | {"content": baseline.to_json()})
        number = connection.execute(chosen.returning(schema.baseline.c.baseline_id)).scalar_one()
        place = {"baseline_id": number, "next_sequence": 1, "next_place": WINDOW_TRACES}
        connection.execute(insert(schema.fold_position).values(place))
        connection.execute(
            insert(schema.detector),
            [key | stream_row(rng, number, level) for key, level in zip(keys, rng.random(len(keys)), strict=True)],
        )
        kept = [key for key, has in zip(keys, alarmed, strict=True) if has]
        for start in range(0, len(kept), ALARMS_AN_INCIDENT):
            members = kept[start : start + ALARMS_AN_INCIDENT]
            incident = connection.execute(
                insert(schema.incident).values(incident_row(len(members))).returning(schema.incident.c.incident_id)
            ).scalar_one()
            rows = [key | alarm_row(rng) | {"baseline_id": number, "incident_id": incident} for key in members]
            connection.execute(insert(schema.alarm), rows)


def stream_row(rng: np.random.Generator, baseline_id: int, level: float) -> dict[str, object]:
    return {
        "baseline_id": baseline_id,
        "observations": int(rng.integers(100, 100_000)),
        "mean": float(rng.random()),
        "evidence_log": 0.9 * level,
        "last_timestamp": NOW - timedelta(seconds=float(rng.integers(0, 600))),
        "state": b"",
    }


def alarm_row(rng: np.random.Generator) -> dict[str, object]:
    effect = float(rng.normal())
    return {
        "state": AlarmState.OPEN,
        "severity": Severity.ALERT,
        "direction": "up" if effect > 0 else "down",
        "place": 3000,
        "trace_id": f"{rng.integers(2**62):032x}",
        "timestamp": NOW,
        "onset_place": 2900,
        "onset_timestamp": NOW - timedelta(hours=1),
        "observations": 900,
        "evidence_log": 1.01,
        "effect_estimate": effect,
        "effect_lower": effect - 0.1,
        "effect_upper": effect + 0.1,
        "effect_unit": "ratio",
        "examples": [f"{rng.integers(2**62):032x}" for _ in range(5)],
    }


def incident_row(members: int) -> dict[str, object]:
    return {
        "kind": "drift",
        "state": AlarmState.OPEN,
        "severity": Severity.ALERT,
        "opened_at": NOW,
        "paged_at": NOW,
        "onset_timestamp": NOW - timedelta(hours=1),
        "onset_place": 2900,
        "members": members,
        "summary": "refusal up in * and many cohorts",
        "causes": [],
    }


def baseline_of(cohorts: Sequence[str]) -> Baseline:
    """Return a baseline whose cohorts have the law of one: what is measured does not depend on what they hold."""
    rng = np.random.default_rng(0)
    names, models = ["one"] * WINDOW_TRACES, [MODEL] * WINDOW_TRACES
    places = np.arange(WINDOW_TRACES)
    windows = [Window(name, "1", names, models, rng.random(WINDOW_TRACES), places) for name in SIGNALS]
    built = build_baseline(windows, NullRule(), first_place=0, stop_place=WINDOW_TRACES)

    def widened(law: SignalBaseline) -> SignalBaseline:
        (of_any, *others) = law.strata
        return replace(law, strata=tuple(replace(row, cohort=name) for name in cohorts for row in (of_any, *others)))

    return replace(built, signals=tuple(map(widened, built.signals)))


if __name__ == "__main__":
    main()
