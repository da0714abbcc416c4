"""Settings of Kafka: which topics are read, and how the brokers are reached."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from monitor.settings.part import Part


class RouteSettings(Part):
    topic: str = Field(min_length=1, description="a topic beside those that have a setting of their own")
    carries: Literal["traces", "preferences", "labels"] = Field("traces", description="what its records are")
    format: str = Field(
        "auto", min_length=1, description="how they are written: `auto` finds out, or native, litellm, otlp"
    )


class KafkaSettings(Part):
    bootstrap_servers: str = Field("127.0.0.1:9092", min_length=1, description="host:port, comma separated")
    trace_topics: tuple[str, ...] = Field(("traces",), min_length=1, description="topics that carry traces")
    trace_format: str = Field(
        "auto", min_length=1, description="how their records are written: `auto` finds out, or native, litellm, otlp"
    )
    preference_topic: str = Field("preferences", min_length=1, description="topic of preference events")
    label_topic: str | None = Field(
        "labels", min_length=1, description="topic of labels, which need not exist; null reads none"
    )
    routes: tuple[RouteSettings, ...] = Field((), description="more topics, each with what it carries and its format")
    dead_letter_topic: str = Field("traces.dead-letters", min_length=1, description="topic for rejected records")
    promotion_topic: str = Field(
        "policy.promotions", min_length=1, description="topic that retrain.announcements.kafka writes to"
    )
    group_id: str = Field("rlhf-monitor", min_length=1, description="consumer group; workers share it")
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        "earliest",
        description="where a topic starts that was never read; a partition added later starts at its beginning",
    )
    replaced_log: Literal["stop", "continue"] = Field(
        "stop",
        description="what to do where a topic was created again or its log was cut and has grown anew:"
        " end with an error, or read the new log from its beginning",
    )
    api_version: tuple[int, int] | None = Field(
        None, description="pin the protocol, [2, 3] for librdkafka's mock broker; null asks the broker"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="what the brokers' listener speaks: SSL for TLS, SASL_* where it logs clients in"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism, where the protocol is SASL_*"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password")
    ssl_cafile: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign the brokers' certificates; null trusts the system's",
    )
    ssl_certfile: Path | None = Field(None, description="PEM file of this client's certificate, where brokers want one")
    ssl_keyfile: Path | None = Field(None, description="PEM file of that certificate's private key")
    ssl_key_password: SecretStr | None = Field(None, description="opens the private key, where it is encrypted")
    ssl_check_hostname: bool = Field(
        True, description="whether a broker's certificate must name the host that it is reached by"
    )
    session_timeout_seconds: float = Field(
        30.0, ge=1, le=1800, description="silence after which a worker's partitions go to another"
    )
    max_poll_records: int = Field(2000, ge=1, le=50_000, description="records a poll returns at most")

    @property
    def logs_in(self) -> bool:
        return self.security_protocol.startswith("SASL_")

    @property
    def has_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    @model_validator(mode="after")
    def _protocol_has_use_for_all(self) -> KafkaSettings:
        """What the protocol would pass over in silence is a mistake about how brokers are reached."""
        for prefix, is_used, wanted in (("sasl_", self.logs_in, "SASL_SSL"), ("ssl_", self.has_tls, "SSL or SASL_SSL")):
            for name, field in type(self).model_fields.items():
                if name.startswith(prefix) and not is_used and getattr(self, name) != field.default:
                    raise ValueError(
                        f"{name} is set, and security_protocol = {self.security_protocol!r} has no use for it;"
                        f" wanted {wanted}"
                    )
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            there, missing = ("ssl_keyfile", "ssl_certfile")[:: 1 if self.ssl_certfile is None else -1]
            raise ValueError(f"{there} is set without {missing}; a client's certificate wants both")
        if self.ssl_key_password is not None and self.ssl_keyfile is None:
            raise ValueError("ssl_key_password is set without ssl_keyfile, the key that it opens")
        return self

    @model_validator(mode="after")
    def _topics_differ(self) -> KafkaSettings:
        """A worker that reads its own dead letters writes them again, without end."""
        named = [route.topic for route in self.routes]
        labels = () if self.label_topic is None else (self.label_topic,)
        written = self.dead_letter_topic, self.promotion_topic
        topics = (*self.trace_topics, self.preference_topic, *labels, *written, *named)
        twice = sorted({topic for topic in topics if topics.count(topic) > 1})
        if twice:
            raise ValueError(
                f"the topic {twice[0]!r} is named twice; traces, preferences, labels, dead letters and"
                " promotions want their own"
            )
        return self
