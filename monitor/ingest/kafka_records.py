"""Batches that the client cannot take apart, and what that means."""

from __future__ import annotations

from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """The client's records of one fetch; a failure comes again with every try.

    The client's own are empty after a failure but not at their end, and one poll
    asks them for more without end. What no codec can unpack is a `CorruptRecordError`.
    """

    _failure: KafkaError | None = None

    def take(self, n: int | None = None) -> list[Any]:
        if self._failure is not None:
            raise self._failure
        try:
            taken: list[Any] = super().take(n)
        except KafkaError as failure:
            self._failure = failure
            raise
        except Exception as failure:
            self._failure = CorruptRecordError(f"{type(failure).__name__}: {failure}")
            raise self._failure from failure
        return taken
