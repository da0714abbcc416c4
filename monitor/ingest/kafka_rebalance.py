"""Partitions that come and go, and who is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition as KafkaPartition

from monitor.ingest.offset import StartOffset, StoredOffset
from monitor.ingest.order import TimeOrder
from monitor.ingest.record import TopicPartition

ANSWER_SECONDS = 5.0  # of each of two questions, before the first join


def subscribe(
    consumer: KafkaConsumer, topics: Sequence[str], listener: ConsumerRebalanceListener | None = None
) -> None:
    """Subscribe *consumer*, and return once it knows the partitions of *topics*, if there are any.

    Without that, kafka-python 3.0 may join first. As the group's leader it then gives
    every member nothing, and has the group join a second time.
    """
    consumer.subscribe(topics=topics, listener=listener)
    for _ in range(2):  # the first answer may be to a question from before, which named no topic
        if all(consumer._coordinator._metadata_snapshot.get(topic) for topic in topics):
            return
        with suppress(KafkaError):  # a broker that is away, or a topic that is not there yet: for `poll` to find out
            asked = consumer._cluster.request_update()
            consumer._net.run(consumer._manager.wait_for, asked, ANSWER_SECONDS * 1000)


class AssignmentListener(Protocol):
    """Told which partitions this member reads; each call happens inside a `KafkaSource` call."""

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, StoredOffset]:
        """Return the stored offsets of *partitions* and of all others the group has read."""

    def on_topics_found(self, starts: Mapping[TopicPartition, StartOffset]) -> None:
        """Keep where every partition of a topic begins that the group has never read and reads from its end."""

    def on_started(self, starts: Mapping[TopicPartition, StartOffset]) -> None:
        """Take note of where reading begins, or begins anew after the log lost the place."""

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Checkpoint or drop what was read from *partitions*; they are someone else's afterwards.

        It runs on the client's network thread, which sends no heartbeats meanwhile and
        cannot answer questions: of the source only `commit` may be called. It is called
        again if it raises, and for partitions that were assigned but never started.
        """


class Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Holds assigned partitions back until their start is known, and keeps the listener's failure.

    The client calls it on its network thread while the owner waits in `poll` or `close`.
    """

    def __init__(self, consumer: KafkaConsumer, listener: AssignmentListener, order: TimeOrder) -> None:
        self.pending: set[KafkaPartition] = set()
        self._order = order
        self._consumer = consumer
        self._listener = listener
        self._failure: Exception | None = None

    def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        for partition in assigned:
            self._consumer.pause(partition)
            self._consumer.seek(partition, 0)  # any place: without one the client looks for a committed offset
            self._order.drop([tuple(partition)])
            self.pending.add(partition)

    def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        partitions = sorted(revoked)
        if not partitions:
            return
        try:
            self._listener.on_revoked([tuple(partition) for partition in partitions])
        except Exception as failure:
            self._failure = failure
            raise
        self._order.drop(tuple(partition) for partition in partitions)
        self.pending.difference_update(partitions)

    def take_failure(self) -> Exception | None:
        """Return what the listener raised: the client wraps it in an error of its own."""
        failure, self._failure = self._failure, None
        return failure
