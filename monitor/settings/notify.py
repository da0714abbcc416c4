"""Settings of notifications: who is told of incidents by the daemon itself, and how."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, model_validator

from monitor.settings.part import Part

HTTP_URL = r"^https?://[^\s@\"'<>|]+$"
ADDRESS = r"^[^\x00-\x1f\x7f<>]*<?[^\s<>@]+@[^\s<>@]+>?$"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Address = Annotated[str, StringConstraints(pattern=ADDRESS, max_length=200)]


class ReceiverSettings(Part):
    """What every receiver has."""

    severity: Literal["warning", "alert"] = Field("alert", description="least severity of an incident it is told of")
    renotify_hours: float | None = Field(
        4.0, gt=0, description="an incident that is open and not acknowledged is told again so often; null: never"
    )
    per_hour: int = Field(20, ge=1, le=1000, description="incidents it is told of in an hour; more are one message")
    timeout_seconds: float = Field(10.0, gt=0, le=120, description="time one attempt may take")
    ca_file: Path | None = Field(
        None, description="PEM file of the authorities that may sign its certificate; null trusts the usual ones"
    )


class WebhookReceiver(ReceiverSettings):
    url: SecretStr | None = Field(None, description="posted to, until it answers 2xx")
    url_file: Path | None = Field(None, description="file that holds the URL")
    secret: SecretStr | None = Field(None, description="key of the HMAC-SHA256 that signs what is posted")
    secret_file: Path | None = Field(None, description="file that holds the key")
    update_seconds: float = Field(30.0, ge=0, description="least time to the next word on an incident that grows")

    @model_validator(mode="after")
    def _is_whole(self) -> WebhookReceiver:
        one_of(self, "url")
        one_of(self, "secret")
        return self


class SlackReceiver(ReceiverSettings):
    url: SecretStr | None = Field(None, description="an incoming webhook; each word is a message of its own")
    url_file: Path | None = Field(None, description="file that holds the URL")
    token: SecretStr | None = Field(
        None, description="a bot's token (chat:write, channels:history); one message is edited"
    )
    token_file: Path | None = Field(None, description="file that holds the token")
    channel: str | None = Field(
        None, min_length=1, max_length=80, description="of the bot, its id as C0123456789; it must be a member"
    )
    api: str = Field("https://slack.com/api", pattern=HTTP_URL, description="where Slack's methods are")
    update_seconds: float | None = Field(
        None, ge=0, description="as a webhook's; null: 30 for a bot, which edits, 3600 for an incoming webhook"
    )

    @model_validator(mode="after")
    def _is_whole(self) -> SlackReceiver:
        if self.is_bot == (self.url is not None or self.url_file is not None):
            raise ValueError("wanted url, an incoming webhook, or token with channel, a bot; one of the two")
        one_of(self, "token" if self.is_bot else "url")
        if self.is_bot != (self.channel is not None):
            raise ValueError("token and channel belong together")
        return self

    @property
    def is_bot(self) -> bool:
        return self.token is not None or self.token_file is not None


class PagerDutyReceiver(ReceiverSettings):
    routing_key: SecretStr | None = Field(None, description="integration key of a service, Events API v2")
    routing_key_file: Path | None = Field(None, description="file that holds the key")
    api: str = Field(
        "https://events.pagerduty.com/v2/enqueue",
        pattern=HTTP_URL,
        description="where events go; https://events.eu.pagerduty.com/v2/enqueue for accounts in the EU",
    )
    update_seconds: float = Field(300.0, ge=0, description="as a webhook's")
    renotify_hours: float | None = Field(
        None, gt=0, description="as above; null, since PagerDuty escalates by itself: a trigger again wakes nobody"
    )

    @model_validator(mode="after")
    def _is_whole(self) -> PagerDutyReceiver:
        one_of(self, "routing_key")
        return self


class MailReceiver(ReceiverSettings):
    host: str = Field(min_length=1, description="the SMTP server")
    port: int = Field(587, ge=1, le=65535, description="its port; 465 goes with security `tls`")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`none` sends in the clear, and admits no password"
    )
    sender: Address = Field(description="the From address")
    to: tuple[Address, ...] = Field(min_length=1, max_length=50, description="the recipients")
    user: str | None = Field(None, description="whom the server knows; null logs nobody in")
    password: SecretStr | None = Field(None, description="of that user")
    password_file: Path | None = Field(None, description="file that holds the password")
    update_seconds: float = Field(3600.0, ge=0, description="as a webhook's; each word is a mail in the same thread")

    @model_validator(mode="after")
    def _is_whole(self) -> MailReceiver:
        if self.user is not None:
            one_of(self, "password")
        if self.user is not None and self.security == "none":
            raise ValueError("security 'none' would send the password in the clear; wanted starttls or tls")
        if self.user is None and (self.password is not None or self.password_file is not None):
            raise ValueError("password without user; wanted both or neither")
        return self


class NotifySettings(Part):
    """Receivers, each under a name of its own; a part of it that is left empty tells nobody."""

    webhook: dict[Name, WebhookReceiver] = Field(default_factory=dict, description="programs of one's own, by name")
    slack: dict[Name, SlackReceiver] = Field(default_factory=dict, description="Slack channels, by name")
    pagerduty: dict[Name, PagerDutyReceiver] = Field(default_factory=dict, description="PagerDuty services, by name")
    email: dict[Name, MailReceiver] = Field(default_factory=dict, description="mail servers with recipients, by name")
    runbooks: str | None = Field(
        None,
        pattern=HTTP_URL,
        description="where people reach the folder dashboards/runbooks; null names the file alone",
    )

    @model_validator(mode="after")
    def _has_names_of_their_own(self) -> NotifySettings:
        counted = Counter([*self.webhook, *self.slack, *self.pagerduty, *self.email])
        twice = [name for name, count in counted.items() if count > 1]
        if twice:
            raise ValueError(f"two receivers are named {twice[0]!r}; wanted a name of its own for each")
        return self


def one_of(receiver: Part, name: str) -> None:
    """Raise unless *name* is given, by itself or by its file and not by both."""
    given, file = getattr(receiver, name), getattr(receiver, f"{name}_file")
    if (given is None) == (file is None):
        raise ValueError(f"wanted {name} or {name}_file; one of the two")
    if given is not None and not given.get_secret_value().strip():
        raise ValueError(f"{name} is empty")
