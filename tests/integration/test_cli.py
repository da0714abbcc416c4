"""The commands through their front door: exit codes, what is said of bad lines and settings, files in and out."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.postgres.engine import create_engine_for
from tests.commands import Run
from tests.traces import REFUSAL, drifting, line, trace
from tests.watched import watch

GOOD, FAILED, BAD_USAGE = 0, 1, 2
TRACES = drifting(1200, change=800)


def written(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_score_writes_a_row_per_good_trace_and_names_each_bad_line(run: Run, tmp_path: Path) -> None:
    lines = [line(trace(0, response=REFUSAL)), b"garbage", b"", line(trace(1)), line(trace(0)), b'{"trace_id": "x"}']
    file, out = written(tmp_path / "traces.jsonl", lines), tmp_path / "out.jsonl"
    done = run("score", file, "--out", out)
    rows = [json.loads(row) for row in out.read_text().splitlines()]
    assert [(row["trace_id"], row["reward"]) for row in rows] == [("t-0", None), ("t-1", None)]
    assert rows[0]["signals"]["refusal"] > 0.9
    assert rows[1]["signals"]["refusal"] < 0.1
    assert rows[0]["signals"]["response_length"] == 100
    pair = line(trace(2), reward_scores={"policy": 1.0, "reference": 1.0})
    run("score", written(tmp_path / "pair.jsonl", [pair]), "--out", tmp_path / "pair.out")
    assert json.loads((tmp_path / "pair.out").read_text())["reward"]["win"] == 0.5
    said = done.err.splitlines()
    assert (done.code, len(said)) == (GOOD, 4)
    assert said[0].startswith(f"{file}:2: not_json: ")
    assert said[1].startswith(f"{file}:5: duplicate: trace_id 't-0'")
    assert said[2].startswith(f"{file}:6: missing_field: ")
    assert said[3] == "2 good, 2 bad, 1 duplicate lines"


def test_score_fails_where_nothing_was_good_and_with_strict_where_anything_was_bad(run: Run, tmp_path: Path) -> None:
    mixed = written(tmp_path / "mixed.jsonl", [line(trace(0)), b"{"])
    bad = written(tmp_path / "bad.jsonl", [b"{"])
    out = tmp_path / "out.jsonl"
    assert run("score", mixed, "--out", out).code == GOOD
    assert run("score", mixed, "--out", out, "--strict").code == FAILED
    assert run("score", bad, "--out", out).code == FAILED


def test_a_gzipped_file_is_read_as_the_file_itself_and_one_cut_off_is_named(run: Run, tmp_path: Path) -> None:
    packed, out = tmp_path / "traces.jsonl.gz", tmp_path / "out.jsonl"
    packed.write_bytes(gzip.compress(b"\n".join(line(trace(number)) for number in range(500))))
    assert run("score", packed, "--out", out).code == GOOD
    assert len(out.read_text().splitlines()) == 500
    packed.write_bytes(packed.read_bytes()[:-100])
    done = run("score", packed, "--out", out)
    assert done.code == BAD_USAGE
    assert f"{packed}: cannot be read" in done.err


def test_a_file_that_is_not_there_is_refused_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    out, there = written(tmp_path / "out.jsonl", [b"kept"]), written(tmp_path / "traces.jsonl", [line(trace(0))])
    done = run("score", there, tmp_path / "missing.jsonl", "--out", out)
    assert done.code == BAD_USAGE
    assert "missing.jsonl: no such file; name a file that is there" in done.err
    assert run("score", tmp_path, "--out", out).code == BAD_USAGE
    assert out.read_text() == "kept\n"


def test_a_file_of_traces_is_not_overwritten_by_its_own_scores(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "traces.jsonl", [line(trace(0))])
    before = file.read_bytes()
    for words in (("score", file, "--out"), ("backtest", file, "--baseline", 1, "--json")):
        done = run(*words, tmp_path / "." / "traces.jsonl")
        assert (done.code, "name another file" in done.err) == (BAD_USAGE, True)
    assert file.read_bytes() == before


def test_backtest_prints_its_alarms_and_writes_them_as_json(run: Run, tmp_path: Path) -> None:
    halves = [[line(item) for item in part] for part in (TRACES[:700], TRACES[700:])]
    halves[0].insert(10, b"garbage")
    files = [written(tmp_path / f"{number}.jsonl", half) for number, half in enumerate(halves)]
    result = tmp_path / "alarms.json"
    done = run("backtest", *files, "--baseline", 600, "--average-run-length", 5000, "--json", result)
    form = json.loads(result.read_text())
    assert (form["traces"], form["baseline"], form["average_run_length"]) == (1200, 600, 5000)
    found = {(alarm["signal"], alarm["direction"]): alarm for alarm in form["alarms"]}
    assert found.keys() == {("response_length", "up"), ("refusal", "up")}
    for alarm in found.values():
        assert alarm["trace_id"] == f"t-{alarm['trace_index']}"
        assert 800 <= alarm["trace_index"] < 900
        assert abs(alarm["onset_index"] - 800) < 50
        effect = alarm["effect"]
        assert 0 < effect["lower"] <= effect["estimate"] <= effect["upper"]
    assert [found[signal, "up"]["effect"]["unit"] for signal in ("response_length", "refusal")] == ["tokens", "ratio"]
    assert "response_length" in done.out
    assert done.out.count("a page at 2025-03-01 05:") == form["pages"] == len(form["incidents"]) == 1
    assert form["incidents"][0]["opened_at"].startswith("2025-03-01T05:")
    assert f"{files[0]}:11: not_json" in done.err
    assert (done.code, done.err.splitlines()[-1]) == (GOOD, "1200 good, 1 bad, 0 duplicate lines")


def test_a_tolerance_in_the_operator_s_unit_and_a_budget_decide_what_pages(run: Run, tmp_path: Path) -> None:
    file, result = written(tmp_path / "t.jsonl", [line(item) for item in TRACES]), tmp_path / "alarms.json"

    def alerts(*words: object) -> set[str]:
        assert run("backtest", file, "--baseline", 600, "--json", result, *words).code == GOOD
        return {alarm["signal"] for alarm in json.loads(result.read_text())["alarms"]}

    assert alerts() == {"response_length", "refusal"}
    assert alerts("--tolerance", "response_length=500", "--tolerance", "refusal=0.5") == set()
    assert alerts("--false-page-days", 30) == {"response_length", "refusal"}
    form = json.loads(result.read_text())
    assert (form["average_run_length"], form["false_page_days"]) == (None, 30)
    for words in (("--tolerance", "refuse=1%"), ("--tolerance", "refusal=much"), ("--tolerance", "refusal=-1")):
        assert run("backtest", file, "--baseline", 600, *words).code == BAD_USAGE
    assert (
        run("backtest", file, "--baseline", 600, "--false-page-days", 3, "--average-run-length", 100).code == BAD_USAGE
    )


def test_labels_beside_the_traces_give_estimates_and_bad_ones_are_named(run: Run, tmp_path: Path) -> None:
    scores = [{"policy": 1.0 - number % 3, "reference": 0.0} for number in range(805)]
    rows = [line(trace(n), reference_response="So.", reward_scores=scores[n]) for n in range(805)]
    judged = [
        {
            "label_id": f"l-{number}",
            "timestamp": "2025-03-01T09:00:00Z",
            "trace_id": f"t-{number}",
            "annotator_id": "ada",
            "kind": "preference",
            "value": [1.0, 0.5, 0.0][number % 3],
            "inclusion_probability": 0.1,
        }
        for number in range(0, 805, 10)
    ]
    files = (
        written(tmp_path / "t.jsonl", rows),
        written(tmp_path / "l.jsonl", [json.dumps(row).encode() for row in judged]),
    )
    more, result = written(tmp_path / "more.jsonl", [b"{"]), tmp_path / "result.json"
    words = ("backtest", files[0], "--labels", files[1], "--labels", more, "--json", result)
    done = run(*words)
    assert (done.code, f"{more}:1: not_json" in done.err) == (GOOD, True)
    form = json.loads(result.read_text())
    [row] = [row for row in form["estimates"] if row["signal"] == "win_rate" and row["cohort"] == "*"]
    assert (row["policy_model"], row["traces"], row["labels"], row["reason"]) == ("phi-2", 805, 81, None)
    assert (row["from"], row["to"]) == ("2025-03-01T05:00:00+00:00", "2025-03-01T05:13:24+00:00")
    assert 0.0 < row["classical_lower"] < row["lower"] < row["estimate"] < row["upper"] < row["classical_upper"] < 1.0
    assert row["anytime_lower"] < row["lower"] < row["upper"] < row["anytime_upper"]
    assert (form["labels"]["read"], form["labels"]["counted"]) == (81, 81)
    assert (form["baseline"], form["laws"], form["alarms"]) == (0, [], [])
    assert "win_rate" in done.out
    refused = run(*words, "--baseline", 805)
    assert (refused.code, "or 0 for estimates alone" in refused.err) == (BAD_USAGE, True)
    assert "no good one" in run("backtest", files[0], "--labels", more, "--baseline", 0).err


@pytest.mark.parametrize("baseline", ["1200", "0", "many"])
def test_a_baseline_that_leaves_nothing_to_watch_is_refused(run: Run, tmp_path: Path, baseline: str) -> None:
    file = written(tmp_path / "traces.jsonl", [line(item) for item in TRACES])
    done = run("backtest", file, "--baseline", baseline)
    assert done.code == BAD_USAGE
    assert "--baseline" in done.err


def test_an_output_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "traces.jsonl", [line(item) for item in TRACES[:50]])
    done = run("score", file, "--out", tmp_path / "no" / "folder.jsonl")
    assert (done.code, "folder.jsonl: No such file or directory; name a file" in done.err) == (BAD_USAGE, True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WEB__PORT": "70000"}, "web.port = '70000': Input should be less than or equal to 65535"),
        ({"KAFKA__AUTO_OFFSET_RESET": "middle"}, "kafka.auto_offset_reset = 'middle': Input should be 'earliest' or"),
        ({"INGEST__BATCH_SIZE": "1"}, "ingest.batch_size: no such setting; there are cohort_keys, max_cohorts, "),
        (
            {"KAFAK__GROUP_ID": "x"},
            "MONITOR_KAFAK__GROUP_ID: no such setting; did you mean 'kafka'? (MONITOR_<PART>__<FIELD>)",
        ),
        ({"CONFIG": "nowhere.yaml"}, "MONITOR_CONFIG='nowhere.yaml': no such file"),
        ({"POSTGRES__URL": "mysql://me:secret@host/db"}, "postgres.url: 'mysql' is not supported; wanted postgresql"),
    ],
    ids=["a number", "a choice", "an unknown field", "an unknown part", "a missing file", "another database"],
)
def test_a_wrong_setting_stops_the_start_with_its_key_its_value_and_what_was_wanted(
    run: Run, settings: dict[str, str], said: str
) -> None:
    done = run("run", **settings)
    assert done.code == BAD_USAGE
    assert said in done.err
    assert "secret" not in done.err
    assert "Traceback" not in done.err


def test_a_database_that_is_away_is_a_failure_and_not_a_usage_error(run: Run) -> None:
    for words in (("run",), ("alarms", "list"), ("db", "check"), ("db", "upgrade")):
        done = run(*words, POSTGRES__URL="postgresql://postgres@/nowhere?host=/nonexistent")
        assert (done.code, "PostgreSQL" in done.err) == (FAILED, True), words


def test_no_command_and_an_unknown_one_are_bad_usage_and_help_and_version_are_not(run: Run) -> None:
    assert [run(*words).code for words in ((), ("fly",), ("alarms", "ack"))] == [BAD_USAGE] * 3
    assert [run(*words).code for words in (("--help",), ("--version",), ("backtest", "--help"))] == [GOOD] * 3


@pytest.mark.postgres
def test_db_check_says_whether_the_schema_is_the_declared_one_and_upgrade_is_idempotent(
    run: Run, postgres_url: str
) -> None:
    assert run("db", "check", POSTGRES__URL=postgres_url).code == GOOD
    assert "revision" in run("db", "upgrade").out
    engine = create_engine_for(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("alter table trace drop column latency_seconds"))
    engine.dispose()
    done = run("db", "check")
    assert (done.code, "latency_seconds" in done.out) == (FAILED, True)


@pytest.mark.postgres
def test_an_alarm_that_has_recovered_says_when(run: Run, postgres_url: str) -> None:
    run("db", "check", POSTGRES__URL=postgres_url)
    watch(postgres_url, TRACES, baseline=600)
    number = json.loads(run("alarms", "list", "--json", "--state", "open").out)[0]["alarm_id"]
    assert "recovered" not in run("alarms", "explain", number).out
    engine = create_engine_for(postgres_url)
    with engine.begin() as connection:
        ended = "update alarm set state = 'recovered', recovered_at = '2026-11-21 05:00:00+00' where alarm_id = :number"
        connection.execute(text(ended), {"number": number})
    engine.dispose()
    assert "recovered: 2026-11-21 05:00:00Z" in run("alarms", "explain", number).out
    [listed] = json.loads(run("alarms", "list", "--json", "--state", "recovered").out)
    assert (listed["alarm_id"], listed["recovered_at"]) == (number, "2026-11-21T05:00:00+00:00")


@pytest.mark.postgres
def test_an_operator_sees_the_drift_acknowledges_its_alarm_and_freezes_anew(run: Run, postgres_url: str) -> None:
    assert run("baseline", "show", POSTGRES__URL=postgres_url).code == FAILED
    watch(postgres_url, TRACES, baseline=600)
    assert "600" in run("baseline", "show").out
    laws = json.loads(run("baseline", "show", "--json").out)["laws"]["signals"]
    length = next(law for law in laws if law["signal"] == "response_length")
    assert (length["unit"], length["observations"], length["unsteady"]) == ("tokens", 600, [])
    assert length["tolerance_up"] == pytest.approx(0.1 * length["mean"], rel=0.02)
    assert "ALARM" in run("drift", "status").out
    listed = json.loads(run("alarms", "list", "--json", "--state", "open").out)
    number = listed[0]["alarm_id"]
    told = run("alarms", "explain", number).out
    assert re.match(r"since \S+ \S+ UTC: .* traces after it began\n", told)
    assert re.search(rf"^alarm {number} of incident \d+ \(open, alert\): drift$", told, re.MULTILINE)
    assert "folded again: " in told
    assert json.loads(run("alarms", "explain", number, "--json").out)["recount"]["whole"] is True
    assert run("alarms", "explain", 10_000).code == FAILED
    assert [run("alarms", "ack", number).code for _ in range(2)] == [GOOD, FAILED]
    assert run("alarms", "ack", 10_000).code == FAILED
    assert run("baseline", "freeze", "--last", 5000).code == FAILED  # the window is sound, and not stored
    assert run("baseline", "freeze").code == BAD_USAGE
    assert "traces 900 to 1199" in run("baseline", "freeze", "--last", 300).out
    assert run("alarms", "list", "--state", "open").out == "no alarm\n"


@pytest.mark.postgres
def test_an_operator_reads_an_incident_acknowledges_snoozes_and_reopens_it(run: Run, postgres_url: str) -> None:
    run("db", "check", POSTGRES__URL=postgres_url)
    assert run("incidents", "list").out == "no incident\n"
    watch(postgres_url, TRACES, baseline=600)
    [listed] = json.loads(run("incidents", "list", "--json", "--state", "open").out)
    number = listed["incident_id"]
    assert listed["facts"]["summary"] in run("incidents", "list").out.replace("\n", " ")
    shown = run("incidents", "show", number).out
    assert f"incident {number} (open, alert): " in shown
    assert "response_length up in *" in shown
    assert "likely cause: policy_model: of " in shown  # the prompts explain none of it
    detail = json.loads(run("incidents", "show", number, "--json").out)
    alarm = detail["alarms"][0]["alarm_id"]
    assert f"alarm {alarm} of incident {number}" in run("alarms", "show", alarm).out
    assert json.loads(run("alarms", "show", alarm, "--json").out)["incident_id"] == number
    assert "is acknowledged" in run("incidents", "ack", number).out
    assert run("incidents", "ack", number).code == FAILED
    assert "is snoozed" in run("incidents", "snooze", number, "--hours", 4).out
    assert "snoozed until" in run("incidents", "show", number).out
    assert run("incidents", "snooze", number, "--hours", 0).code == BAD_USAGE
    assert "is open" in run("incidents", "reopen", number).out
    live = next(row["alarm_id"] for row in detail["alarms"] if row["state"] == "open")
    assert run("alarms", "snooze", live, "--hours", 1).out == f"alarm {live} is snoozed\n"
    assert run("alarms", "reopen", live).out == f"alarm {live} is open\n"
    assert run("incidents", "show", 10_000).code == FAILED


def test_a_folder_that_cannot_take_the_given_models_is_named_as_a_setting(
    run: Run, postgres_url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings = {"POSTGRES__URL": postgres_url, "REWARDS__BACKEND": "huggingface", "REWARDS__MODELS": '["model"]'}
    done = run("run", RETRAIN__FOLDER=str(tmp_path / "file" / "retrain"), **settings)
    assert done.code == 2
    assert f"retrain.folder = '{tmp_path}/file/retrain': Not a directory" in done.err


def test_the_demo_refuses_a_folder_with_an_earlier_story_in_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    done = run("demo", "--folder", tmp_path)
    assert done.code == 2
    assert "is not empty: name a new folder, or an empty one" in done.err


def test_the_installed_program_starts() -> None:
    done = subprocess.run([sys.executable, "-m", "monitor", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith("rlhf-monitor ")) == (GOOD, True)
