"""The `decode` command, and `score` and `backtest` over what producers wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import Run
from tests.recordings import FOLDER, OTLP, litellm_calls
from tests.traces import line, trace

GOOD, FAILED, BAD_USAGE = 0, 1, 2
RECORDINGS = [FOLDER / f"{name}.jsonl.gz" for name in (*OTLP, "litellm_payload")]


def counts(told: str) -> dict[str, int]:
    """Read the table on stderr."""
    rows = [line.rsplit(maxsplit=1) for line in told.splitlines()]
    return {row[0]: int(row[1].replace(",", "")) for row in rows if len(row) == 2 and row[1][0].isdecimal()}


def test_decode_writes_what_score_and_backtest_and_decode_itself_read(run: Run, tmp_path: Path) -> None:
    out, again, scores = (tmp_path / f"{name}.jsonl" for name in ("out", "again", "scores"))
    done = run("decode", *RECORDINGS, "--out", out, "--cohort-key", "team")
    assert (done.code, done.out) == (GOOD, "")
    told = counts(done.err)
    assert (told["traces"], told["invalid"], told["taken without its text"]) == (90, 0, 10)
    assert told["skipped: other_span"] > 0
    assert told["duplicates"] >= 80
    assert run("decode", out, "--out", again).code == GOOD
    assert again.read_text() == out.read_text()
    traces = [json.loads(row) for row in out.read_text().splitlines()]
    assert {trace["cohort"]["team"] for trace in traces if "cohort" in trace} == {"shop"}
    assert run("score", *RECORDINGS, "--out", scores).code == GOOD
    ids = [{json.loads(row)["trace_id"] for row in file.read_text().splitlines()} for file in (out, scores)]
    assert len(ids[0]) == 90
    assert ids[0] == ids[1]
    assert "90 good, 0 bad" in run("backtest", *RECORDINGS, "--baseline", 40, "--cohort-key", "team").err


def test_decode_prints_the_traces_and_tells_the_rest_on_stderr(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    answer = "\x1b[31mred\u202e"
    file.write_bytes(b"\n".join([line(trace(0, response=answer)), b'{"a": 1}', line(trace(0))]))
    done = run("decode", file)
    (printed,) = done.out.splitlines()
    assert (done.code, json.loads(printed)["response"]) == (GOOD, answer)
    said = done.err.splitlines()
    assert said[0].startswith(f"{file}:2: unknown_format: value holds 'a'; wanted a native trace")
    assert said[1].startswith(f"{file}:3: duplicate: ")
    assert counts(done.err) == {"traces": 1, "duplicates": 1, "invalid": 1}
    assert run("decode", file, "--strict").code == FAILED


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", FAILED), (b"no traces\n", FAILED), (litellm_calls()["embedding"].value, GOOD)],
    ids=["nothing", "no traces", "a call that is skipped"],
)
def test_decode_fails_where_nothing_was_read(run: Run, tmp_path: Path, content: bytes, code: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert run("decode", file).code == code


def test_decode_refuses_an_unknown_format_and_its_own_input_as_output(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    file.write_bytes(line(trace(0)))
    done = run("decode", file, "--format", "otpl")
    assert done.code == BAD_USAGE
    assert "there is no such format; known are auto, native" in done.err
    assert run("decode", file, "--out", file).code == BAD_USAGE
    assert run("decode", tmp_path / "missing").code == BAD_USAGE
    assert run("decode", file, "--format", "litellm").code == FAILED
