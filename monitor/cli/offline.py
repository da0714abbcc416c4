"""`decode`, `score` and `backtest`: the pipeline over files of traces, without a server."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor.cli.terminal import cell, complain, plain, say, show_table
from monitor.errors import InvalidInput
from monitor.own.failures import Failures

if TYPE_CHECKING:
    from monitor.drift.budget import Budget
    from monitor.drift.tolerance import Tolerance
    from monitor.offline.reader import FileReader
    from monitor.rewards.huggingface import HuggingFaceEnsemble
    from monitor.signals.set import SignalSet

Files = Annotated[
    list[Path],
    typer.Argument(help="Files of traces in any known format: a line each, captured from Kafka, or OTLP; gzip too."),
]
FormatOption = Annotated[
    str, typer.Option("--format", help="auto, native, litellm or otlp: what all files are written in.")
]
CohortKeys = Annotated[
    list[str] | None, typer.Option("--cohort-key", help="A label that makes the cohort; repeat it for several.")
]
RewardModels = Annotated[
    list[Path] | None, typer.Option("--reward-model", help="Folder of a reward model; repeat it for an ensemble.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 if any line was bad.")]
TokenizerOption = Annotated[
    Path | None, typer.Option("--tokenizer", help="Folder with tokenizer.json that counts missing output tokens.")
]


def decode(
    files: Files,
    *,
    out: Annotated[Path | None, typer.Option("--out", help="Write the traces here instead of printing them.")] = None,
    form: FormatOption = "auto",
    cohort_key: Annotated[
        list[str] | None,
        typer.Option("--cohort-key", help="A label to take over from attributes, tags and metadata; repeat it."),
    ] = None,
    strict: Strict = False,
) -> None:
    """Turn traces of any known format into native ones, one a line; what was not taken stands on stderr.

    Exit code 0: something was read, be it that all was skipped; 1: nothing was, or with --strict a line was bad.
    """
    from monitor.offline.decode import native_line

    _check_paths(files, "--out", out)
    with _reading(files, None, form, labels=cohort_key) as reader:
        lines = map(native_line, reader.read(files))
        if out is not None:
            _write_lines(out, lines)
        else:
            for line in lines:
                say(line)
    counts = {"traces": reader.good, "duplicates": reader.duplicates, "invalid": reader.bad}
    counts |= {f"skipped: {reason}": count for reason, count in sorted(reader.skipped.items())}
    counts |= {f"taken without its {missing}": count for missing, count in sorted(reader.incomplete.items())}
    table = Table("what", "how many")
    for what, count in counts.items():
        table.add_row(cell(what), cell(f"{count:,}"))
    show_table(table, to_stderr=True)
    if not (reader.good or reader.skipped) or (strict and reader.bad):
        raise typer.Exit(1)


def score(
    files: Files,
    *,
    out: Annotated[Path, typer.Option("--out", help="JSON lines: a row per good trace.")],
    reward_model: RewardModels = None,
    tokenizer: TokenizerOption = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    form: FormatOption = "auto",
    strict: Strict = False,
) -> None:
    """Score traces from files: the signals that are on and, with --reward-model, the ensemble's rewards."""
    from monitor.offline.score import score_rows

    _check_paths(files, "--out", out)
    signals = _signals_on(failures := Failures())
    ensemble = _load(reward_model, device)
    with _reading(files, tokenizer, form) as reader, closing(signals):
        _write_lines(out, map(json.dumps, score_rows(reader.read(files), ensemble, signals=signals)))
    _tell_counts(reader, failures)
    if not reader.good or (strict and reader.bad):
        raise typer.Exit(1)


def backtest(
    files: Files,
    *,
    baseline: Annotated[
        int | None,
        typer.Option("--baseline", min=0, help="Make the baseline from the first N good traces; 0 watches nothing."),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option("--labels", help="File of labels, one a line, that state their inclusion_probability; repeat it."),
    ] = None,
    baseline_labels: Annotated[
        int,
        typer.Option("--baseline-labels", min=20, help="Labels from which the baseline of what they tell is made."),
    ] = 200,
    cohort_key: CohortKeys = None,
    average_run_length: Annotated[
        float | None,
        typer.Option(
            "--average-run-length",
            min=10,
            help="A: observations between two false alerts of a stream. [default: 10000]",
        ),
    ] = None,
    false_page_days: Annotated[
        float | None,
        typer.Option(
            "--false-page-days", min=0.01, help="Instead of A: all streams may raise one false alert so often."
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option("--tolerance", help="SIGNAL=10% of what it was, or SIGNAL=0.01 in its own unit; repeat it."),
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the result here.")] = None,
    embedding: Annotated[
        Path | None, typer.Option("--embedding", help="Folder of a sentence encoder that embeds the prompts.")
    ] = None,
    repeat_window: Annotated[
        float, typer.Option("--repeat-window", min=0, help="Seconds in which identical prompts count once.")
    ] = 3600.0,
    reward_model: RewardModels = None,
    tokenizer: TokenizerOption = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    form: FormatOption = "auto",
    warnings: Annotated[
        bool, typer.Option("--warnings", help="Also show warnings: streams that changed, by however little.")
    ] = False,
) -> None:
    """Freeze a baseline from the first traces of files and show what drifted in the others.

    Which signals are read is in the settings, part `signals`, as it is for the daemon.
    """
    from monitor.cli.backtested import backtest_json, show_backtest
    from monitor.domain.alarm import AlarmKind, Severity
    from monitor.domain.cohort import CohortRule
    from monitor.drift.fold import FoldRules
    from monitor.drift.freeze import NullRule
    from monitor.embedding import embedder_of
    from monitor.observe.step import ObserveRules
    from monitor.offline.backtest import BacktestPlan
    from monitor.offline.backtest import backtest as run
    from monitor.offline.estimate import LabelPlan
    from monitor.offline.labels import read_labels
    from monitor.settings.embedding import EmbeddingSettings

    _check_paths([*files, *(labels or ())], "--json", json_out)
    if not baseline and not labels:
        raise InvalidInput("give --baseline N to watch what follows the first N traces, or --labels to estimate rates")
    signals = _signals_on(failures := Failures())
    plan = BacktestPlan(
        baseline_traces=baseline or 0,
        observe=ObserveRules(CohortRule(tuple(cohort_key or ())), timedelta(seconds=repeat_window), signals=signals),
        fold=FoldRules(budget_of(average_run_length, false_page_days)),
        null_rule=NullRule(tolerance=tolerances_of(tolerance or (), signals.known), signals=signals),
        labels=LabelPlan(baseline_labels=baseline_labels),
    )
    ensemble = _load(reward_model, device)
    embedder = (
        embedder_of(EmbeddingSettings(backend="huggingface", folder=embedding, device=device)) if embedding else None
    )
    with _reading(files, tokenizer, form, labels=cohort_key) as reader, closing(signals):
        judged = read_labels(labels, limits=reader.limits, now=reader.now, report=complain) if labels else None
        result = run(reader.read(files), plan, lambda: ensemble, embedder, labels=judged)
    shown = [
        (alarm, read)
        for alarm, read in zip(result.alarms, result.traces_read, strict=True)
        if warnings or alarm.severity is Severity.ALERT or alarm.kind is AlarmKind.INPUT_SHIFT
    ]
    _tell_counts(reader, failures)
    show_backtest(result, [alarm for alarm, _ in shown])
    if json_out is not None:
        _write_json(json_out, backtest_json(result, shown, plan.fold.budget))


def budget_of(average_run_length: float | None, false_page_days: float | None) -> Budget:
    """Return what a false alert may cost; raises `InvalidInput` where both ways to say it were taken."""
    from monitor.drift.budget import Budget

    if false_page_days is None:
        return Budget(average_run_length=10_000.0 if average_run_length is None else average_run_length)
    if average_run_length is not None:
        raise InvalidInput("--average-run-length and --false-page-days say the same in two ways: give one of them")
    return Budget(false_page_days=false_page_days)


def tolerances_of(words: Iterable[str], known: Collection[str]) -> dict[str, Tolerance]:
    """Read "response_length=10%" and "refusal=0.02" of *known* signals; raises `InvalidInput` with what is wrong."""
    from monitor.drift.tolerance import Tolerance
    from monitor.signals.input_shift import INPUT_SHIFT

    found = {}
    for word in words:
        signal, _, amount = word.partition("=")
        if signal not in known or signal == INPUT_SHIFT.name:
            names = ", ".join(name for name in known if name != INPUT_SHIFT.name)
            raise InvalidInput(f"--tolerance {word}: there is no signal {signal!r}; known are {names}")
        try:
            number = float(amount.removesuffix("%"))
        except ValueError:
            number = -1.0
        if not 0.0 <= number < (100.0 if amount.endswith("%") else float("inf")):
            raise InvalidInput(f"--tolerance {word}: say {signal}=10% or {signal}=0.01")
        found[signal] = Tolerance(share=number / 100.0) if amount.endswith("%") else Tolerance(points=number)
    return found


def _check_paths(files: list[Path], option: str, target: Path | None) -> None:
    """Refuse files that are not there, and a target that would overwrite one of them."""
    from monitor.offline.file import require_files

    require_files(files)
    if target is not None and target.exists() and any(target.samefile(path) for path in files):
        raise InvalidInput(f"{option} {target}: this is one of the files to read: name another file")


def _signals_on(failures: Failures) -> SignalSet:
    """Return the signals that the settings name: those that the daemon reads. What fails is told to *failures*."""
    from monitor.app.signals import signals_of
    from monitor.settings.load import load_settings

    return signals_of(load_settings(), failures)


def _load(folders: list[Path] | None, device: str) -> HuggingFaceEnsemble | None:
    if not folders:
        return None
    from monitor.rewards.huggingface import load_ensemble

    return load_ensemble(folders, device=device, max_tokens=1024, batch_tokens=16_384, beta=1.0)


@contextmanager
def _reading(
    files: list[Path], tokenizer: Path | None, form: str, *, labels: Iterable[str] | None = None
) -> Iterator[FileReader]:
    """Yield a reader that names bad lines on stderr and shows progress on a terminal."""
    from monitor.ingest.decode import load_tokenizer
    from monitor.ingest.limits import limits_of
    from monitor.ingest.route import FORMATS
    from monitor.offline.reader import FileReader
    from monitor.settings.ingest import IngestSettings

    if form not in FORMATS:
        raise InvalidInput(f"--format {form}: there is no such format; known are {', '.join(FORMATS)}")
    console = Console(stderr=True)
    total = sum(path.stat().st_size for path in files if path.is_file())
    with Progress(console=console, transient=True) if console.is_terminal else nullcontext() as progress:
        task = progress.add_task("reading", total=total) if progress else None
        reader = FileReader(
            limits=limits_of(IngestSettings(cohort_keys=tuple(labels or ()))),
            now=datetime.now(UTC),
            report=complain,
            tokenizer=load_tokenizer(tokenizer) if tokenizer else None,
            format=form,
        )
        if progress is not None and task is not None:
            reader.progress = lambda count: progress.advance(task, count)
        yield reader


def _write_lines(out: Path, lines: Iterable[str]) -> None:
    try:
        with out.open("w", encoding="utf-8") as target:
            for line in lines:
                target.write(line + "\n")
    except OSError as error:
        raise InvalidInput(f"--out {out}: {error.strerror}; name a file that can be written") from None


def _write_json(out: Path, form: dict[str, Any]) -> None:
    try:
        out.write_text(json.dumps(form, indent=2, default=plain) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--json {out}: {error.strerror}; name a file that can be written") from None


def _tell_counts(reader: FileReader, failures: Failures) -> None:
    skipped = f", {reader.skipped.total()} skipped" if reader.skipped else ""
    complain(f"{reader.good} good, {reader.bad} bad, {reader.duplicates} duplicate lines{skipped}")
    for signal, trouble in failures.troubles().items():
        complain(f"{signal}: no value for {trouble.failures} traces: {trouble.last}")
