"""Who says that an answer refuses, from the settings: patterns, a folder, and a judge behind a real server."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from monitor.app.duties import versions_of
from monitor.app.policy import refusal_reader_of
from monitor.app.rules import null_rule_of
from monitor.app.signals import count_judgements, refusal_judge_of, refusal_model_of, signals_of
from monitor.domain.cohort import ALL
from monitor.drift.controller import Controller
from monitor.errors import InvalidInput, InvalidSetting
from monitor.ingest.offset import StoredOffset
from monitor.observe.gather import gather
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.root import Settings
from monitor.signals.refusal import REFUSAL, REFUSAL_JUDGED, PatternRefusal
from retrain.refusal_reader import open_refusals
from tests.integration.test_folder_classifier import save
from tests.ports import free_port
from tests.program import wait_for
from tests.traces import REFUSAL as REFUSES
from tests.traces import checkpoint, scored, trace
from tests.watched import rules_of

TRACES = [trace(0, response=REFUSES), trace(1), trace(2, response=None)]


def settings(**refusal: Any) -> Settings:
    return Settings.model_validate({"signals": {"refusal": refusal}})


def told(of: Settings) -> dict[str, list[float]]:
    """Return what an entry of the log holds of refusals, by signal."""
    entry = gather(scored(TRACES), signals=signals_of(of))
    return {
        batch.series.signal: batch.values.tolist() for batch in entry.observations if "refusal" in batch.series.signal
    }


class JudgeServer:
    """Says FULL of what says sorry, and counts who asked."""

    def __init__(self) -> None:
        self.keys = Counter[str | None]()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.keys[self.headers.get("Authorization")] += 1
                said = "FULL" if "sorry" in asked["messages"][-1]["content"] else "NONE"
                body = json.dumps({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    server = JudgeServer()
    yield server
    server.close()


def judge(url: str, **changes: object) -> dict[str, object]:
    return {"endpoint": url, "model": "judge-1", "api_key": "k", "ratio": 1.0} | changes


def test_a_judge_has_a_series_of_its_own_beside_the_patterns(server: JudgeServer) -> None:
    of, counted = settings(model="patterns", judge=judge(server.url)), Counter[tuple[str, str]]()
    count_judgements(of, lambda signal, outcome, count: counted.update({(signal, outcome.value): count}))
    assert told(of) == {REFUSAL.name: [1.0, 0.0], REFUSAL_JUDGED.name: [1.0, 0.0]}
    assert counted == {(REFUSAL_JUDGED.name, "judged"): 2}
    assert server.keys == {"Bearer k": 2}
    assert refusal_judge_of(of) is refusal_judge_of(settings(judge=judge(server.url)))  # one in a process


def test_a_dead_judge_costs_its_own_series_alone_and_is_counted() -> None:
    away = judge(f"http://127.0.0.1:{free_port()}")
    of, counted = settings(model="patterns", judge=away), Counter[str]()
    count_judgements(of, lambda _signal, outcome, count: counted.update({outcome.value: count}))
    assert told(of) == {REFUSAL.name: [1.0, 0.0]}
    assert counted == {"away": 2}


def test_a_folder_takes_the_patterns_place(tmp_path: Path) -> None:
    of = settings(model=save(tmp_path / "m"), labels=["declines"], classifier={"device": "cpu"})
    found = told(of)
    assert len(found[REFUSAL.name]) == 2
    assert all(0.0 < value < 1.0 for value in found[REFUSAL.name])


def test_a_run_reads_by_the_same_folder_from_the_same_threshold_on(tmp_path: Path) -> None:
    save(tmp_path / "m")
    of = settings(model=tmp_path / "m", labels=["declines"], threshold=0.4).signals.refusal
    reader = refusal_reader_of(tmp_path, of)
    assert (reader.weights, reader.threshold) == (None, 0.4)
    model = open_refusals(reader)
    assert (model.version, model.threshold) == (refusal_model_of(of).version, 0.4)
    assert reader.folder is not None
    with pytest.raises(InvalidInput, match=r"the labels of .* are answers, decl"):
        open_refusals(replace(reader, folder=replace(reader.folder, labels=("no",))))


def test_a_label_that_a_folder_lacks_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidSetting, match=r"signals\.refusal\.labels names 'no'; the labels of .* are answers, decl"
    ):
        signals_of(settings(model=save(tmp_path / "m"), labels=["no"]))


def test_refusals_that_are_off_want_no_folder(tmp_path: Path) -> None:
    of = {"signals": {"off": ["refusal"], "refusal": {"model": str(tmp_path), "labels": ["x"]}}}
    assert REFUSAL not in signals_of(Settings.model_validate(of)).observers


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"model": "/"}, "wants labels"),
        ({"model": "/nowhere"}, "nor a file or a folder"),
        ({"labels": ["x"]}, "labels belong to a folder"),
        ({"model": "/", "labels": ["x"], "full_labels": ["y"]}, "full_labels names 'y'"),
        ({"judge": {"endpoint": "http://j"}}, "judge.endpoint wants judge.model"),
        ({"judge": {"endpoint": "j", "model": "m"}}, "endpoint"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_contradict_each_other_say_so(given: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(**given)


@pytest.mark.postgres
def test_a_folder_that_takes_the_patterns_place_begins_a_series_with_a_law_of_its_own(
    postgres_url: str, tmp_path: Path
) -> None:
    before = settings(model="patterns")
    after = settings(model=save(tmp_path / "m"), labels=["declines"], classifier={"device": "cpu"})
    engine = create_engine_for(postgres_url)
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    rng = np.random.default_rng(5)
    said = ["".join(rng.choice(list("abcdefgh "), 40)) for _ in range(1200)]
    traces = [trace(number, response=text) for number, text in enumerate(said)]

    def turn(of: Settings, start: int, stop: int) -> Controller:
        """Store some traces as a worker does, and lead, both by the same settings."""
        for first in range(start, stop, 100):
            items = scored(traces[first : min(first + 100, stop)])
            written = checkpoint(items, start=first)
            entry = gather(items, signals=signals_of(of))
            store.write(replace(written, observed=replace(written.observed, entry=entry)))
        log, rule = PostgresFoldStore(engine), null_rule_of(of)
        rules = replace(rules_of(600), null_rule=rule)
        controller = Controller(log, rules, versions=versions_of(engine, rules))
        wait_for(lambda: log.place_entries().next_place == stop, "the places")
        controller.tick()
        return controller

    try:
        turn(before, 0, 800)
        controller = turn(after, 800, 1200)
        version = refusal_model_of(after.signals.refusal).version
        followed = {
            status.key.scorer_version: status
            for status in controller.tick().statuses
            if (status.key.signal, status.key.cohort) == (REFUSAL.name, ALL)
        }
        assert followed.keys() == {PatternRefusal().version, version}
        assert followed[version].observations == 400
        window = refusal_model_of(after.signals.refusal).read(traces[:600])
        read = [reading.probability for reading in window if reading is not None]
        assert followed[version].baseline_mean == pytest.approx(np.mean(read), abs=1e-6)
        assert PostgresAlarms(engine).open_alarms() == ()
    finally:
        engine.dispose()
