"""`probes run` and `probes list`: a model is asked now, and what the schedule has found is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.probes.suite import PACKAGED, read_suite
from tests.commands import Run
from tests.integration.probing import Site, speaking
from tests.reference_server import TroubledServer

HELP = "Of course: begin with the first step."


def test_a_model_is_asked_now_without_a_database(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"kind": "capability", "id": "a", "prompt": "2 + 2?", "wanted": "4"}\n')
    with speaking(lambda _prompt: "The answer is 4.") as server:
        done = run(
            "probes", "run", "--endpoint", server.url, "--suite", "own", "--suite", "over_refusal", "--out",
            tmp_path / "out.jsonl", "--json", PROBES__SUITES=json.dumps({"own": str(own)}),
        )  # fmt: skip
    assert done.code == 0, done.err
    told = {row["suite"]: row for row in json.loads(done.out)}
    assert told["own"]["rate"]["value"] == 1.0
    assert told["over_refusal"]["rate"]["value"] == 0.0
    assert told["over_refusal"]["asked"] == len(read_suite(PACKAGED["over_refusal"], "x").items)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {"suite": "own", "id": "a", "answer": "The answer is 4.", "outcome": 1.0}.items() <= rows[0].items()


def test_a_model_that_does_not_answer_and_a_suite_that_there_is_not_say_so(run: Run) -> None:
    with TroubledServer() as server:
        url = server.url
    dead = run("probes", "run", "--endpoint", url, "--suite", "capability", "--items", "2")
    assert (dead.code, "0 of 2 were answered; unavailable: ConnectError" in dead.err) == (1, True)
    unknown = run("probes", "run", "--endpoint", url, "--suite", "nonsense")
    assert (unknown.code, "--suite nonsense: no such suite; there are over_refusal" in unknown.err) == (2, True)
    assert run("probes", "run").code == 2
    wrong = run("probes", "run", "--endpoint", url, PROBES__SUITES='{"own": "/nowhere.jsonl"}')
    assert (wrong.code, "probes.suites.own: /nowhere.jsonl" in wrong.err) == (2, True)


@pytest.mark.postgres
def test_suites_are_listed_with_their_last_run(run: Run, engine: Engine, postgres_url: str) -> None:
    site, suite = Site(engine), read_suite(PACKAGED["over_refusal"], "over_refusal")
    with site.open, speaking(lambda _prompt: HELP) as server:
        site.probe(site.prober(server.url, suites={"over_refusal": suite}))
    done = run("probes", "list", "--json", POSTGRES__URL=postgres_url)
    told = {row["suite"]: row for row in json.loads(done.out)}
    assert told.keys() == PACKAGED.keys()
    assert told["over_refusal"]["last_run"]["state"] == "done"
    assert told["over_refusal"]["week_rate"]["value"] == 0.0
    assert told["capability"]["last_run"] is None
    shown = run("probes", "list", POSTGRES__URL=postgres_url)
    assert "never" in shown.out
    assert "probes.endpoint is not set" in shown.out
