"""Plays generated records into Kafka at a steady pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from kafka import KafkaProducer
from kafka.errors import KafkaError

from monitor.errors import Unavailable


class Player:
    """One producer; `play` blocks, `trickle` goes on in the background until the next of either, or `close`."""

    def __init__(self, bootstrap_servers: str, api_version: tuple[int, int]) -> None:
        self._producer = KafkaProducer(bootstrap_servers=bootstrap_servers, api_version=api_version, linger_ms=20)
        self._stop = threading.Event()
        self._turn = threading.Event()  # set: what trickles now comes to its end
        self._thread: threading.Thread | None = None

    def play(
        self,
        topic: str,
        records: Iterable[bytes],
        *,
        per_second: float,
        until: Callable[[], bool] = lambda: False,
        played: Callable[[int], None] = lambda _count: None,
    ) -> int:
        """Send *records* until they end or *until* says so; return how many were sent, all of them durable."""
        self._end_trickle()
        return self._send(topic, records, per_second=per_second, until=until, played=played)

    def trickle(self, topic: str, records: Iterable[bytes], *, per_second: float) -> None:
        """Go on playing in a thread, so that what is watched stays alive."""
        self._end_trickle()
        turn = self._turn = threading.Event()

        def go_on() -> None:
            with suppress(Unavailable):  # the broker ends with the demo
                self._send(topic, records, per_second=per_second, until=turn.is_set)

        self._thread = threading.Thread(target=go_on, name="traffic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._end_trickle()
        self._producer.close(timeout=5)

    def _send(
        self,
        topic: str,
        records: Iterable[bytes],
        *,
        per_second: float,
        until: Callable[[], bool],
        played: Callable[[int], None] = lambda _count: None,
    ) -> int:
        started, sent = time.monotonic(), 0
        for record in records:
            if self._stop.is_set() or (sent % 20 == 0 and until()):
                break
            self._producer.send(topic, record)
            sent += 1
            played(sent)
            ahead = started + sent / per_second - time.monotonic()
            if ahead > 0:
                self._stop.wait(ahead)
        try:
            self._producer.flush(timeout=30)
        except KafkaError as error:
            raise Unavailable(f"the demo's broker did not take the traffic: {error}") from error
        return sent

    def _end_trickle(self) -> None:
        self._turn.set()
        if self._thread is not None:
            self._thread.join(5.0)
