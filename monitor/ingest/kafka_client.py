"""What consumers and producers share: the way to a broker, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka.errors import (
    IllegalArgumentError,
    IllegalStateError,
    KafkaConfigurationError,
    KafkaError,
    UnsupportedCodecError,
    UnsupportedVersionError,
)
from kafka.net.compat import KafkaNetClient

from monitor.errors import InvalidSetting, MissingCodec, Unavailable
from monitor.settings.kafka import KafkaSettings

CLIENT_ID = "rlhf-monitor"
BOOTSTRAP_SECONDS = 10.0

C = TypeVar("C")


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return kafka-python's options for reaching and entering the cluster."""
    if settings.security_protocol.startswith("SASL_") and settings.sasl_mechanism is None:
        raise InvalidSetting(
            f"kafka.sasl_mechanism = None: wanted PLAIN or SCRAM-SHA-256 or -512, since"
            f" kafka.security_protocol = {settings.security_protocol!r}"
        )
    password = settings.sasl_password
    return {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "client_id": CLIENT_ID,
        "api_version": settings.api_version,
        "bootstrap_timeout_ms": int(BOOTSTRAP_SECONDS * 1000),
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": None if password is None else password.get_secret_value(),
        "ssl_cafile": None if settings.ssl_cafile is None else str(settings.ssl_cafile),
        "reconnect_backoff_max_ms": 3000,  # a broker that is back is found within seconds
        "metrics_enabled": False,  # the daemon keeps its own
    }


def connect(client: Callable[..., C], options: Mapping[str, Any]) -> C:
    """Construct a consumer or producer; raise `Unavailable` where no broker answers.

    A constructor that fails would leave its network thread behind, one for each
    attempt, so the network is closed here.
    """
    networks: list[KafkaNetClient] = []

    def network(**configs: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**configs))
        return networks[-1]

    try:
        return client(kafka_client=network, **options)
    except KafkaError as error:
        for opened in networks:
            opened.close()
        raise translated(error) from error


def translated(error: KafkaError) -> Exception:
    """Say what *error* means to the daemon.

    A wrong configuration is an `InvalidSetting`, a codec that is not installed a
    `MissingCodec`; a misuse of the client is a bug and stays what it is. Everything
    else is `Unavailable`, refused access included: credentials and permissions are
    mended outside, and no offset moves until then.
    """
    if isinstance(error, KafkaConfigurationError):
        return InvalidSetting(f"kafka: {error}")
    if isinstance(error, UnsupportedCodecError):
        return MissingCodec(
            f"kafka: {error}. Producers compress with it: install python-snappy, lz4 and zstandard, which this"
            f" program depends on, and start again"
        )
    if isinstance(error, (IllegalStateError, IllegalArgumentError, UnsupportedVersionError)):
        bug: Exception = error
        return bug
    return Unavailable(f"kafka: {error}", plain="Kafka is away")
