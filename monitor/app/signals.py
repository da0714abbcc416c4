"""Which signals are on, and by whom they are read, from the settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

import structlog

from monitor.domain.review import drawing_key
from monitor.domain.signal import Signal
from monitor.errors import InvalidSetting
from monitor.judges.chat import Judge, JudgeOutcome, JudgeRules, Question
from monitor.judges.folder import open_folder
from monitor.judges.folder_form import FolderForm
from monitor.judges.refusal import REFUSAL_QUESTION, FolderRefusal, judged_refusals
from monitor.own.failures import Failures
from monitor.own.read import own_signals
from monitor.reference.http import HttpReference, ReferenceEndpoint
from monitor.settings.judge import JudgeSettings
from monitor.settings.refusal import RefusalSettings
from monitor.settings.root import Settings
from monitor.settings.signals import SignalSettings
from monitor.signals.cost import Price
from monitor.signals.refusal import FULL_REFUSAL, REFUSAL, REFUSAL_JUDGED, CurrentRefusals, RefusalModel
from monitor.signals.refusal.observers import RefusalObservers, refusal_model, uncovered_answers
from monitor.signals.refusal.reader_process import ReaderProcess
from monitor.signals.set import BatchObserver, SignalSet, choose
from monitor.telemetry.answers import AnswerCounts, Registry

log = structlog.get_logger(__name__)
SETTING = "signals.refusal"


def signals_of(
    settings: Settings, failures: Failures | None = None, *, process: ReaderProcess | None = None
) -> SignalSet:
    """Return the signals that are on; raises `InvalidSetting` for a judge or an own signal that cannot be.

    Who reads them is made once in a process, however often this is asked. No weights are read and nobody is asked
    before traces are observed. Where own signals have no value, *failures* is told.
    """
    chosen = choose(
        settings.signals.on, settings.signals.off, prices=prices_of(settings.signals), unknown_model=_name_unpriced
    )
    observers: dict[Signal, BatchObserver] = dict(chosen.observers)
    refusal = settings.signals.refusal
    observed = RefusalObservers(refusals_of(settings).pinned, process)
    read = {REFUSAL: observed.refusal, FULL_REFUSAL: observed.full_refusal}
    observers |= {signal: observe for signal, observe in read.items() if signal in observers}
    if refusal.is_folder and read.keys() & observers.keys():
        refusal_model_of(refusal)  # a label that the folder does not have stops the start
    judge = refusal_judge_of(settings)
    if judge is not None:
        observers[REFUSAL_JUDGED] = partial(judged_refusals, judge)
    key = drawing_key(settings.review.key.get_secret_value())
    own = own_signals(settings.signals.own, failures or Failures(), key=key)
    versions = {**chosen.versions, **own.versions}
    beginners = () if process is None or not read.keys() & observers.keys() else (observed.begin,)
    closers = own.closers if process is None else (*own.closers, process.close)
    return SignalSet(MappingProxyType(observers | dict(own.observers)), versions, closers, beginners)


def reader_process_of(settings: RefusalSettings) -> ReaderProcess | None:
    """Return what has refusals read in another process; None where they are read in this one."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ReaderProcess() if settings.own_process and processors > 1 else None


def prices_of(settings: SignalSettings) -> list[Price]:
    return [Price(price.model, price.input, price.output, price.cached_input) for price in settings.prices]


def _name_unpriced(model: str) -> None:
    log.warning("model_without_price", policy_model=model, hint="signals.prices has no pattern that fits it")


def refusals_of(settings: Settings) -> CurrentRefusals:
    """Return who says that an answer refuses, in this process on this database: one for all who read."""
    return _current(settings.signals.refusal, settings.postgres.url.get_secret_value())


@cache
def _current(settings: RefusalSettings, _database: str) -> CurrentRefusals:
    return CurrentRefusals(partial(refusal_model_of, settings))


@cache
def refusal_model_of(settings: RefusalSettings) -> RefusalModel:
    """Return whom the settings name."""
    if not settings.is_folder:
        return refusal_model(str(settings.model))
    assert isinstance(settings.model, Path)
    read = settings.classifier
    form = FolderForm(settings.model, read.reads, read.max_tokens, read.batch_tokens, read.device)
    classifier = open_folder(form, setting=f"{SETTING}.model")
    return FolderRefusal(
        classifier,
        labels=settings.labels,
        full_labels=settings.full_labels,
        setting=SETTING,
        threshold=settings.threshold,
    )


def refusal_judge_of(settings: Settings) -> Judge | None:
    """Return who is asked about a share of the answers; None where nobody is."""
    judge = settings.signals.refusal.judge
    if judge.endpoint is None:
        return None
    return _judge(judge, REFUSAL_QUESTION.name, drawing_key(settings.review.key.get_secret_value()))


def count_answers(settings: Settings, registry: Registry) -> None:
    """Export what becomes of answers that are judged, and how many the refusal model cannot read."""
    counts = AnswerCounts(registry, lambda: uncovered_answers(refusals_of(settings).pinned()))
    count_judgements(settings, counts.count_judged)


def count_judgements(settings: Settings, count: Callable[[str, JudgeOutcome, int], None]) -> None:
    """Let *count* hear what becomes of the questions to each judge: its signal, the outcome, and how many."""
    judge = refusal_judge_of(settings)
    if judge is not None:
        judge.on_outcome = partial(count, judge.question.name)


_QUESTIONS: Mapping[str, Question] = {REFUSAL_QUESTION.name: REFUSAL_QUESTION}


@cache
def _judge(settings: JudgeSettings, question: str, key: bytes) -> Judge:
    if settings.endpoint is None or settings.model is None:
        raise InvalidSetting(f"{SETTING}.judge wants an endpoint and a model")
    endpoint = ReferenceEndpoint(
        url=settings.endpoint,
        model=settings.model,
        temperature=0.0,
        max_tokens=settings.max_tokens,
        timeout_seconds=settings.batch_seconds,
        concurrency=settings.concurrency,
        api_key=None if settings.api_key is None else settings.api_key.get_secret_value(),
        setting=f"{SETTING}.judge.model",
    )
    rules = JudgeRules(settings.ratio, key, settings.batch_seconds, settings.concurrency)
    return Judge(_QUESTIONS[question], HttpReference(endpoint), rules, model=settings.model)
