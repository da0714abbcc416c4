"""What consumers and producers share: the way to a broker, and what its errors mean."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.selector import NetworkSelector

from monitor.errors import InvalidSetting
from monitor.ingest.kafka_connections import Connections, translated
from monitor.settings.kafka import KafkaSettings

CLIENT_ID = "rlhf-monitor"
BOOTSTRAP_SECONDS = 10.0
TLS_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")

C = TypeVar("C")


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return kafka-python's options for reaching and entering the cluster.

    Raises `InvalidSetting` for a password or a user that is not set, and for a file
    that cannot be used. The files are read again with each connection, so a
    certificate may be renewed while the program runs.
    """
    if settings.logs_in:
        for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
            if getattr(settings, name) is None:
                raise InvalidSetting(
                    f"kafka.{name} is not set, and kafka.security_protocol = {settings.security_protocol!r} logs in:"
                    f" set it, a password best as the variable MONITOR_KAFKA__SASL_PASSWORD"
                )
    if settings.has_tls:
        require_usable_files(settings)
    password = settings.sasl_password
    files = {name: getattr(settings, name) for name in TLS_FILES}
    return {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "client_id": CLIENT_ID,
        "api_version": settings.api_version,
        "bootstrap_timeout_ms": int(BOOTSTRAP_SECONDS * 1000),
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": None if password is None else password.get_secret_value(),
        **{name: None if path is None else str(path) for name, path in files.items()},
        "ssl_password": _key_password(settings),
        "ssl_check_hostname": settings.ssl_check_hostname,
        "reconnect_backoff_max_ms": 3000,  # a broker that is back is found within seconds
        "metrics_enabled": False,  # the daemon keeps its own
    }


def require_usable_files(settings: KafkaSettings) -> None:
    """Raise `InvalidSetting` that names the file of `kafka.ssl_*` which cannot be used, and why."""
    for name in TLS_FILES:
        path: Path | None = getattr(settings, name)
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            raise InvalidSetting(
                f"kafka.{name} = {str(path)!r}: {error.strerror}; wanted a PEM file that this process may read"
            ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if settings.ssl_cafile is not None:
            context.load_verify_locations(settings.ssl_cafile)
    except ssl.SSLError:
        raise InvalidSetting(f"kafka.ssl_cafile = {str(settings.ssl_cafile)!r}: holds no certificate as PEM") from None
    if settings.ssl_certfile is None:
        return
    try:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, _key_password(settings))
    except (ssl.SSLError, ValueError) as error:
        pair = (
            f"kafka.ssl_certfile = {str(settings.ssl_certfile)!r} and kafka.ssl_keyfile = {str(settings.ssl_keyfile)!r}"
        )
        reason = getattr(error, "reason", None) or ""
        if "KEY_VALUES_MISMATCH" in reason:
            told = "the key is not this certificate's"
        elif isinstance(error, _NoPassword):
            told = "the key is encrypted; set kafka.ssl_key_password"
        elif settings.ssl_key_password is not None:
            told = f"kafka.ssl_key_password does not open the key, or a file is not PEM ({reason})"
        else:
            told = f"wanted a certificate and its private key as PEM ({reason})"
        raise InvalidSetting(f"{pair}: {told}") from None


class _NoPassword(ValueError):
    """The key wants a password and none is set."""


def _key_password(settings: KafkaSettings) -> Callable[[], str]:
    """Return what OpenSSL asks where a key is encrypted; without it, it would ask at the terminal."""

    def password() -> str:
        if settings.ssl_key_password is None:
            raise _NoPassword
        return settings.ssl_key_password.get_secret_value()

    return password


def connect(client: Callable[..., C], options: Mapping[str, Any]) -> tuple[C, Connections]:
    """Construct a consumer or producer; raise `Unavailable` where no broker answers, or none lets it in.

    A constructor that fails would leave its network thread behind, one for each
    attempt, so the network is closed here. The connections know what their errors mean.
    """
    opened: list[tuple[KafkaNetClient, Connections]] = []

    def network(**configs: Any) -> KafkaNetClient:
        net = NetworkSelector(**configs)
        connections = Connections(net, **configs)
        opened.append((KafkaNetClient(net, connections), connections))
        return opened[-1][0]

    try:
        return client(kafka_client=network, **options), opened[-1][1]
    except KafkaError as error:
        for net_client, _ in opened:
            net_client.close()
        raise (opened[-1][1].translated(error) if opened else translated(error)) from error
