"""Reading refusals in a process of its own, beside the interpreter whose lock all else takes turns on.

It is a third of what a trace costs, and needs nothing of the rest. Where the other process is not there, or not yet,
answers are read here, with the same result.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path

import structlog

from monitor.signals.refusal.learned import LearnedRefusal, Pairs, Probabilities

LEAST = 100  # answers for which it is worth asking
ANSWER_SECONDS = 20.0  # less than what a batch may take
PAUSE_SECONDS = 60.0  # before another process takes the place of one that has ended
_ENDED = (OSError, EOFError, pickle.UnpicklingError, CancelledError)  # it was killed, or hangs
log = structlog.get_logger(__name__)


class ReaderProcess:
    """Has large batches read by another process, which the first of them starts; for many threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reader: _Reader | None = None
        self._not_before = 0.0

    def begin(self, model: LearnedRefusal, pairs: Pairs) -> Callable[[], Probabilities | None] | None:
        """Begin to read prompts and answers as *model* does; None where they have to be read here.

        What is returned waits for the probabilities, and returns None where they do not come.
        """
        if len(pairs) < LEAST:
            return None
        with self._lock:
            reader = self._reader_of(model)
            asked = None if reader is None else reader.ask(pairs)
        if reader is None or asked is None:
            return None
        return partial(self._collect, reader, asked)

    def close(self) -> None:
        """End the other process; nothing is begun after it."""
        with self._lock:
            self._not_before = inf
            self._leave()

    def _reader_of(self, model: LearnedRefusal) -> _Reader | None:
        if self._reader is not None and self._reader.version != model.version:
            self._leave()
        if self._reader is None and self._clock() >= self._not_before:
            try:
                self._reader = _Reader(model.path, model.version)
            except OSError as error:
                self._fail(error)
        return self._reader

    def _collect(self, reader: _Reader, asked: Future[Probabilities]) -> Probabilities | None:
        try:
            return asked.result(ANSWER_SECONDS)
        except _ENDED as error:
            with self._lock:
                if self._reader is reader:
                    self._fail(error)
            return None

    def _fail(self, error: BaseException) -> None:
        self._leave()
        self._not_before = max(self._not_before, self._clock() + PAUSE_SECONDS)
        log.warning("refusal_reader_ended", reason=repr(error), hint="batches are read without it meanwhile")

    def _leave(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class _Reader:
    """One other process, and the thread that talks with it. Its own end, or this process's, ends both."""

    def __init__(self, file: Path, version: str) -> None:
        self.version = version
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(file), version],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refusals")
        self._ready = self._thread.submit(self._receive)

    def ask(self, pairs: Pairs) -> Future[Probabilities] | None:
        """Have *pairs* read; None while the process starts."""
        return self._thread.submit(self._exchange, pairs) if self._ready.done() else None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.shutdown(cancel_futures=True)  # whose reading and writing fail now
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # of what was not written any more
                assert pipe is not None
                pipe.close()

    def _exchange(self, pairs: Pairs) -> Probabilities:
        assert self._process.stdin is not None
        self._process.stdin.write(pickle.dumps(pairs))
        self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> Probabilities:
        assert self._process.stdout is not None
        found: Probabilities = pickle.load(self._process.stdout)  # noqa: S301 - of a process of our own
        return found


def main(file: str, version: str) -> int:
    """Answer what comes on standard input, after a first empty answer, until it ends: who asks may be killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, to all its processes: who asks still drains
    asked, told = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # where anything that is printed belongs
    model = LearnedRefusal(Path(file))
    if model.version != version:
        return 1
    found: Probabilities = []
    try:
        while True:
            pickle.dump(found, told)
            told.flush()
            found = model.probabilities(pickle.load(asked))  # noqa: S301 - of the process that started this one
    except (EOFError, BrokenPipeError):
        return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
