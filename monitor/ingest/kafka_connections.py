"""A client's connections, which remember why a broker refused one."""

from __future__ import annotations

import ssl
from typing import Any

from kafka.errors import (
    AuthorizationError,
    IllegalArgumentError,
    IllegalStateError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    UnsupportedCodecError,
    UnsupportedVersionError,
)
from kafka.net.inet import create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from monitor.errors import InvalidSetting, MissingCodec, Unavailable
from monitor.ingest.kafka_refusal import NO_HANDSHAKE, Refusal, explain

READ_BYTES = 1 << 20
DENIED = "Kafka denies this user a right that it needs (its ACLs)"


class Reading:
    """Takes at once what has come, and lets what a broker said before it closed the connection be read.

    kafka-python 3.0 asks for 4 KB at a time, and each time gives up Python's lock to whoever reads a batch. What comes
    together with the end it drops, and a broker says last of all that it refuses the password.
    """

    _sock: Any
    _end: Exception | None = None

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        taken: list[bytes] = []
        while self._end is None:
            try:
                data = self._sock.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except Exception as error:  # noqa: BLE001 - closed meanwhile, or whatever else ends the connection
                self._end = KafkaConnectionError(error)
            else:
                taken.append(data)
                self._end = None if data else KafkaConnectionError("socket disconnected")
        data = b"".join(taken)
        return data, None if data else self._end


class TcpTransport(Reading, KafkaTCPTransport):  # type: ignore[misc]
    pass


class TlsTransport(Reading, KafkaSSLTransport):  # type: ignore[misc]
    pass


class Connections(KafkaConnectionManager):  # type: ignore[misc]
    """kafka-python's own, which retries whatever happens and says only that time ran out.

    A refusal is forgotten with the next connection that is let in. As long as there
    was none, brokers that have all refused for certain are not waited for.
    """

    def __init__(self, net: Any, **configs: Any) -> None:
        self._refusals: dict[Any, Refusal] = {}  # by node
        self._refused: set[Any] = set()  # nodes that did so for certain since it was last raised
        self._known: set[int] = set()  # connections that are watched
        super().__init__(net, **configs)

    @property
    def is_refused(self) -> bool:
        """Say whether a broker refused the last connection."""
        return bool(self._refusals)

    def get_connection(self, node_id: Any, **options: Any) -> Any:
        starting = not self.bootstrapped and self.cluster.is_bootstrap(node_id)
        if starting and self._refused.issuperset(node.node_id for node in self.cluster.bootstrap_brokers()):
            self._refused.clear()
            raise KafkaConnectionError("every broker of kafka.bootstrap_servers refuses the connection")
        self._auth_failures.pop(node_id, None)  # a password is mended outside, so it is tried again
        connection = super().get_connection(node_id, **options)
        if id(connection) not in self._known:
            self._known.add(id(connection))
            connection.init_future.add_callback(lambda _: self.forget())
            connection.init_future.add_errback(lambda error: self.remember(node_id, error))
            connection.close_future.add_errback(lambda error: self.remember(node_id, error))
            connection.close_future.add_both(lambda _: self._known.discard(id(connection)))
        return connection

    def reset_backoff(self, node_id: Any) -> None:
        """Wait longer each time also where the broker refuses only after the connection stands."""
        if node_id not in self._refusals:
            super().reset_backoff(node_id)

    def translated(self, error: KafkaError) -> Exception:
        """Say what *error* means to the daemon, with the refusal that is behind it."""
        meaning = translated(error)
        refusal = next(iter(sorted(self._refusals.values(), key=lambda one: not one.is_certain)), None)
        if refusal is None or not isinstance(meaning, Unavailable):
            return meaning
        return Unavailable(f"kafka: {refusal.message}", plain=refusal.plain)

    def remember(self, node_id: Any, error: BaseException) -> None:
        """Keep why a connection to the node ended, if that was a refusal."""
        node = self.cluster.broker_metadata(node_id)
        address = "the broker" if node is None else f"{node.host}:{node.port}"
        refusal = explain(error, self.config, address)
        if refusal is None or (not refusal.is_certain and (self.bootstrapped or node_id in self._refusals)):
            return
        self._refusals[node_id] = refusal
        if refusal.is_certain:
            self._refused.add(node_id)
        if self.connection_delay(node_id) == 0:
            self.update_backoff(node_id)

    def forget(self) -> None:
        """Forget the refusals, since a broker let this client in."""
        if self.bootstrapped:
            self._refusals.clear()
            self._refused.clear()

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        """Do as kafka-python does, and close the socket of a handshake that failed, which it leaves open."""
        config = self.config
        sock = await create_connection(
            self._net,
            node.host,
            node.port,
            config["socket_options"],
            proxy_url=config["proxy_url"],
            timeout_at=timeout_at,
        )
        transport = None
        try:
            if self.ssl_enabled:
                ssl_options = {name: value for name, value in config.items() if name.startswith("ssl_")}
                transport = TlsTransport(self._net, sock, host=node.host, **ssl_options)
            else:
                transport = TcpTransport(self._net, sock, host=node.host)
            await transport.handshake()
        except Exception as error:
            if transport is not None:
                transport.close()
            sock.close()
            raise KafkaConnectionError(f"{NO_HANDSHAKE}: {error}") from error
        return transport


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
    if isinstance(error, AuthorizationError):
        return Unavailable(
            f"kafka: the user may not use {', '.join(map(str, error.args)) or 'the cluster'}: grant it the right there"
            f" ({error})",
            plain=DENIED,
        )
    return Unavailable(f"kafka: {error}", plain="Kafka is away")
