"""Settings of API, console and /metrics: where they listen, and who may use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from monitor.settings.part import Part

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
MIN_TOKEN_CHARACTERS = 16  # of a token that others than this machine can try
HASHED_TOKEN = re.compile(r"sha256:[0-9a-fA-F]{64}")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
RoleName = Literal["viewer", "annotator", "operator"]


class OidcSettings(Part):
    issuer: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="the provider of log-ins (OpenID Connect), say https://id.example/realms/main; none: no log-in",
    )
    client_id: str = Field("rlhf-monitor", min_length=1, description="who the console is to the provider")
    client_secret: SecretStr | None = Field(None, description="its secret; none: a public client, by PKCE alone")
    scopes: tuple[str, ...] = Field(("openid", "profile", "email"), description="what the provider is asked for")
    name_claims: tuple[str, ...] = Field(
        ("email", "preferred_username"),
        min_length=1,
        description="the first of these claims that is there names a person in the audit; people must not choose it",
    )
    role_claim: str = Field(
        "groups", description="the claim that tells the role, or the path to it: realm_access.roles (Keycloak)"
    )
    roles: dict[str, RoleName] = Field(
        default_factory=dict,
        description="value of that claim -> role; operator where one of several gives it, else the first here",
    )
    default_role: RoleName | None = Field(None, description="of whom the claim gives none; none: they stay outside")
    session_hours: float = Field(
        12.0, gt=0, le=720, description="until a person logs in again; a role that was taken away holds as long"
    )
    ca_file: Path | None = Field(None, description="certificates (PEM) to trust beside the system's")

    @model_validator(mode="after")
    def _useful(self) -> OidcSettings:
        idle = sorted(self.model_fields_set - {"issuer"})
        if self.issuer is None and idle:
            raise ValueError(f"{', '.join(idle)} without issuer, so nobody logs in: name the provider, or leave it out")
        if self.issuer is None:
            return self
        if not self.roles and self.default_role is None:
            raise ValueError("nobody could come in: set roles, or default_role")
        if "role_claim" in self.model_fields_set and not self.roles:
            raise ValueError("role_claim without roles: nothing is read from it; set roles, or leave it out")
        if "openid" not in self.scopes:
            raise ValueError("scopes lacks 'openid', without which a provider tells no identity")
        if self.client_secret is not None and not self.client_secret.get_secret_value():
            raise ValueError("client_secret is empty: leave it out for a public client")
        return self

    @model_validator(mode="after")
    def _encrypted(self) -> OidcSettings:
        address = urlsplit(self.issuer or "")
        if address.scheme == "http" and address.hostname not in LOOPBACK:
            raise ValueError("issuer is http and not on this machine: what it says of people wants https")
        if address.scheme == "http" and self.ca_file is not None:
            raise ValueError("ca_file with an issuer of http, which has no certificate: leave it out")
        return self


class WebSettings(Part):
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port of API, console and /metrics; 0 picks one")
    tokens: dict[str, RoleName] = Field(
        default_factory=dict,
        description="bearer token (16 characters or more unless on loopback), or `sha256:` and its digest in hex ->"
        " role; none: loopback alone is served",
    )
    wants_login: bool = Field(
        False, description="serve nobody without a token, where `rlhf-monitor tokens create` alone makes them"
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="bearer token, or `sha256:` and its digest, by which Prometheus reads /metrics, as viewers and"
        " operators may then; none: /metrics is open to all",
    )
    oidc: OidcSettings = Field(default_factory=OidcSettings, description="how people log in")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s\"'<>?#]+$",
        description="where people reach the console, say https://monitor.example: alerts link to their incident there",
    )
    prometheus_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#@]+$",
        description="Prometheus, which `doctor` asks whether it scrapes the monitor and has its rules; none: not asked",
    )
    names: dict[str, Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=PRINTABLE)]] = Field(
        default_factory=dict,
        description="bearer token -> its holder, as labels and the audit name them; a person who gets a new token"
        " keeps the name; without one a digest of the token stands there",
    )

    @field_validator("metrics_token")
    @classmethod
    def _none_where_empty(cls, given: SecretStr | None) -> SecretStr | None:
        return given if given is not None and given.get_secret_value() else None

    @model_validator(mode="after")
    def _named(self) -> WebSettings:
        if not self.names.keys() <= self.tokens.keys():
            raise ValueError("names has a token that tokens has not: both name the same ones")
        return self

    @model_validator(mode="after")
    def _digests(self) -> WebSettings:
        for name, token in self._every_token():
            if token.startswith("sha256:") and HASHED_TOKEN.fullmatch(token) is None:
                raise ValueError(f"{name} begins with sha256: and has no 64 hexadecimal digits after it")
        return self

    @model_validator(mode="after")
    def _apart(self) -> WebSettings:
        if self.metrics_token is not None and self.metrics_token.get_secret_value() in self.tokens:
            raise ValueError("metrics_token is one of tokens, which opens the API too: give Prometheus one of its own")
        return self

    @model_validator(mode="after")
    def _found_again(self) -> WebSettings:
        if self.oidc.issuer is not None and self.public_url is None:
            raise ValueError("oidc wants public_url: the provider sends people back to public_url/login/callback")
        return self

    @model_validator(mode="after")
    def _guarded(self) -> WebSettings:
        if self.host in LOOPBACK:
            return self
        if not self.tokens and not self.wants_login and self.oidc.issuer is None:
            raise ValueError(
                f"host {self.host!r} is reachable from outside: set web.tokens, web.oidc or web.wants_login first"
            )
        for name, token in self._every_token():
            if len(token) < MIN_TOKEN_CHARACTERS and HASHED_TOKEN.fullmatch(token) is None:
                raise ValueError(
                    f"host {self.host!r} is reachable from outside, and {name} is shorter than "
                    f"{MIN_TOKEN_CHARACTERS} characters: `openssl rand -hex 16` makes a good one"
                )
        return self

    def _every_token(self) -> Iterator[tuple[str, str]]:
        """Yield what to call each token in a message, which must not quote it, and the token."""
        yield from ((f"a token of the role {role!r}", token) for token, role in self.tokens.items())
        if self.metrics_token is not None:
            yield "metrics_token", self.metrics_token.get_secret_value()
