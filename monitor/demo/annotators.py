"""Simulated annotators: they read both answers of what the review queue hands them, and say which is better."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from math import log2
from random import Random
from typing import Protocol

from monitor.demo.preferences import LABEL_NOISE, TASTES, TIE_MARGIN, Era, Taste
from monitor.demo.texts.composer import count_tokens, is_evasion
from monitor.demo.texts.manner import DIGRESSIONS, FILLERS
from monitor.domain.review import Answer, AnswerGiven, Hand, Progress
from monitor.errors import Conflict, Unavailable
from monitor.signals.refusal import is_refusal

HAND = 10
PAUSE_SECONDS = 0.3  # before an empty queue is asked again
READ_SECONDS = 0.005  # an answer; they read faster than people do


class Queue(Protocol):
    def next_items(self, annotator: str, *, limit: int) -> Hand: ...

    def answer(self, annotator: str, given: AnswerGiven) -> Progress: ...


class Annotators:
    """One thread for each of *names*, from `start` to `close`."""

    def __init__(self, queue: Queue, names: Sequence[str], *, seed: int) -> None:
        self._queue = queue
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(name, Random(f"{name}:{seed}")), name=name, daemon=True)
            for name in names
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10.0)

    def _work(self, name: str, rng: Random) -> None:
        while not self._stop.is_set():
            answered = 0
            with suppress(Conflict, Unavailable):  # somebody was faster, or the database is about to end
                answered = self._answer_hand(name, rng)
            if not answered:
                self._stop.wait(PAUSE_SECONDS)

    def _answer_hand(self, name: str, rng: Random) -> int:
        items = self._queue.next_items(name, limit=HAND).items
        for item in items:
            self._queue.answer(name, AnswerGiven(item.item_id, Answer.LABEL, judge(item.answers, rng)))
            if self._stop.wait(READ_SECONDS):
                break
        return len(items)


def judge(answers: Sequence[str], rng: Random) -> float:
    """Return what share of the comparison the first of two *answers* wins: 1, 0, or one half for a tie."""
    first, second = (liking(text, TASTES[Era.NEW]) for text in answers)
    lead = first - second
    if abs(lead) < TIE_MARGIN:
        return 0.5
    return float((lead > 0) != (rng.random() < LABEL_NOISE))


def liking(text: str, taste: Taste) -> float:
    """Return how well an answer is liked by *taste*, as a reader can tell."""
    if is_refusal(text) or is_evasion(text):
        return -taste.answered
    sentences = max(text.count(". ") + text.count("! ") + 1, 1)
    padding, digressions = (sum(text.count(said) for said in known) / sentences for known in (FILLERS, DIGRESSIONS))
    length = taste.length * log2(max(count_tokens(text), 1) / 100)
    return length - taste.on_topic * digressions - taste.unpadded * padding
