"""CONTRIBUTING.md's additions, taken from the page, added to a copy of the program and run there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from monitor.domain.label import Label
from tests.real_kafka import ROOT
from tests.traces import line, trace

PAGE = ROOT / "CONTRIBUTING.md"
COPIED = ("monitor", "retrain", "migrations", "pyproject.toml")
_BLOCK = re.compile(r"^```(?P<kind>python|diff) (?P<path>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A new file, or a change of one that stands."""

    addition: str
    kind: str
    path: str
    text: str

    @property
    def hunks(self) -> list[list[str]]:
        return [hunk.splitlines(keepends=True) for hunk in self.text.split("@@\n")]

    @property
    def table_lines(self) -> list[str]:
        """The lines it adds to a file that stands, without imports."""
        if self.kind == "python":
            return []
        added = [text[1:] for hunk in self.hunks for text in hunk if text.startswith("+")]
        return [text for text in added if not text.startswith(("import ", "from "))]

    def apply(self, tree: Path) -> None:
        path = tree / self.path
        if self.kind == "python":
            assert not path.exists(), f"{self.path} is there already"
            path.write_text(self.text)
            return
        for hunk in self.hunks:
            before = "".join(text[1:] for text in hunk if text[0] in " -")
            after = "".join(text[1:] for text in hunk if text[0] in " +")
            source = path.read_text()
            assert source.count(before) == 1, f"{self.path} holds this not once:\n{before}"
            path.write_text(source.replace(before, after))


def blocks() -> Iterator[Block]:
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        addition = section.split("\n", 1)[0]
        for found in _BLOCK.finditer(section):
            yield Block(addition, found["kind"], found["path"], found["text"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the program with every addition in it."""
    copy = tmp_path_factory.mktemp("additions")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    for block in blocks():
        block.apply(copy)
    return copy


def run(tree: Path, *arguments: str, **variables: str) -> str:
    """Run Python on the program in *tree*; return what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tree), str(ROOT)))} | variables  # the tests are here
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# What an addition takes: new files, and lines in tables. An action is two programs' business, and has a name.
SIZES = {
    "A signal": (1, 1),
    "An optional signal": (1, 1),
    "A rate that labels tell": (0, 1),
    "A format": (1, 1),
    "A source of observations": (1, 1),
    "A detector": (1, 1),
    "An action": (3, 2),
    "A launcher": (1, 1),
}


def test_an_addition_is_a_new_file_and_one_line_in_a_table_with_its_import() -> None:
    files = Counter(block.addition for block in blocks() if block.kind == "python")
    lines = Counter(block.addition for block in blocks() for _ in block.table_lines)
    found = {addition: (files[addition], lines[addition]) for addition in lines}
    assert found == SIZES


def test_the_program_with_every_addition_keeps_the_rules(tree: Path) -> None:
    added = [block.path for block in blocks()]
    run(tree, "-m", "ruff", "check", *added)
    run(tree, "-m", "ruff", "format", "--check", *added)
    run(tree, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())")


def test_a_rate_that_labels_tell_is_estimated(tree: Path, tmp_path: Path) -> None:
    """The signal takes every question mark for a question; people say that one in two of those is one."""
    traces, labels, out = (tmp_path / name for name in ("traces.jsonl", "labels.jsonl", "out.json"))
    answers = [("Done.", "Shall I go on?")[number % 2] for number in range(800)]
    traces.write_bytes(b"".join(line(trace(n, response=said)) + b"\n" for n, said in enumerate(answers)))
    given = [
        Label(f"l-{n}", trace(n).timestamp, trace(n).trace_id, "asking", float(n % 4 == 1), "ada", None, 0.5)
        for n in range(800)
        if n % 8 in {1, 3, 4, 6}  # one in two, whatever they are
    ]
    labels.write_bytes(b"".join(msgspec.json.encode(label) + b"\n" for label in given))
    options = ("--labels", str(labels), "--baseline", "0", "--json", str(out))
    run(tree, "-m", "monitor", "backtest", str(traces), *options)
    rows = json.loads(out.read_text())["estimates"]
    [row] = [row for row in rows if (row["signal"], row["cohort"]) == ("asking_rate", "*")]
    assert (row["traces"], row["labels"]) == (800, 400)
    assert row["lower"] < 0.25 < row["upper"]


def test_a_signal_is_scored_and_alarms(tree: Path, tmp_path: Path) -> None:
    traces = tmp_path / "traces.jsonl"
    answers = ("Done.", "Shall I go on?")
    traces.write_bytes(b"".join(line(trace(n, response=answers[n >= 600])) + b"\n" for n in range(1000)))
    run(tree, "-m", "monitor", "score", str(traces), "--out", str(tmp_path / "scores.jsonl"))
    last = (tmp_path / "scores.jsonl").read_text().splitlines()[-1]
    assert '"asking":1' in last.replace(" ", "")
    run(tree, "-m", "monitor", "backtest", str(traces), "--baseline", "500", "--json", str(tmp_path / "result.json"))
    assert '"asking"' in (tmp_path / "result.json").read_text()


def test_an_optional_signal_is_scored_and_watched_where_the_settings_name_it(tree: Path, tmp_path: Path) -> None:
    traces, scores = tmp_path / "traces.jsonl", tmp_path / "scores.jsonl"
    answers = ("Done now.", "DONE NOW.")
    traces.write_bytes(b"".join(line(trace(n, response=answers[n >= 600])) + b"\n" for n in range(1000)))
    run(tree, "-m", "monitor", "score", str(traces), "--out", str(scores))
    assert "yelling" not in scores.read_text()
    on = {"MONITOR_SIGNALS__ON": '["yelling"]', "MONITOR_SIGNALS__OFF": '["truncation"]'}
    run(tree, "-m", "monitor", "score", str(traces), "--out", str(scores), **on)
    rows = [json.loads(row)["signals"] for row in scores.read_text().splitlines()]
    assert (rows[0]["yelling"], rows[-1]["yelling"]) == (1 / 7, 1)
    assert not any("truncation" in row for row in rows)
    out = tmp_path / "result.json"
    run(tree, "-m", "monitor", "backtest", str(traces), "--baseline", "500", "--json", str(out), **on)
    assert '"yelling"' in out.read_text()


FORMAT_PROGRAM = """
from datetime import UTC, datetime, timedelta
from monitor.ingest.decode import DecodeLimits
from monitor.ingest.outcome import Carries
from monitor.ingest.record import Record
from monitor.ingest.route import Route, Router

router = Router([Route("chats", Carries.TRACES, "chat_line")], DecodeLimits(1000, 1000, timedelta(minutes=5)))
good = b'{"call": "c-1", "model": "phi-2", "question": "Why?", "answer": "So."}'
records = [Record("chats", 0, offset, None, value, (), 1_700_000_000_000) for offset, value in enumerate((good, b"{"))]
batch = router.decode(records, datetime.now(UTC))
print(*(trace.trace_id for trace, _ in batch.traces), *(rejected.invalid.reason for rejected in batch.rejected))
"""


def test_a_format_is_decoded_through_its_route(tree: Path) -> None:
    assert run(tree, "-c", FORMAT_PROGRAM).strip() == "c-1 not_json"


DETECTOR_PROGRAM = """
import json, sys
from dataclasses import replace
from monitor.domain.alarm import Severity
from monitor.drift.freeze import NullRule
from monitor.offline.backtest import BacktestPlan, backtest
from tests.traces import drifting

plan = BacktestPlan(600, null_rule=NullRule(detectors={"refusal": "bold"}))
for chosen in (plan, replace(plan, null_rule=NullRule())):
    found = backtest(drifting(1500, change=900, longer=1.0), chosen)
    alerts = [alarm.observations for alarm in found.alarms if alarm.severity is Severity.ALERT]
    print(*sorted({law.detector for law in found.baseline.signals}), min(alerts))
"""


def test_a_detector_follows_the_signal_it_is_chosen_for(tree: Path) -> None:
    bold, usual = (line.split() for line in run(tree, "-c", DETECTOR_PROGRAM).splitlines())
    assert bold[:-1] == ["bold", "e_detector"]
    assert usual[:-1] == ["e_detector"]
    assert int(bold[-1]) < int(usual[-1])


SOURCE_PROGRAM = """
import sys
from datetime import UTC, datetime
from monitor.drift.freeze import NullRule
from monitor.drift.controller import Controller, freeze_window
from monitor.observe.survey import SurveyAnswer, survey_entry
from monitor.postgres.engine import create_engine_for, transaction
from monitor.postgres.log import append_entry
from monitor.postgres.streams import PostgresFoldStore
from tests.watched import rules_of

engine = create_engine_for(sys.argv[1])
store = PostgresFoldStore(engine)
controller = Controller(store, rules_of(0))


def answer(first, discontent):
    at = datetime(2025, 3, 1, tzinfo=UTC)
    answers = [SurveyAnswer(f"c-{n}", at, "none", n % 10 >= discontent) for n in range(first, first + 500)]
    with transaction(engine) as connection:
        append_entry(connection, survey_entry(answers, policy_model="phi-2"))


answer(0, 1)
store.place_entries()
store.freeze(freeze_window(store, NullRule(), first_place=0, stop_place=500), by="operator", note="")
answer(500, 1)
print(len(controller.tick().alarms))
answer(1000, 4)
(alarm, *_) = controller.tick().alarms
print(alarm.stream.signal, alarm.stream.scorer_version, alarm.direction)
engine.dispose()
"""


@pytest.mark.postgres
def test_a_source_s_entries_are_placed_folded_and_alarm(tree: Path, postgres_url: str) -> None:
    first, *_, alarm = run(tree, "-c", SOURCE_PROGRAM, postgres_url).splitlines()
    assert (first, alarm) == ("0", "negative_feedback survey-1 up")


LAUNCHER_PROGRAM = """
import os, sys, time
from pathlib import Path
from monitor.retraining.launchers import launcher_of
from monitor.settings.retrain import RetrainSettings

folder = Path(sys.argv[1])
handle = launcher_of(RetrainSettings(launcher="nice_process")).handle(folder)
run = launcher_of(RetrainSettings(launcher="nice_process")).start(handle)
again = launcher_of(RetrainSettings(launcher="nice_process")).attach(handle)
while (status := again.status()).exit_code is None:
    time.sleep(0.05)
print(status.exit_code, status.log_tail)
"""


def test_a_launcher_starts_a_run_and_finds_it_again(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{}")
    said = run(tree, "-c", LAUNCHER_PROGRAM, str(tmp_path))
    assert said.startswith("2 "), "a spec that cannot be read ends `python -m retrain` with 2"


ACTION_PROGRAM = """
import sys
from pathlib import Path
from monitor.domain.job import Action
from monitor.postgres.baselines import PostgresBaselineTraces
from monitor.postgres.engine import create_engine_for
from monitor.postgres.preferences import PostgresPreferences
from monitor.retraining.dispatcher import Dispatcher, Step
from monitor.retraining.housekeeping import AttemptFolders
from monitor.retraining.launchers import launcher_of
from monitor.retraining.lease import LeasedJobs
from monitor.retraining.run_folder import RunFolders
from monitor.settings.retrain import RetrainSettings
from tests.integration.job_parts import OPERATOR, Parts, drive, prefer

engine, folder = create_engine_for(sys.argv[1]), Path(sys.argv[2])
parts = Parts(engine, folder)
for number in range(60):
    prefer(engine, f"p-{number}", chosen="a long answer", rejected="short")
(folder / "base").mkdir()
(folder / "base" / "config.json").write_text("{}")
settings = RetrainSettings(folder=folder / "runs", base_model=folder / "base", launcher="nice_process")
dispatcher = Dispatcher(
    settings,
    owner="one",
    jobs=LeasedJobs(parts.begin),
    promotions=parts.releases,
    folders=RunFolders(
        settings,
        preferences=PostgresPreferences(engine),
        baseline=PostgresBaselineTraces(engine),
        registry=parts.registry,
    ),
    launcher=launcher_of(settings),
    housekeeping=AttemptFolders(settings, parts.begin),
)
parts.service.start_job(Action.LENGTH_RULE, "by hand", actor=OPERATOR)
drive(dispatcher, Step.PROMOTED)
print(*parts.events())
print(Path(parts.registry.champion("length_rule").path, "rule.json").read_text())
engine.dispose()
"""


@pytest.mark.postgres
def test_an_action_is_run_judged_and_promoted(tree: Path, postgres_url: str, tmp_path: Path) -> None:
    *_, events, rule = run(tree, "-c", ACTION_PROGRAM, postgres_url, str(tmp_path)).splitlines()
    assert events.split() == ["queued", "leased", "running", "evaluating", "passed", "promoted"]
    assert rule == '{"longer_wins": true}'
