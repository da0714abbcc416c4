"""Asking the reward ensemble about the traces that have an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.domain.score import Opinion, Reward, TemperatureOf, plain_temperature, win_of
from monitor.domain.trace import Message, Trace

REPORTED = "reported"  # the scorer of a trace's own scores


class RewardModel(Protocol):
    """Scores responses; one answer per row, None where a row cannot be scored."""

    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]: ...


@dataclass(frozen=True, slots=True)
class RewardRule:
    temperature: TemperatureOf = plain_temperature  # by which a margin is divided before its sigmoid is an opinion
    takes_reported: bool = True  # False: without a model nothing is scored, whatever a trace says itself


@dataclass(frozen=True, slots=True)
class Scored:
    """What reward models say of one trace; None where they say nothing."""

    reward: Reward | None = None
    opinion: Opinion | None = None


UNSCORED = Scored()


def score_traces(
    traces: Sequence[Trace],
    model: RewardModel | None,
    rule: RewardRule,
    *,
    compared: Sequence[bool] | None = None,
) -> list[Scored]:
    """Score each trace's response and, where there is one, its reference response, in one call of *model*.

    *compared* says which traces are measured against their reference response; None: all that have one.
    A response that was cut on its way here is not scored: it is not what the policy said.
    Without a model, the scores that a trace brings itself are taken where the *rule* takes them: the producer's own
    model read the whole answer, whatever came of it here.
    """
    if model is None:
        return [UNSCORED if trace.reward_scores is None else _reported(trace, rule) for trace in traces]
    answered = [number for number, trace in enumerate(traces) if trace.whole_response is not None]
    paired = [
        number
        for number in answered
        if traces[number].reference_response is not None and (compared is None or compared[number])
    ]
    rows = [(traces[number].messages, traces[number].response or "") for number in answered]
    rows += [(traces[number].messages, traces[number].reference_response or "") for number in paired]
    rewards = model.score(rows)
    own = dict(zip(answered, rewards, strict=False))
    references = dict(zip(paired, rewards[len(answered) :], strict=True))
    return [
        Scored(own.get(number), _opinion(own.get(number), references.get(number), rule))
        for number in range(len(traces))
    ]


def _opinion(reward: Reward | None, reference: Reward | None, rule: RewardRule) -> Opinion | None:
    if reward is None or reference is None:
        return None
    return Opinion(reward.scorer_version, win_of(reward.margins(reference), rule.temperature(reward.scorer_version)))


def _reported(trace: Trace, rule: RewardRule) -> Scored:
    scores = trace.reward_scores
    if scores is None or trace.error is not None or not rule.takes_reported:
        return UNSCORED
    reward, reference = _alone(scores.policy), None if scores.reference is None else _alone(scores.reference)
    return Scored(reward, _opinion(reward, reference, rule))


def _alone(score: float) -> Reward:
    return Reward(REPORTED, (score,), score, score, 0.0)
