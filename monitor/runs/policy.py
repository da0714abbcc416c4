"""What a policy's training is given beside its pairs, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from monitor.runs.artifact import Artifact, HashedFile
from monitor.runs.result import RunResult

POLICY = "policy"  # the registry's role


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringServer:
    """An OpenAI-compatible server. Its key is never in a file: the run reads it from the environment."""

    url: str
    model: str | None
    api_key_variable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalFolder:
    """A Hugging Face text-classification folder that reads refusals, and how."""

    artifact: Artifact
    labels: tuple[str, ...]
    full_labels: tuple[str, ...]
    reads: Literal["answer", "exchange"]
    max_tokens: int
    batch_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalReader:
    """Who reads refusals: whoever reads those of production. Without files it is the patterns."""

    version: str  # of the signal `refusal`; the run's program must come to the same
    threshold: float  # the probability from which a probe's answer counts as a refusal
    weights: HashedFile | None = None  # of the learned model
    folder: RefusalFolder | None = None

    @property
    def counted_by(self) -> str:
        """The version of refusals that are counted, as `monitor.signals.refusal.counted_by` tells it."""
        return f"{self.version}@{self.threshold:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInputs:
    """What a policy's run needs beside `RunSpec.preferences`.

    `replay` rows: {"index", "trace_id", "conversation_id", "messages", "response", "cohort", "human"}: prompts of the
    last days, drawn at random, with the answer that production gave. `human` is null, or what people said of that
    answer against its reference response: {"value", "probability", "reference_response"}. There are more of them than
    are `replayed`, since a run leaves out those that are like what it learns from.

    `judged` rows are the same with `human` in each: all answers of these days that people judged, drawn or not.

    `asked` rows: {"index", "trace_id", "messages", "cohort"}: prompts of the alarm's traces, for on-policy pairs.

    `feedback` rows: {"feedback_id", "conversation_id", "messages", "response", "desirable", "cohort", "timestamp"}:
    thumbs, for KTO.

    `suites` are probe suites as `monitor.probes.suite` reads them, by name.
    """

    scorer: Artifact  # the reward champion: it ranks on-policy pairs and judges the replay
    temperature: float  # of the sigmoid of its margins
    lower_beta: float  # standard deviations between its mean and its lower bound
    replay: HashedFile
    replayed: int = 0  # prompts of the replay that both policies answer, at most; 0: all
    judged: HashedFile | None = None
    asked: HashedFile | None = None
    feedback: HashedFile | None = None
    suites: Mapping[str, HashedFile] = field(default_factory=dict)
    refusals: RefusalReader | None = None  # None: an earlier release's order; the patterns read them
    champion_server: AnsweringServer | None = None  # None: the champion's folder answers, by Transformers
    candidate_server: AnsweringServer | None = None  # None: the candidate's folder answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One measure of the candidate beside the champion's, on the same items.

    Where a measure is a rate, both sides lie in 0..1. The difference's 95% interval takes the items in pairs, and
    items of one cluster (a conversation, a suite's twin prompts) together.
    """

    name: str  # of `MEASURES`
    cohort: str | None  # None: over all items
    items: int
    candidate: float
    champion: float
    difference: float
    lower: float
    upper: float
    detail: str = ""  # for people: what was left out, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """How the training went, on pairs that it did not see."""

    method: Literal["dpo", "kto"]
    examples: int  # pairs, or answers with a thumb
    by_models: int  # of them judged by models alone
    held_out: int
    implicit_accuracy: float | None  # share of held-out pairs whose chosen answer has the larger implicit reward
    implicit_lower: float | None  # 95% interval
    implicit_upper: float | None
    # the same by the model before: its log-probability of chosen over rejected, as the implicit reward is 0 there
    accuracy_before: float | None
    implicit_by_cohort: Mapping[str, float] = field(default_factory=dict)
    pairs_by_cohort: Mapping[str, int] = field(default_factory=dict)
    margin: float | None = None  # mean implicit reward of chosen less rejected, in nats times beta
    kl: float | None = None  # nats a token, candidate from reference, on held-out answers
    length_change: float | None = None  # mean log ratio of the candidate's to the reference's generated tokens
    steps: int = 0
    loss: float | None = None  # the last
    stopped_early: bool = False
    resumed_from: int | None = None  # the step, where a run before it was killed
    train_seconds: float = 0.0
    tokens: int = 0
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult(RunResult):
    """A policy beside the champion, on the same prompts."""

    role: ClassVar[str] = POLICY

    training: TrainingReport
    comparisons: tuple[Comparison, ...]
    evidence: tuple[HashedFile, ...] = ()  # every answer that was compared, with its scores
    action: Literal["dpo", "kto"]
    refusals: str = ""  # `RefusalReader.counted_by` of who read both sides; "" in what earlier releases wrote


# What is compared, by name. "Better" is which way the candidate should differ, where it differs.
MEASURES: Mapping[str, str] = {
    "win_rate": "share of replayed prompts on which the ensemble's lower bound puts the candidate's answer above the"
    " champion's; within its uncertainty a tie, one half. champion = 1 - candidate; difference = candidate - 1/2",
    "win_rate_length_controlled": "the same with what the difference in length explains taken out",
    "win_rate_human": "the same corrected by human labels where there are some",
    "length": "generated tokens, as a logarithm: the difference is the log of the length ratio",
    "refusal": "mean probability that a replayed prompt is refused",
    "over_refusal": "share of harmless probe prompts that are refused",
    "harmful_compliance": "share of harmful probe prompts that are not refused",
    "sycophancy": "how much more often an answer follows the asker's stated view than against it",
    "repetition": "share of answers with a loop in them",
    "format": "share of answers that are empty, cut off, or leave a code fence, a list or a chat marker open",
    "capability": "share of exact-match items answered right",
    "perplexity": "log perplexity per token on the champion's good answers",
}
