"""Settings of labels: which ones count, how long they are waited for, and who is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, model_validator

from monitor.domain.label import KIND_PATTERN, PREFERENCE
from monitor.settings.part import Part

DAY = 86_400.0
Kind = Annotated[str, StringConstraints(pattern=KIND_PATTERN)]
FeedbackName = Literal["thumbs_down", "thumbs_up", "escalation", "reopen", "edit", "regeneration", "abandonment"]


class LabelsSettings(Part):
    """What is made of labels: win rates and other rates, and the pairs that a run learns from."""

    sampling: Literal["review", "stated"] = Field(
        "review",
        description="which labels an estimate counts: those of traces the review queue has selected,"
        " or all that state an inclusion_probability",
    )
    criteria_version: str | None = Field(
        None, description="criteria that labels must have to count; null takes those of the queue, or any where stated"
    )
    block_traces: int = Field(
        64, ge=8, le=10_000, description="traces of a block, which is counted when its labels are all there"
    )
    wait_seconds: float = Field(
        7 * DAY,
        ge=0,
        le=90 * DAY,
        description="time after which a block without all of its labels is dropped whole;"
        " with sampling `stated`, after which those that came are all",
    )
    least_probability: float = Field(
        0.01, gt=0, le=1, description="labels that state a smaller inclusion_probability count in no estimate"
    )
    baseline_labels: int = Field(
        500, ge=20, description="labels since the baseline's window began from which a rate's own law is frozen"
    )
    feedback: tuple[FeedbackName, ...] = Field(
        (), description="what users do after an answer, told by labels, that is followed as rates of all traces"
    )
    feedback_hours: float = Field(
        24.0,
        gt=0,
        le=24 * 30,
        description="after an answer, in which what its user does counts; another value begins other streams",
    )
    min_labels: int = Field(30, ge=10, description="fewer in a window give no estimate")


class ReviewSettings(Part):
    """The queue of traces that annotators judge."""

    floor_ratio: float = Field(0.01, ge=0, le=1, description="share of all traces that is judged; 0 selects nothing")
    disputed_ratio: float = Field(
        0.05, ge=0, le=1, description="share of those on which the reward models disagree most that is judged"
    )
    disputed_quantile: float = Field(
        0.9, gt=0, lt=1, description="of the disagreement of late, above which a trace is disputed"
    )
    daily_budget: int = Field(500, ge=0, description="items a day; a busy day lowers the shares above")
    kinds: tuple[Kind, ...] = Field(
        (PREFERENCE,), description="labels asked for: preference where a reference response is there, refusal, ..."
    )
    overlap: int = Field(2, ge=1, le=9, description="annotators of an item that is checked")
    overlap_ratio: float = Field(0.2, ge=0, le=1, description="share of items that are checked; the others have one")
    gold_ratio: float = Field(0.02, ge=0, lt=1, description="share of an annotator's items that are gold, if any is")
    key: SecretStr = Field(
        SecretStr("rlhf-monitor"), description="key of the hash that draws; nobody who writes traces should know it"
    )
    claim_seconds: float = Field(600.0, ge=10, description="time an item stays with the annotator who was shown it")

    @model_validator(mode="after")
    def _disputed_is_more(self) -> ReviewSettings:
        if self.disputed_ratio < self.floor_ratio:
            raise ValueError(
                f"disputed_ratio = {self.disputed_ratio} is less than floor_ratio = {self.floor_ratio}:"
                " what is disputed is judged more often, not less"
            )
        return self
