"""Settings of a user's own signals."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from monitor.domain.signal import ANCHOR_FIRST_REWARD, ANCHOR_REWARD
from monitor.settings.part import Part
from monitor.signals.estimand import LENGTH_GAP
from monitor.signals.table import SIGNALS

SOURCES = ("pattern", "jsonpath", "callable", "classifier", "judge")
TAKEN = {*SIGNALS, LENGTH_GAP.name, ANCHOR_REWARD.name, ANCHOR_FIRST_REWARD.name}
TAKEN_BEGINNINGS = ("selected_", "labelled_", "compared_")  # series of the log that are no signals


class JudgeSettings(Part):
    """A model that is asked about a share of the traces; their texts go there."""

    url: str = Field(
        pattern=r"^https?://[^\s@]+$", description="an OpenAI-compatible server, with or without /v1; texts go there"
    )
    model: str | None = Field(None, description="the judge's name there; null where it serves but one")
    api_key: SecretStr | None = Field(None, description="sent as a bearer token")
    prompt: str = Field(
        min_length=1, description="what is asked; {prompt}, {response} and {conversation} stand for the trace's texts"
    )
    lowest: float = Field(0.0, description="the least number that is an answer")
    highest: float = Field(1.0, description="the largest number that is an answer")
    share: float = Field(0.05, gt=0, le=1, description="of the traces that is judged; a hash of the trace's id draws")
    timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="for all requests of one batch of traces; what is not answered then has no value"
    )
    concurrency: int = Field(8, ge=1, le=64, description="requests at once")
    max_tokens: int = Field(16, ge=1, le=4096, description="of an answer")

    @model_validator(mode="after")
    def _is_a_question(self) -> JudgeSettings:
        if not any(name in self.prompt for name in ("{prompt}", "{response}", "{conversation}")):
            raise ValueError("prompt holds none of {prompt}, {response}, {conversation}: all would be asked alike")
        if not self.lowest < self.highest:
            raise ValueError(f"lowest = {self.lowest:g} is not below highest = {self.highest:g}")
        return self


class OwnSignal(Part):
    """One number that is read from each trace, by exactly one of five sources."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="of the signal; no other one has it")
    kind: Literal["binary", "probability", "length", "ranked"] | None = Field(
        None,
        description="how its values are read: 0 or 1, between 0 and 1, a count with a heavy tail, any number;"
        " null: binary for a pattern, probability for a classifier and a judge from 0 to 1, else ranked",
    )
    unit: str = Field("", max_length=40, description='of its values; "ratio" for 0 to 1, else "value"')
    meaning: str = Field("", max_length=200, description="in one line, for people")
    version: str = Field("", max_length=40, description="change it to begin a new series though nothing else changed")
    field: Literal["response", "prompt", "conversation"] = Field(
        "response", description="the text that a pattern or a classifier reads; prompt: the last user message"
    )
    pattern: str | None = Field(
        None, min_length=1, description="RE2 regular expression: whether it is found; of kind length: how often"
    )
    jsonpath: str | None = Field(
        None, min_length=1, description="RFC 9535 query of the trace in its native form; its first match is the value"
    )
    callable: str | None = Field(
        None, min_length=1, description="`package.module:name` of a function from a trace to a number, bool or None"
    )
    classifier: Path | None = Field(
        None, description="folder of a Hugging Face text classification model; the value is the label's probability"
    )
    of_texts: bool = Field(
        False,
        description="a callable reads the prompt and the answer alone, so the kept answers of the baseline's window"
        " give it its law at once",
    )
    label: str | None = Field(None, description="of the classifier, as its config.json has it")
    max_tokens: int = Field(512, ge=8, le=32_768, description="of a text that a classifier reads")
    device: str = Field("auto", description="of a classifier: auto, cpu, cuda or cuda:N")
    judge: JudgeSettings | None = Field(None, description="a chat model that is asked for a number")

    @property
    def source(self) -> str:
        return next(name for name in SOURCES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _is_sound(self) -> OwnSignal:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{self.name} has {' and '.join(given) or 'no source'}; wanted one of {', '.join(SOURCES)}"
            )
        if self.name in TAKEN or self.name.startswith(TAKEN_BEGINNINGS):
            raise ValueError(f"name {self.name!r} is taken by the program; take another")
        if self.of_texts and self.callable is None:
            raise ValueError(f"{self.name}: of_texts is said of a callable; of any other source it is known")
        if (self.classifier is None) != (self.label is None):
            raise ValueError(f"{self.name}: classifier and label belong together")
        if self.pattern is not None and self.kind not in {None, "binary", "length"}:
            raise ValueError(f"{self.name}: a pattern is found or not (binary) or so often (length), not {self.kind}")
        if self.classifier is not None and self.kind not in {None, "probability"}:
            raise ValueError(f"{self.name}: a classifier's value is a probability, not {self.kind}")
        return self
