"""One thread that scores whatever requests wait, together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from monitor.errors import Unavailable
from monitor.rewards.served import EncodedRequest, ServedEnsemble
from monitor.telemetry.health import Health
from monitor.telemetry.serving import ServingMetrics

PART = "scoring"
BATCHES_AT_ONCE = 4  # forward passes' worth of tokens taken together, so that rows of like length meet
Scores = NDArray[np.float64]


class ScoringThread:
    """Answers requests in their order, as many at once as wait.

    Nothing waits for a batch to fill: while one is scored, the next gathers. A
    failure is recorded on *health* as part "scoring" and answers everything
    that waits or comes with `Unavailable`; the process must end then.
    """

    def __init__(self, served: ServedEnsemble, *, health: Health, metrics: ServingMetrics) -> None:
        self._served = served
        self._health = health
        self._metrics = metrics
        self._waiting: deque[tuple[EncodedRequest, Future[Scores]]] = deque()
        self._taken: list[tuple[EncodedRequest, Future[Scores]]] = []
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=PART, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._health.set_ready(PART)

    def stop(self) -> None:
        """Refuse what waits and end after the batch in work."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def submit(self, request: EncodedRequest) -> Future[Scores]:
        """Return the scores to come, of shape (members, rows); raises `Unavailable` once the thread has ended."""
        future: Future[Scores] = Future()
        with self._change:
            if self._closed:
                raise Unavailable("the scoring thread has ended")
            self._waiting.append((request, future))
            self._change.notify()
        return future

    def _run(self) -> None:
        with self._health.guard(PART):
            try:
                while self._take():
                    self._score_taken()
            finally:
                self._refuse_all()

    def _take(self) -> bool:
        """Wait for requests and take the first ones; False when the time to end has come."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            tokens = 0
            while self._waiting and not self._closed and tokens < BATCHES_AT_ONCE * self._served.batch_tokens:
                request, future = self._waiting.popleft()
                if future.set_running_or_notify_cancel():  # not if who asked is gone
                    self._taken.append((request, future))
                    tokens += request.token_count
            return not self._closed

    def _score_taken(self) -> None:
        requests = [request for request, _ in self._taken]
        if not requests:  # all who asked were gone
            return
        answers = score_together(self._served, requests)
        rows, tokens = sum(request.rows for request in requests), sum(request.token_count for request in requests)
        self._metrics.observe_batch(rows=rows, tokens=tokens)
        self._metrics.show_failures(self._served.failures)
        for (_, future), scores in zip(self._taken, answers, strict=True):
            future.set_result(scores)
        self._taken = []

    def _refuse_all(self) -> None:
        with self._change:
            self._closed = True
            waiting = [future for _, future in self._waiting if future.set_running_or_notify_cancel()]
            self._waiting.clear()
        for future in [*waiting, *(future for _, future in self._taken)]:
            future.set_exception(Unavailable("the scoring thread has ended"))


def score_together(served: ServedEnsemble, requests: Sequence[EncodedRequest]) -> list[Scores]:
    """Score the rows of all requests at once, in each pass that one of them asks for; NaN where a member could not."""
    answers: list[dict[int, NDArray[np.float64]]] = [{} for _ in requests]  # by the member's number
    for number, members in enumerate(served.passes):
        asking = [place for place, request in enumerate(requests) if number in request.tokens]
        if not asking:
            continue
        scores = served.score(number, [ids for place in asking for ids in requests[place].tokens[number]])
        ends = np.cumsum([requests[place].rows for place in asking])[:-1]
        for place, part in zip(asking, np.split(scores, ends, axis=1), strict=True):
            answers[place] |= dict(zip(members, part, strict=True))
    return [
        np.stack([found[member] for member in request.model.members])
        for request, found in zip(requests, answers, strict=True)
    ]
