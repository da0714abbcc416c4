"""A drift from answers to polite evasions that no pattern knows, made by mixing real answers of one source.

With the same questions nothing changes but what is answered to them: each is answered by one model of the source, and
evaded by another. Such answers take the place of those from one trace on. The model that reads them never saw the
source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL
from monitor.domain.trace import Message, Trace
from monitor.drift.freeze import NullRule
from monitor.observe.step import ObserveRules
from monitor.offline.backtest import BacktestPlan, backtest
from monitor.signals.refusal import REFUSAL, is_refusal
from monitor.signals.refusal.observers import refusal_observers
from monitor.signals.refusal.weights import WEIGHTS_FILE
from monitor.signals.set import SignalSet
from retrain.refusal import train
from retrain.refusal_rows import LabelledFile
from tests.benchmarks.refusal_rows import alpaca, authored, do_not_answer, training_answers, xstest_answers
from tests.traces import trace

BEFORE, AFTER = 3_000, 4_000
SHARES = (0.02, 0.05, 0.1, 0.2)  # of all traces: their questions are answered before, and evaded after
PLAIN_RATE = 0.04  # of answers that refuse plainly, before and after
SEEDS = range(4)
REFUSES, ANSWERS = (0, 1), (2, 3, 5)  # actions of do_not_answer; 4, which cannot, is neither

Pool = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Pools:
    ordinary: Pool
    plain: Pool  # refusals that patterns know
    answered: Pool  # risky questions; patterns see nothing here
    evaded: Pool  # the same questions; patterns see nothing here either


@dataclass(frozen=True, slots=True)
class Told:
    """After how many changed traces the roll-up's stream told of it; None where it did not."""

    warning: int | None
    alert: int | None


@dataclass(frozen=True, slots=True)
class Evasion:
    source: str
    chosen: str
    share: float
    runs: int
    before: float  # mean of the signal
    after: float
    warned: int  # runs
    alerted: int
    median_warning: float | None  # traces until it, of those that were warned
    median_alert: float | None


def pools_of(told: Sequence[tuple[str, str, bool]], plain: Pool, *, same_questions: bool = True) -> Pools:
    """Return the pools of a source's (question, answer, whether it refuses) that no pattern finds."""
    refused, answered = ({asked for asked, _, refuses in told if refuses is wanted} for wanted in (True, False))
    kept = refused & answered if same_questions else refused | answered
    return Pools(
        ordinary=[(row.prompt, row.answer) for _, rows in alpaca() for row in rows if not is_refusal(row.answer)],
        plain=plain,
        answered=[(asked, answer) for asked, answer, refuses in told if asked in kept and not refuses],
        evaded=[(asked, answer) for asked, answer, refuses in told if asked in kept and refuses],
    )


def do_not_answer_pools(*, same_questions: bool) -> Pools:
    rows = [row for row in do_not_answer() if row["human_action"] in REFUSES + ANSWERS]
    told = [(row["question"], row["response"], row["human_action"] in REFUSES) for row in rows]
    return pools_of(
        [one for one in told if not is_refusal(one[1])],
        [(asked, answer) for asked, answer, refuses in told if refuses and is_refusal(answer)],
        same_questions=same_questions,
    )


def xstest_pools() -> Pools:
    rows = xstest_answers()
    return pools_of(
        [(row.prompt, row.answer, row.refuses) for row in rows if not is_refusal(row.answer)],
        [(row.prompt, row.answer) for row in rows if row.refuses and is_refusal(row.answer)],
    )


def weights_without(source: str, folder: Path) -> Path:
    """Return the file of weights that were trained without *source*."""
    rows = [row for row in (*training_answers(), *authored()) if row.source != source]
    train(LabelledFile(tuple(rows), {}), folder)
    return folder / WEIGHTS_FILE


def mixed(pools: Pools, seed: int, share: float, *, drifts: bool = True, after: int = AFTER) -> list[Trace]:
    """Return traces of which a *share* asks what is answered at first, and evaded after `BEFORE` of them."""
    rng, traces = np.random.default_rng(seed), []
    for number in range(BEFORE + after):
        drawn = rng.random()
        asked = pools.evaded if drifts and number >= BEFORE else pools.answered
        pool = pools.plain if drawn < PLAIN_RATE else asked if drawn < PLAIN_RATE + share else pools.ordinary
        prompt, answer = pool[int(rng.integers(len(pool)))]
        traces.append(trace(number, response=answer, messages=(Message("user", prompt),), output_tokens=100, cohort={}))
    return traces


def signals_by(chosen: str) -> SignalSet:
    return SignalSet({REFUSAL: refusal_observers(chosen)[REFUSAL]})


def told_after(traces: Sequence[Trace], chosen: str) -> Told:
    """Say when the daemon's own baseline and detector would have told of *traces*, read by the model *chosen*."""
    signals = signals_by(chosen)
    plan = BacktestPlan(
        BEFORE, ObserveRules(repeat_window=timedelta(0), signals=signals), null_rule=NullRule(signals=signals)
    )
    found = [a for a in backtest(traces, plan).alarms if (a.stream.signal, a.stream.cohort) == (REFUSAL.name, ALL)]
    first = {
        severity: next((alarm.place - BEFORE for alarm in found if alarm.severity is severity), None)
        for severity in (Severity.WARNING, Severity.ALERT)
    }
    return Told(first[Severity.WARNING], first[Severity.ALERT])


def evasion(source: str, pools: Pools, chosen: str, share: float, *, drifts: bool = True) -> Evasion:
    found, means = [], []
    for seed in SEEDS:
        traces = mixed(pools, seed, share, drifts=drifts)
        rows = signals_by(chosen).rows(traces)
        values = np.array([row[0].value if row else 0.0 for row in rows])
        means.append((values[:BEFORE].mean(), values[BEFORE:].mean()))
        found.append(told_after(traces, chosen))
    before, after = np.mean(means, axis=0)
    warnings = [one.warning for one in found if one.warning is not None]
    alerts = [one.alert for one in found if one.alert is not None]
    return Evasion(
        source=source,
        chosen="patterns" if chosen == "patterns" else "learned",
        share=share if drifts else 0.0,
        runs=len(found),
        before=float(before),
        after=float(after),
        warned=len(warnings),
        alerted=len(alerts),
        median_warning=float(np.median(warnings)) if warnings else None,
        median_alert=float(np.median(alerts)) if alerts else None,
    )


def evasions(folder: Path) -> list[Evasion]:
    """Return what is told of each share, by the learned model and by patterns, and of no drift at all (share 0)."""
    unseen = "learned"  # the shipped weights never saw do_not_answer
    sources = (
        ("xstest, same questions", xstest_pools(), str(weights_without("xstest", folder))),
        ("do_not_answer, any of its questions", do_not_answer_pools(same_questions=False), unseen),
        ("do_not_answer, same questions", do_not_answer_pools(same_questions=True), unseen),
    )
    return [
        evasion(source, pools, chosen, share or SHARES[-1], drifts=share > 0.0)
        for source, pools, learned in sources
        for chosen, shares in ((learned, (0.0, *SHARES)), ("patterns", (0.0, SHARES[-1])))
        for share in shares
    ]
