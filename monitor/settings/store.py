"""Settings of PostgreSQL: where it is, and how long its rows are kept."""

from __future__ import annotations

from pydantic import Field, SecretStr, model_validator

from monitor.settings.part import Part


class PostgresSettings(Part):
    url: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"), description="postgresql://user:password@host/db"
    )
    pool_size: int = Field(5, ge=2, le=100, description="connections a process keeps")


class RetentionSettings(Part):
    """How long each kind of row is kept, in days since it was stored; 0 keeps it for ever.

    Roll-ups are kept by the time of their traces.
    """

    text_days: int = Field(30, ge=0, le=36_500, description="prompts and responses; 0: for ever")
    trace_id_days: int = Field(
        400, ge=0, le=36_500, description="trace ids, by which a trace counts once, and its scores; 0: for ever"
    )
    log_days: int = Field(
        0, ge=0, le=36_500, description="observations from before the active baseline's window; 0: for ever"
    )
    rollup_days: int = Field(
        90, ge=0, le=36_500, description="what each stream came to by five minutes and by hour; 0: for ever"
    )
    pair_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="texts of traces that were labelled with a preference or a refusal, and of the pairs that a run was"
        " given, since the newest such run, and reports of verdicts; 0: for ever",
    )

    @model_validator(mode="after")
    def _pairs_outlive_texts(self) -> RetentionSettings:
        if self.pair_days and not 0 < self.text_days <= self.pair_days:
            raise ValueError(
                f"text_days = {self.text_days} outlives pair_days = {self.pair_days}: pairs are made of the texts"
            )
        return self

    @model_validator(mode="after")
    def _ids_outlive_texts(self) -> RetentionSettings:
        if self.trace_id_days and not 0 < self.text_days <= self.trace_id_days:
            raise ValueError(
                f"text_days = {self.text_days} outlives trace_id_days = {self.trace_id_days}: a text is found by its id"
            )
        return self
