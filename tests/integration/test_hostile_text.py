"""Labels from outside run through every command: none ends one, none commands the terminal, none is lost."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import psycopg
import pytest

from monitor.domain.text import visible
from tests.commands import Done, Run
from tests.hostile import LABELS, UNSTORABLE, names, unseen
from tests.traces import drifting, line, trace
from tests.watched import watch

BASELINE, DRIFTED = 1600, 3200
NAMES = names()
TRACES = [
    trace(
        number,
        timestamp=plain.timestamp,
        trace_id=f"{number} {name}",
        policy_model=name,
        cohort={"dataset": name},
        response=plain.response,
        output_tokens=plain.output_tokens,
    )
    for number, (plain, name) in enumerate(
        zip(drifting(DRIFTED, change=BASELINE, refusals=0.9, longer=5.0), cycle(NAMES))
    )
]


@pytest.fixture
def watched(run: Run, postgres_url: str) -> str:
    """A database whose every label is hostile, with alarms; the settings name it."""
    watch(postgres_url, TRACES, baseline=BASELINE)
    run("--version", POSTGRES__URL=postgres_url)
    return postgres_url


def is_sound(done: Done) -> bool:
    assert unseen(done.out) == []
    assert unseen(done.err) == []
    assert "Traceback" not in done.err
    return done.code == 0


@pytest.mark.postgres
def test_every_command_that_shows_labels_shows_them_as_text(run: Run, watched: str, tmp_path: Path) -> None:
    for words in (
        ("baseline", "show"),
        ("drift", "status"),
        ("alarms", "list"),
        ("incidents", "list"),
        ("jobs", "list"),
        ("winrate",),
    ):
        assert is_sound(run(*words)), words
    listed = json.loads(run("alarms", "list", "--json", "--limit", 10_000).out)
    assert {alarm["alarm"]["stream"]["policy_model"] for alarm in listed} - {"*"} == set(NAMES)
    told = ""
    # One of each model and of each signal: there are as many for every cohort, whose names are the models'.
    of_each = {each["alarm"]["stream"][part]: each for part in ("policy_model", "signal") for each in listed}
    for alarm in of_each.values():
        done = run("alarms", "explain", alarm["alarm_id"])
        assert is_sound(done)
        told += done.out
        assert is_sound(run("alarms", "show", alarm["alarm_id"]))
    assert [name for name in NAMES if visible(name) not in told] == []
    for incident in json.loads(run("incidents", "list", "--json").out):
        for told_by in (("show",), ("show", "--json"), ("snooze", "--hours", 1)):
            order, *options = told_by
            assert is_sound(run("incidents", order, incident["incident_id"], *options)), told_by
    assert is_sound(run("alarms", "ack", listed[0]["alarm_id"]))
    assert is_sound(run("drift", "report", "--out", tmp_path / "report.html"))
    statuses = json.loads(run("drift", "status", "--json").out)
    assert {status["key"]["policy_model"] for status in statuses} - {"*"} == set(NAMES)  # prompts have no policy model
    assert is_sound(run("baseline", "freeze", "--last", 1000, "--note", "".join(LABELS.values())))
    assert is_sound(run("baseline", "show"))
    assert is_sound(run("baseline", "show", "--json"))


@pytest.mark.postgres
def test_a_reason_goes_into_a_job_s_row_and_comes_out_as_text(run: Run, postgres_url: str) -> None:
    run("--version", POSTGRES__URL=postgres_url)
    for number, (name, label) in enumerate((LABELS | UNSTORABLE).items(), start=1):
        assert is_sound(run("jobs", "start", "reward_refresh", f"--reason={label}")), name
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            stored = label.replace("\0", "").encode("utf-8", "replace").decode()
            connection.execute("update job set error = %s, requested_by = %s", [stored, stored[:50]])
        for words in (
            ("jobs", "list"),
            ("jobs", "list", "--json"),
            ("jobs", "show", number),
            ("jobs", "cancel", number),
        ):
            assert is_sound(run(*words)), (name, words)


@pytest.mark.postgres
@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_words_of_the_command_line_are_refused_in_visible_text(run: Run, postgres_url: str, label: str) -> None:
    run("--version", POSTGRES__URL=postgres_url)
    for words in (("jobs", "start", label, "--reason", "why"), ("alarms", "list", "--state", label), ("fly" + label,)):
        done = run(*words)
        assert done.code == 2
        assert "Traceback" not in done.err
        assert "\x1b" not in done.err


def test_a_file_full_of_labels_is_scored_and_judged(run: Run, tmp_path: Path) -> None:
    file, out, result = (tmp_path / name for name in ("traces.jsonl", "out.jsonl", "alarms.json"))
    bad = [b'{"trace_id": ' + json.dumps(label).encode() + b"}" for label in (LABELS | UNSTORABLE).values()]
    good = [line(item) for item in TRACES]
    file.write_bytes(b"\n".join([*good, *bad, good[0], *(label.encode("utf-8", "replace") for label in NAMES)]))
    assert is_sound(run("score", file, "--out", out))
    assert [json.loads(row)["trace_id"] for row in out.read_text().splitlines()] == [item.trace_id for item in TRACES]
    options = ("--baseline", BASELINE, "--cohort-key", "dataset", "--average-run-length", 1000, "--json", result)
    assert is_sound(run("backtest", file, *options))
    judged = [
        {"trace_id": item.trace_id, "label_id": item.trace_id, "annotator_id": item.policy_model} for item in TRACES
    ]
    usual = {"timestamp": "2025-03-02T05:00:00Z", "kind": "preference", "value": 1, "inclusion_probability": 1}
    labels = tmp_path / "labels.jsonl"
    labels.write_bytes(b"\n".join([*bad, *(json.dumps(row | usual).encode() for row in judged)]))
    assert is_sound(run("backtest", file, *options, "--labels", labels))
    found = json.loads(result.read_text())["alarms"]
    assert len({alarm["policy_model"] for alarm in found} - {"*"}) == len(NAMES)
