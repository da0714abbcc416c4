"""A Kafka broker inside this process, for the demo and for tests without a real one."""

from __future__ import annotations

import ctypes
from types import TracebackType

from monitor.errors import InvalidSetting, Unavailable

_PRODUCER = 0  # rd_kafka_type_t
_TOPIC_ALREADY_EXISTS = 36


class EmbeddedBroker:
    """librdkafka's mock cluster: one broker on a loopback port, served by a thread of this process.

    It lives from entering to leaving, or to the end of the process; nothing is
    written to disk, and leaving loses every record. Other processes may connect.

    Limits, none of which a real broker has:

    - clients must pin `api_version` (2, 3): kafka-python's version handshake fails;
    - a partition keeps its last 5 MB; what a consumer has not read by then is lost,
      and the consumer resets by its `auto_offset_reset`;
    - a topic that is produced to before `create_topic` appears with four partitions;
      topics cannot be created through an admin client;
    - whenever a member joins or leaves a group that had members before, the group
      stands still for that member's session timeout less one second (29 s by
      kafka-python's default), so set `session_timeout_ms` low where that can happen.
    """

    api_version: tuple[int, int] = (2, 3)

    def __init__(self, *, partitions: int = 4) -> None:
        self.partitions = partitions
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._cluster: int | None = None

    @property
    def bootstrap_servers(self) -> str:
        library, cluster = self._running()
        servers: bytes = library.rd_kafka_mock_cluster_bootstraps(cluster)
        return servers.decode()

    def create_topic(self, name: str, partitions: int | None = None) -> None:
        """Create *name*; a topic that is there already stays as it is."""
        library, cluster = self._running()
        code = library.rd_kafka_mock_topic_create(cluster, name.encode(), partitions or self.partitions, 1)
        if code not in {0, _TOPIC_ALREADY_EXISTS}:
            raise Unavailable(f"the embedded broker refused the topic {name!r}: librdkafka error {code}")

    def start(self) -> None:
        """Open the port; raise `InvalidSetting` without the demo extra."""
        library = _load_library()
        configuration = library.rd_kafka_conf_new()
        reason = ctypes.create_string_buffer(512)
        for name, value in ((b"test.mock.num.brokers", b"1"), (b"log_level", b"3")):
            library.rd_kafka_conf_set(configuration, name, value, reason, len(reason))
        handle = library.rd_kafka_new(_PRODUCER, configuration, reason, len(reason))
        if not handle:
            raise Unavailable(f"the embedded broker did not start: {reason.value.decode()}")
        self._library, self._handle = library, handle
        self._cluster = library.rd_kafka_handle_mock_cluster(handle)
        # Without this the first member of a group waits three seconds for others.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    def stop(self) -> None:
        """Close the port and drop the records; harmless when it is stopped."""
        if self._library is not None and self._handle is not None:
            self._library.rd_kafka_destroy(self._handle)
        self._library = self._handle = self._cluster = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> tuple[ctypes.CDLL, int]:
        if self._library is None or self._cluster is None:
            raise Unavailable("the embedded broker is not started")
        return self._library, self._cluster


def _load_library() -> ctypes.CDLL:
    """Return librdkafka as confluent-kafka's wheel carries it, with the signatures used here."""
    try:
        from confluent_kafka import cimpl  # noqa: PLC0415 - belongs to the demo extra
    except ImportError as error:
        raise InvalidSetting("the embedded broker needs the demo extra: pip install 'rlhf-monitor[demo]'") from error
    library = ctypes.CDLL(cimpl.__file__)  # symbols are looked up in what it links to as well
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (ctypes.c_int, [pointer, text, text, text, size]),
        "rd_kafka_new": (pointer, [ctypes.c_int, pointer, text, size]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_handle_mock_cluster": (pointer, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
