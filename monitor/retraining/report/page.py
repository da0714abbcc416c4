"""A verdict as one page of HTML: no script, nothing from elsewhere, and no text that came from outside unescaped."""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor import __version__
from monitor.domain.job import Check, Verdict
from monitor.domain.text import for_html, for_html_lines
from monitor.errors import InvalidInput
from monitor.retraining.records import Lease, Report
from monitor.retraining.report.answers import choose_answers, cut, flags_told
from monitor.retraining.report.curve import draw_curves
from monitor.retraining.report.files import list_files
from monitor.retraining.report.forest import draw_forest
from monitor.runs.evidence import AnsweredPrompt, read_evidence
from monitor.runs.file import read_object
from monitor.runs.policy import PolicyResult
from monitor.runs.refusal import RefusalResult
from monitor.runs.result import RewardResult, RunResult
from monitor.runs.spec import RunSpec

REPORT_FILE = "report.html"
LOG_FILE = "run.log"  # where the launcher leaves what the run said
ON_POLICY_FILE = "on_policy.jsonl"  # pairs of its own answers that a run learnt from: nothing in it is compared
MOST_LOG_BYTES = 4_000_000
_READING = {
    True: "All of it must lie on the shaded side, and of most measures the middle in half of the margin.",
    False: "Its middle must lie on the shaded side.",
}
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Judged:
    """A run that the gate has judged."""

    lease: Lease
    folder: Path  # of the attempt
    spec: RunSpec
    result: RunResult
    verdict: Verdict
    at: datetime


def tell_verdict(judged: Judged) -> tuple[Report | None, str]:
    """Return the page and what went wrong with it, "" for nothing; it is left in the attempt's folder too."""
    try:
        report = make_report(judged)
    except Exception as error:  # noqa: BLE001 - a run's files may be anything, and its verdict stands whatever they are
        return None, f"the verdict's report could not be made: {type(error).__name__}: {error}"
    try:
        (judged.folder / REPORT_FILE).write_bytes(gzip.decompress(report.page))
    except OSError as error:
        return report, f"the verdict's report could not be written beside the run: {error}"
    return report, ""


def make_report(judged: Judged) -> Report:
    """Return the page of a verdict; what of the run's files cannot be read is named on it."""
    page = _environment().get_template("report.html").render(**_shown(judged)).encode()
    return Report(sha256(page).hexdigest(), gzip.compress(page, mtime=0))


def _environment() -> Environment:
    """Return templates in which every value is escaped, whatever it is and wherever it stands."""

    def escaped(value: object) -> Markup:
        return value if isinstance(value, Markup) else Markup(for_html(str(value)))  # noqa: S704 - it is escaped

    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["lines"] = lambda text: Markup(for_html_lines(cut(text)))  # noqa: S704 - it is escaped
    made.filters["flags"] = flags_told
    return made


def _shown(judged: Judged) -> dict[str, Any]:
    verdict, spec, result = judged.verdict, judged.spec, judged.result
    whole = [check for check in verdict.checks if ":" not in check.name]
    rows, unread = _answers(result)
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    return {
        "job": judged.lease,
        "at": judged.at.strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "verdict": verdict,
        "failed": [check for check in verdict.checks if not check.passed],
        "whole": whole,
        "parts": _parts(verdict.checks),
        "forest": draw_forest(whole),
        "parts_forest": draw_forest(check for check in verdict.checks if ":" in check.name),
        "reading": _READING[isinstance(result, PolicyResult)],
        "candidate": result.candidate.version,
        "champion": "none" if spec.champion is None else spec.champion.version,
        "figures": tuple(_figures(result)),
        "curves": draw_curves(_log(judged.folder)),
        "groups": choose_answers(rows),
        "unread": unread,
        "files": tuple(list_files(judged.folder, spec, result)),
        "lineage": {} if result.lineage is None else asdict(result.lineage),
        "recipe": spec.recipe,
        "card": _card(spec),
        "style": Markup(style),  # noqa: S704 - it is our own file
        "style_sha256": b64encode(sha256(style.encode()).digest()).decode(),
    }


def _parts(checks: tuple[Check, ...]) -> Mapping[str, list[Check]]:
    """Return the checks of each cohort, dimension or category by its name."""
    found: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        if ":" in check.name:
            found[check.name.partition(":")[2]].append(check)
    return found


def _answers(result: RunResult) -> tuple[list[AnsweredPrompt], list[str]]:
    """Return the answers that were compared, and what could not be read."""
    rows: list[AnsweredPrompt] = []
    unread = []
    for file in result.evidence if isinstance(result, PolicyResult) else ():
        if Path(file.path).name == ON_POLICY_FILE:
            continue
        try:
            rows += [row for row in read_evidence(Path(file.path)) if isinstance(row, AnsweredPrompt)]
        except (OSError, InvalidInput) as error:
            unread.append(str(error))
    return rows, unread


def _figures(result: RunResult) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield what the run reports beside what was judged, by heading."""
    if isinstance(result, PolicyResult):
        yield "Training", asdict(result.training)
        yield "Refusals of both sides", {"read by": result.refusals}
    elif isinstance(result, RefusalResult):
        yield "Training", {"learnt from": result.labels, "held out": result.held_out, "reads as": result.reads_as}
    elif isinstance(result, RewardResult):
        metrics = {"candidate": result.candidate_metrics, "champion": result.champion_metrics}
        for side, found in metrics.items():
            if found is not None:
                yield f"On held-out pairs, {side}", asdict(found)
        told = asdict(result)
        yield "Beside it", {name: told[name] for name in told if name not in _ELSEWHERE}


_ELSEWHERE = {"candidate", "candidate_metrics", "champion_metrics", "lineage", "rescored", "status", "action"}


def _log(folder: Path) -> list[str]:
    try:
        with (folder / LOG_FILE).open("rb") as log:
            return log.read(MOST_LOG_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _card(spec: RunSpec) -> Mapping[str, object]:
    """Return the numbers of what the run learnt from; nothing where its card is gone."""
    if spec.preferences_card is None:
        return {}
    try:
        return read_object(Path(spec.preferences_card))
    except InvalidInput as error:
        return {"not read": str(error)}
