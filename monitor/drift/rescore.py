"""The laws of a promoted scorer, made from its own scores of the baseline's window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from monitor.domain.baseline import BaselineExtension
from monitor.domain.score import TemperatureOf, plain_temperature, win_of
from monitor.domain.signal import DISAGREEMENT, REWARD
from monitor.drift.baseline import SignalBaseline
from monitor.drift.freeze import NullRule, Prompts, Window, build_signal_baseline, read_prompts
from monitor.drift.stored import BaselineWindow, WindowTrace
from monitor.errors import InvalidInput, Unavailable
from monitor.runs.rescored import RescoredTrace, read_rescored
from monitor.runs.result import RunResult
from monitor.signals.estimand import REWARD_WIN


class WindowSource(Protocol):
    def window(self) -> BaselineWindow | None:
        """Return the active baseline; None without one."""
        ...


class RescoredBaselines:
    """Works out what a promotion adds to the baseline."""

    def __init__(self, source: WindowSource, rule: NullRule, *, temperature: TemperatureOf = plain_temperature) -> None:
        self._source = source
        self._rule = rule
        self._temperature = temperature

    def plan(self, result: RunResult) -> BaselineExtension | None:
        """Return the active baseline with the candidate's laws; None without a baseline.

        Raises `InvalidInput` where the baseline was frozen or replaced since the run began, so that its scores
        are of other traces or of none, and where they cannot be read; `Unavailable` while the leader has still to
        freeze again what an earlier release froze.
        """
        window = self._source.window()
        if window is None:
            return None
        if window.baseline.outdated:
            plain = "the baseline of an earlier release is about to be frozen again"
            raise Unavailable(f"baseline {window.baseline_id}: {plain}", plain=plain)
        if result.rescored is None:
            raise InvalidInput(
                f"baseline {window.baseline_id} was frozen after the run began, which scored none of its traces: "
                "wanted a run on the present baseline"
            )
        scores = read_rescored(Path(result.rescored.path))
        law = window.baseline
        strangers = [score.index for score in scores if not law.first_place <= score.index < law.stop_place]
        scores = [score for score in scores if score.index in window.traces]  # some texts were erased since
        if strangers:
            raise InvalidInput(
                f"the run scored {len(strangers)} traces that are not in baseline {window.baseline_id}: "
                "it was frozen anew; wanted a run on the present baseline"
            )
        prompts = None if window.baseline.prompts is None else read_prompts(window.subjects, window.baseline.prompts)
        laws = laws_of_scorer(
            result.candidate.version,
            window.traces,
            scores,
            rule=self._rule,
            prompts=prompts,
            temperature=self._temperature(result.candidate.version),
        )
        extended = window.baseline.extended(laws)
        return BaselineExtension(window.baseline_id, window.revision, extended.to_json())


def laws_of_scorer(
    version: str,
    traces: Mapping[int, WindowTrace],
    scores: Sequence[RescoredTrace],
    *,
    rule: NullRule,
    prompts: Prompts | None = None,
    temperature: float = 1.0,
) -> Iterator[SignalBaseline]:
    """Yield the laws of the rewards, their disagreement and their opinions, where the scores are enough for one."""
    ordered = sorted(scores, key=lambda score: score.index)
    columns = {
        REWARD.name: {score.index: score.mean for score in ordered},
        DISAGREEMENT.name: {score.index: score.disagreement for score in ordered},
        REWARD_WIN.name: {score.index: win_of(score.margins, temperature) for score in ordered if score.margins},
    }
    for signal, values in columns.items():
        window = Window(
            signal=signal,
            scorer_version=version,
            cohorts=[traces[index].cohort for index in values],
            policy_models=[traces[index].policy_model for index in values],
            values=np.array(list(values.values()), dtype=np.float64),
            places=np.array(list(values), dtype=np.int64),
        )
        law = build_signal_baseline(window, rule, prompts)
        if law is not None:
            yield law
