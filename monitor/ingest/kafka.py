"""A consumer group member whose offsets are kept elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer
from kafka.errors import CorruptRecordError, KafkaError, LogTruncationError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from monitor.errors import ReplacedLog, Unavailable
from monitor.ingest.kafka_client import client_options, connect
from monitor.ingest.kafka_rebalance import AssignmentListener, Rebalance, subscribe
from monitor.ingest.kafka_records import PartitionRecords
from monitor.ingest.offset import StartOffset, StoredOffset, plan_start
from monitor.ingest.order import TimeOrder
from monitor.ingest.record import Record, TopicPartition
from monitor.settings.kafka import KafkaSettings

REQUEST_SECONDS = 5.0  # for a question about offsets
METADATA_SECONDS = 20  # a new partition is noticed and read within 30
QUIET_SECONDS = 5.0  # without records before the broker is asked for a sign of life
CLOSE_SECONDS = 5.0
HEARTBEATS_PER_SESSION = 5
UNREADABLE_ATTEMPTS = 3  # a corruption on the way is gone with the next fetch, one in the log is not
FETCH_OPTIONS: Mapping[str, Any] = {
    "fetch_max_bytes": 64 * 1024 * 1024,
    "max_partition_fetch_bytes": 8 * 1024 * 1024,  # the default of 1 MB halves the throughput
    "fetch_max_wait_ms": 250,
}

log = structlog.get_logger(__name__)


class KafkaSource:
    """Reads the records of the partitions its consumer group assigns to it.

    Offsets are not Kafka's here: reading starts where `AssignmentListener.on_assigned`
    says, and `commit` only informs lag tools. Not thread safe: one thread owns it.
    `Unavailable` leaves it usable; every call may be repeated. Exceptions of the
    listener come out of the call in which they happened.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], listener: AssignmentListener) -> None:
        """Connect; the first `poll` joins the group. Raise `Unavailable` where no broker answers."""
        self._topics = tuple(topics)
        self._listener = listener
        self._reset = settings.auto_offset_reset
        self._stops_at_replaced_log = settings.replaced_log == "stop"
        self._topic_ids: dict[str, str] = {}  # of the topics that are being read, as they were when reading began
        self._paused = False
        self._ahead: set[KafkaPartition] = set()  # held back until others have come as far
        self._ends: dict[KafkaPartition, int] = {}  # when reading began; the client knows later ones
        self._max_records = settings.max_poll_records
        self._has_more = False  # than the last poll gave out
        self._heard = time.monotonic()
        self._unreadable: Counter[tuple[KafkaPartition, int]] = Counter()
        options = client_options(settings) | dict(FETCH_OPTIONS)
        options |= {
            "group_id": settings.group_id,
            "max_poll_records": settings.max_poll_records,
            "session_timeout_ms": round(settings.session_timeout_seconds * 1000),
            "heartbeat_interval_ms": round(settings.session_timeout_seconds * 1000 / HEARTBEATS_PER_SESSION),
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # the client would jump over a gap in silence
            "isolation_level": "read_committed",
            "metadata_max_age_ms": METADATA_SECONDS * 1000,
        }
        self._consumer, self._connections = connect(KafkaConsumer, options)
        self._consumer._fetcher.PartitionRecords = PartitionRecords
        self._order = TimeOrder()
        self._rebalance = Rebalance(self._consumer, listener, self._order)
        subscribe(self._consumer, self._topics, self._rebalance)

    def poll(self, timeout_seconds: float) -> list[Record]:
        """Return records in the order of time over the partitions, of offsets within each; none if none came.

        Keeps the membership alive, so it must be called more often than every five
        minutes, while paused too. Raises `Unavailable` when the brokers stay silent.

        A record that the client cannot take apart comes without key and value and with
        the header `unreadable`, after some attempts that end in `Unavailable`; so do
        the records after it in its batch.
        """
        passed: list[Record] = []
        try:
            self._watch_topic_ids()
            self._start_pending()
            self._keep_rejoining()
            self._hold_back()
            fetched = self._consumer.poll(timeout_ms=0 if self._has_more else round(timeout_seconds * 1000))
            self._ask_when_quiet(heard=bool(fetched))
            passed = self._sort_in(fetched)
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            self._start_anew(error)
        except CorruptRecordError as error:
            unreadable = self._unreadable_record(error)
            self._order.add(unreadable.topic_partition, [unreadable])
        except KafkaError as error:
            raise self._rebalance.take_failure() or self._connections.translated(error) from error
        return passed or self._take()

    def pause(self) -> None:
        """Return no records until `resume`; partitions assigned meanwhile are paused too."""
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        self._heard = time.monotonic()
        self._consumer.resume(*(partition for partition in self._started() if partition not in self._ahead))

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read on from *offsets*; partitions that are not this member's any more are passed over."""
        mine = self._started()
        for partition, offset in offsets.items():
            if KafkaPartition(*partition) in mine:
                self._order.drop([partition])
                self._consumer.seek(KafkaPartition(*partition), offset)

    def restart(self) -> None:
        """Begin every assigned partition again at its stored offset, with the next `poll`."""
        self._rebalance.on_partitions_assigned(self._consumer.assignment())

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell Kafka the next offsets, for lag tools alone; a failure is logged, not raised."""
        named = {KafkaPartition(*partition): OffsetAndMetadata(offset) for partition, offset in offsets.items()}
        try:
            self._consumer.commit_async(named, callback=_log_commit)
        except KafkaError as error:
            _log_commit(named, error)

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many offsets each partition that is being read is behind; asks the brokers."""
        try:
            ends = self._consumer.end_offsets(self._started(), timeout_ms=REQUEST_SECONDS * 1000)
            places = {partition: self._order.next_offset(tuple(partition)) for partition in ends}
            return {
                tuple(p): max(0, end - (self._consumer.position(p) if places[p] is None else places[p]))
                for p, end in ends.items()
            }
        except KafkaError as error:
            raise self._connections.translated(error) from error

    def close(self) -> None:
        """Leave the group, which revokes the partitions; a broker that is away is not waited for."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_SECONDS * 1000)
        except KafkaError as error:
            failure = self._rebalance.take_failure()
            if failure is not None:
                raise failure from error
            log.warning("kafka_close_failed", error=str(error))

    def _sort_in(self, fetched: Mapping[KafkaPartition, list[Record]]) -> list[Record]:
        """Take up what was fetched; return what may go on at once, since nothing else is to be read."""
        for partition, records in fetched.items():
            if len(fetched) == 1 and not self._paused:
                passed = self._order.pass_on(tuple(partition), records, self._behind())
                if passed is not None:
                    self._has_more = False
                    return passed
            self._order.add(tuple(partition), records)
        return []

    def _take(self) -> list[Record]:
        """Give out what is due; nothing while paused."""
        taken = [] if self._paused else self._order.take(self._behind(), self._max_records)
        self._has_more = len(taken) == self._max_records
        return taken

    def _behind(self) -> set[TopicPartition]:
        """Return the partitions of which more is there than was fetched, as far as is known."""
        behind = set()
        for partition in self._started():
            state = self._consumer._subscription.assignment[partition]
            end = self._ends.get(partition, 0) if state.highwater is None else state.highwater
            if state.position is not None and state.position.offset < end:
                behind.add(tuple(partition))
        return behind

    def _hold_back(self) -> None:
        """Fetch no more of the partitions that are ahead of others until those have come as far."""
        if self._paused:
            return
        started = self._started()
        full = {partition for partition in started if self._order.is_full(tuple(partition))}
        self._consumer.pause(*(full - self._ahead))
        self._consumer.resume(*(self._ahead.intersection(started) - full))
        self._ahead = full
        fetcher = self._consumer._fetcher
        if not fetcher._next_partition_records:
            # Used up, but not None: kafka-python 3.0 would never take up what it parked of a partition that was paused.
            fetcher._next_partition_records = None

    def _keep_rejoining(self) -> None:
        """Hold the client to a join that outlasted an earlier poll.

        kafka-python 3.0 forgets it where the cause was a change of partitions: the member
        then has no partitions and sends no heartbeats until it is thrown out.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

    def _started(self) -> list[KafkaPartition]:
        return sorted(self._consumer.assignment() - self._rebalance.pending)

    def _watch_topic_ids(self) -> None:
        """Begin the partitions of a topic again that was created anew while it was being read."""
        cluster = self._consumer._cluster
        for topic, known in list(self._topic_ids.items()):
            found = cluster.topic_id(topic)
            if found is not None and str(found) != known:
                partitions = {partition for partition in self._consumer.assignment() if partition.topic == topic}
                del self._topic_ids[topic]
                self._rebalance.on_partitions_revoked(partitions)
                self._rebalance.on_partitions_assigned(partitions)

    def _start_pending(self) -> None:
        """Begin the partitions that were assigned since the last call."""
        partitions = sorted(self._rebalance.pending)
        if not partitions:
            return
        stored = self._listener.on_assigned([tuple(partition) for partition in partitions])
        known = {topic for topic, _ in stored}
        found = [p for p in self._all_partitions({p.topic for p in partitions} - known) if p not in partitions]
        first = self._consumer.beginning_offsets(partitions, timeout_ms=REQUEST_SECONDS * 1000)
        end = self._consumer.end_offsets([*partitions, *found], timeout_ms=REQUEST_SECONDS * 1000)
        self._ends.update(end)
        if found:
            self._listener.on_topics_found(
                {tuple(p): StartOffset(end[p], None, self._topic_id(p.topic)) for p in (*partitions, *found)}
            )
        self._begin(
            {
                partition: plan_start(
                    stored.get(tuple(partition)),
                    first=first[partition],
                    end=end[partition],
                    reset="earliest" if partition.topic in known else self._reset,
                    topic_id=self._topic_id(partition.topic),
                )
                for partition in partitions
            }
        )

    def _all_partitions(self, topics: set[str]) -> list[KafkaPartition]:
        """Return every partition of *topics* where reading begins at the end, else none.

        What is added to them later is told by it from what was there, and read whole.
        """
        if self._reset == "earliest":
            return []
        numbers = {topic: self._consumer.partitions_for_topic(topic) or () for topic in topics}
        return [KafkaPartition(topic, number) for topic in sorted(topics) for number in sorted(numbers[topic])]

    def _topic_id(self, topic: str) -> str | None:
        found = self._consumer._cluster.topic_id(topic)
        return None if found is None or found.int == 0 else str(found)

    def _start_anew(self, error: OffsetOutOfRangeError | LogTruncationError) -> None:
        """Begin the partitions whose next offset is not in the log again, and say so.

        After a truncation reading goes on where the logs part; otherwise it goes back
        to the first offset: a replaced log is read whole, since duplicates are
        recognised and a gap is not.
        """
        parted = error.divergent_offsets if isinstance(error, LogTruncationError) else {}
        partitions = [partition for partition in parted or error.args[0] if partition in self._started()]
        try:
            first = self._consumer.beginning_offsets(partitions, timeout_ms=REQUEST_SECONDS * 1000)
            position = {partition: self._position(partition) for partition in partitions}
        except KafkaError as failure:  # the next poll comes here again
            raise self._connections.translated(failure) from failure
        known = {partition: place.offset for partition, place in parted.items() if place is not None}
        self._begin(
            {
                partition: StartOffset(
                    known.get(partition, first[partition]),
                    at.next_offset,
                    self._topic_ids.get(partition.topic),
                    # Where the epoch was known, an offset beyond the log was read from one that is gone.
                    replaced=at.leader_epoch is not None and at.next_offset >= first[partition],
                )
                for partition, at in position.items()
            }
        )

    def _position(self, partition: KafkaPartition) -> StoredOffset:
        place = self._consumer._subscription.assignment[partition].position
        return StoredOffset(place.offset, leader_epoch=place.leader_epoch if place.leader_epoch >= 0 else None)

    def _unreadable_record(self, error: CorruptRecordError) -> Record:
        """Stand in for the record the client stopped at and read on behind it, or raise to try again."""
        fetcher = self._consumer._fetcher
        # The client would take the same broken batch in hand again, without end and within one poll.
        stuck, fetcher._next_partition_records = fetcher._next_partition_records, None
        if stuck is None:
            raise self._connections.translated(error) from error
        partition = stuck.topic_partition
        offset = self._consumer.position(partition)
        self._unreadable[partition, offset] += 1
        if self._unreadable[partition, offset] < UNREADABLE_ATTEMPTS:
            raise Unavailable(
                f"kafka: {tuple(partition)} cannot be read at offset {offset}: {error}", plain="Kafka is away"
            ) from error
        del self._unreadable[partition, offset]
        log.warning("kafka_record_unreadable", topic=partition.topic, partition=partition.partition, offset=offset)
        self._consumer.seek(partition, offset + 1)
        return Record(
            partition.topic,
            partition.partition,
            offset,
            None,
            None,
            (("unreadable", str(error).encode(errors="replace")),),
        )

    def _begin(self, starts: Mapping[KafkaPartition, StartOffset]) -> None:
        self._listener.on_started({tuple(partition): start for partition, start in starts.items()})
        for partition, start in starts.items():
            self._tell(partition, start)
            epoch = -1 if start.leader_epoch is None else start.leader_epoch
            # With its epoch the client and the broker compare the place with the log's history.
            self._consumer._subscription.seek(partition, OffsetAndMetadata(start.offset, "", epoch))
            if start.topic_id is not None:
                self._topic_ids[partition.topic] = start.topic_id
            self._rebalance.pending.discard(partition)
        self._ahead.difference_update(starts)
        if not self._paused:
            self._consumer.resume(*starts)

    def _tell(self, partition: KafkaPartition, start: StartOffset) -> None:
        """Log a gap; raise `ReplacedLog` for a log that is not the one that was read, unless it may be."""
        if start.stored in {None, start.offset} and not start.replaced:
            return
        place = {"topic": partition.topic, "partition": partition.partition}
        offsets = {"stored": start.stored, "offset": start.offset}
        if not start.replaced:
            log.warning("kafka_offset_gone", **place, **offsets, lost=start.lost)
            return
        log.error("kafka_log_replaced", **place, **offsets)
        if self._stops_at_replaced_log:
            raise ReplacedLog(
                f"kafka: {partition.topic}[{partition.partition}] is not the log that was read up to offset"
                f" {start.stored}: the topic was created again, or its log was cut and has grown anew. Nothing of"
                f" the new log was read. Set kafka.replaced_log to 'continue' to read it from offset {start.offset}"
                f" on; traces that are stored already are recognised by their id and not counted again"
            )

    def _ask_when_quiet(self, *, heard: bool) -> None:
        """Ask for an offset after a silence: the client itself retries a lost broker without a word."""
        now = time.monotonic()
        if heard or self._paused:
            self._heard = now
        elif now - self._heard > QUIET_SECONDS:
            asked = self._started() or [KafkaPartition(self._topics[0], 0)]
            self._consumer.end_offsets(asked, timeout_ms=REQUEST_SECONDS * 1000)
            self._heard = now


def _log_commit(offsets: Mapping[KafkaPartition, OffsetAndMetadata], response: object) -> None:
    if isinstance(response, Exception):
        log.info("kafka_commit_failed", partitions=len(offsets), error=str(response))
