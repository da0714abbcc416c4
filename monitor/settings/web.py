"""Settings of API, console and /metrics: where they listen, and who may use them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from monitor.settings.part import Part

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
MIN_TOKEN_CHARACTERS = 16  # of a token that others than this machine can try


class WebSettings(Part):
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port of API, console and /metrics; 0 picks one")
    tokens: dict[str, Literal["viewer", "annotator", "operator"]] = Field(
        default_factory=dict,
        description="bearer token (16 characters or more unless on loopback) -> role; none: loopback alone is served",
    )

    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s\"'<>?#]+$",
        description="where people reach the console, say https://monitor.example: alerts link to their incident there",
    )
    names: dict[str, Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=PRINTABLE)]] = Field(
        default_factory=dict,
        description="bearer token -> its holder, as labels and the audit name them; a person who gets a new token"
        " keeps the name; without one a digest of the token stands there",
    )

    @model_validator(mode="after")
    def _named(self) -> WebSettings:
        if not self.names.keys() <= self.tokens.keys():
            raise ValueError("names has a token that tokens has not: both name the same ones")
        return self

    @model_validator(mode="after")
    def _guarded(self) -> WebSettings:
        if self.host in {"127.0.0.1", "localhost", "::1"}:
            return self
        if not self.tokens:
            raise ValueError(f"host {self.host!r} is reachable from outside: set web.tokens first")
        for token, role in self.tokens.items():
            if len(token) < MIN_TOKEN_CHARACTERS:
                raise ValueError(
                    f"host {self.host!r} is reachable from outside, and a token of the role {role!r} is shorter than "
                    f"{MIN_TOKEN_CHARACTERS} characters: `openssl rand -hex 16` makes a good one"
                )
        return self
