"""Answers of a policy by an OpenAI-compatible server that has loaded it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from monitor.domain.reference import AnswerOutcome, ReferenceAnswer
from monitor.errors import InvalidInput
from monitor.reference.http import HttpReference, ReferenceEndpoint
from monitor.runs.policy import AnsweringServer
from retrain.generate import Answer, Decoding, Prompt, Unanswered

TRIES = 4  # of one prompt, where the server is busy or breaks
PAUSES = (0.5, 2.0, 8.0)  # seconds between them, unless the server asks for others
LONGEST_PAUSE = 60.0
MOST_FAILED = 0.1  # of the prompts; a server that fails more often is not asked any further
_AGAIN = frozenset({AnswerOutcome.UNAVAILABLE, AnswerOutcome.FAILED, AnswerOutcome.TIMED_OUT, AnswerOutcome.GARBLED})


class ServedPolicy:
    """Asks several prompts at once. A request that fails again and again leaves its prompt unanswered."""

    def __init__(
        self,
        server: AnsweringServer,
        *,
        concurrency: int,
        timeout_seconds: float,
        environment: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raise `InvalidInput` where the environment lacks the key's variable."""
        variable = server.api_key_variable
        if variable is not None and not environment.get(variable):
            raise InvalidInput(
                f"{server.url}: the environment variable {variable} is not set; it holds the server's key"
            )
        self._server = server
        self._key = environment[variable] if variable is not None else None
        self._concurrency = concurrency
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep

    def answer(
        self, prompts: Sequence[Prompt], decoding: Decoding, heard: Callable[[int], None] = lambda _done: None
    ) -> list[Answer | Unanswered]:
        """Return each prompt's answer, in order; *heard* is told how many are done.

        After more than a tenth of them has failed the rest is not asked.
        """
        endpoint = ReferenceEndpoint(
            url=self._server.url,
            model=self._server.model,
            temperature=decoding.temperature,
            max_tokens=decoding.max_new_tokens,
            timeout_seconds=self._timeout_seconds,
            concurrency=self._concurrency,
            api_key=self._key,
            setting="retrain.policy, under the server's url",
        )
        policy = HttpReference(endpoint)
        lock = threading.Lock()
        done = failed = 0

        def ask(prompt: Prompt) -> Answer | Unanswered:
            nonlocal done, failed
            if failed > MOST_FAILED * len(prompts):
                return Unanswered("not asked: too many requests before it failed")
            answer = self._insist(policy, prompt)
            with lock:
                done += 1
                failed += isinstance(answer, Unanswered)
                heard(done)
            return answer

        try:
            with ThreadPoolExecutor(self._concurrency) as threads:
                return list(threads.map(ask, prompts))
        finally:
            policy.close()

    def _insist(self, policy: HttpReference, prompt: Prompt) -> Answer | Unanswered:
        for pause in (*PAUSES[: TRIES - 1], None):
            found = policy.ask(prompt)
            if found.text is not None:
                return Answer(found.text, cut=found.outcome is AnswerOutcome.CUT)
            if found.outcome not in _AGAIN or pause is None:
                break
            asked = found.retry_after_seconds
            self._sleep(min(pause if asked is None else asked, LONGEST_PAUSE))
        return _unanswered(found)


def _unanswered(found: ReferenceAnswer) -> Unanswered:
    return Unanswered(f"{found.outcome}: {found.detail}" if found.detail else str(found.outcome))
