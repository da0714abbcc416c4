"""The model card: what a registered model is, where it comes from, and what was found about it. In Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.domain.job import Check, Verdict
from monitor.domain.text import for_markdown
from monitor.runs.artifact import Artifact
from monitor.runs.lineage import Lineage
from monitor.runs.policy import PolicyResult
from monitor.runs.refusal import REFUSAL, RefusalResult
from monitor.runs.result import RewardResult, RunResult

SEPARATOR = " | "


def model_card(
    result: RunResult, verdict: Verdict | None, *, job_id: int, reason: str, history: tuple[str, ...] = ()
) -> str:
    """Return the card of what a job's run has made; *history* is what became of it since, the oldest first."""
    sections = [
        f"# {result.role.capitalize()} model {result.candidate.version}",
        "",
        f"Made by job {job_id}, which was started because of: {for_markdown(reason)}.",
        *(f"- {for_markdown(line)}" for line in history),
        "",
        *_files(result.candidate),
        *_training(result),
        *([] if verdict is None else _judged(verdict)),
        *_lineage(result.lineage),
    ]
    return "\n".join(sections) + "\n"


def adopted_card(artifact: Artifact, role: str, served_as: str | None) -> str:
    """Return the card of a first champion: the settings named it, so nothing is known of its making."""
    by = "Its traces name it" if role != REFUSAL else "It reads as"
    named = "" if served_as is None else f" {by} {for_markdown(served_as)}."
    lines = [f"# {role.capitalize()} model {artifact.version}", "", f"Named by the settings.{named}", ""]
    return "\n".join([*lines, *_files(artifact)]) + "\n"


def _files(artifact: Artifact) -> Iterator[str]:
    yield from ("## Files", "", f"- place: {for_markdown(artifact.path)}", f"- SHA-256: {artifact.sha256}", "")


def _training(result: RunResult) -> Iterator[str]:
    facts: dict[str, object] = {"seconds": f"{result.seconds:.0f}"}
    if isinstance(result, PolicyResult):
        report = result.training
        interval = _interval(report.implicit_accuracy, report.implicit_lower, report.implicit_upper)
        facts |= {
            "method": report.method,
            "examples": f"{report.examples}, of them {report.by_models} judged by models alone",
            "held out": report.held_out,
            "implicit reward accuracy on held-out pairs": interval,
            "accuracy of the model before": _number(report.accuracy_before),
            "mean margin": _number(report.margin),
            "KL from the reference, nats a token": _number(report.kl),
            "log ratio of lengths": _number(report.length_change),
            "steps": report.steps,
        }
    elif isinstance(result, RefusalResult):
        refusing = f"{result.held_out}, of which {result.held_out_refusing} refuse"
        facts |= {"reads as": result.reads_as, "labels learnt from": result.labels, "labels held out": refusing}
        for one in result.comparisons:
            facts[one.name] = f"{one.candidate:.4g} on {one.items}, before {one.champion:.4g}"
    elif isinstance(result, RewardResult):
        found = result.candidate_metrics
        facts |= {
            "pairs": f"{result.train_pairs} trained on, {result.held_out_pairs} held out",
            "held-out accuracy": _interval(found.accuracy, found.accuracy_lower, found.accuracy_upper),
            "accuracy of the longer answer": _number(result.longer_wins_accuracy),
            "expected calibration error": _number(found.expected_calibration_error),
            "disagreement's AUROC for error": _number(found.disagreement_auroc),
        }
    yield from _listed("Training", facts)


def _judged(verdict: Verdict) -> Iterator[str]:
    yield f"## Verdict: {'passed' if verdict.passed else 'failed'}"
    yield ""
    yield "| check | passed | candidate | champion | margin | why |"
    yield "|---|---|---|---|---|---|"
    yield from map(_check, verdict.checks)
    yield from ("", f"Evidence: SHA-256 {verdict.evidence_sha256}", "")


def _check(check: Check) -> str:
    cells = (
        for_markdown(check.name),
        "yes" if check.passed else "**no**",
        _number(check.candidate),
        _number(check.champion),
        _number(check.margin),
        for_markdown(check.reason),
    )
    return f"| {SEPARATOR.join(cells)} |"


def _lineage(lineage: Lineage | None) -> Iterator[str]:
    if lineage is None:
        yield from ("## Lineage", "", "The run told none.", "")
        return
    facts: dict[str, object] = {
        "action": lineage.action,
        "base, SHA-256": lineage.base_sha256,
        "champion it was judged against": lineage.champion or "none",
        "scorer": lineage.scorer or "none",
        "code": lineage.code_version,
        "devices": lineage.devices or "not told",
    }
    yield from _listed("Lineage", facts)
    tables: Mapping[str, Mapping[str, object]] = {
        "Data, SHA-256": lineage.data,
        "Recipe": lineage.recipe,
        "Seeds": lineage.seeds,
        "Libraries": lineage.libraries,
    }
    for title, table in tables.items():
        if table:
            yield from _listed(title, table, level=3)


def _listed(title: str, facts: Mapping[str, object], *, level: int = 2) -> Iterator[str]:
    yield from (f"{'#' * level} {title}", "")
    for name, value in facts.items():
        yield f"- {for_markdown(name)}: {for_markdown(str(value))}"
    yield ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(value: float | None, lower: float | None, upper: float | None) -> str:
    return "-" if value is None else f"{value:.3f} [{_number(lower)}, {_number(upper)}]"
