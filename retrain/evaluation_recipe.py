"""How a candidate policy is compared with the champion: part of a policy's recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EvaluationRecipe(BaseModel):
    """Each field is explained in `recipes/dpo.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    evaluation_tokens: int = Field(ge=64)
    max_new_tokens: int = Field(ge=1)
    answer_temperature: float = Field(ge=0, le=2)
    replay_prompts: int = Field(ge=0)
    suite_items: int = Field(ge=0)
    good_answers: int = Field(ge=0)
    server_concurrency: int = Field(ge=1, le=256)
    server_timeout_seconds: float = Field(gt=0, le=3600)
