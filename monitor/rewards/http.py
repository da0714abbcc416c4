"""Reward models behind HTTP: `serve-rewards` or vLLM, asked by `POST /classify`."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from random import Random
from typing import Any, Literal

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.errors import Unavailable
from monitor.rewards.classify import OWNER
from monitor.rewards.ensemble import combine_complete
from monitor.rewards.rendering import render_lines, turns_of
from monitor.runs.artifact import short_version

Row = tuple[Sequence[Message], str]  # a prompt and the response to it
PROBE: Row = ((Message("user", "How do I boil an egg?"),), "Ten minutes in hot water.")
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0
SILENT, UNFIT = "the reward models do not answer", "the reward models do not answer as they should"  # for everybody
_PASSING = frozenset({408, 425, 429})
_REFUSED = frozenset({400, 413, 422, 500})  # vLLM answers 500 where a row's score is not a number

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and the model on it; None where it serves but one. An ensemble stands for all its members."""

    url: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class HttpLimits:
    timeout_seconds: float  # for one request
    attempts: int  # of one request, and of one batch while the models behind the endpoints change
    concurrency: int  # requests at once
    rows_per_request: int  # in the text form; a conversation is a request of its own
    max_tokens: int  # of prompt and response, or the model's own limit where that is lower


@dataclass(frozen=True, slots=True)
class Member:
    """One reward model as its server names it."""

    url: str
    model: str
    root: str | None  # of `serve-rewards` the content's hash, of vLLM the model's path
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Served:
    version: str
    members: tuple[Member, ...]


class _Card(msgspec.Struct, frozen=True):
    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None
    owned_by: str | None = None


class _Cards(msgspec.Struct, frozen=True):
    data: list[_Card]


class _Score(msgspec.Struct, frozen=True):
    index: int
    probs: list[float | None]


class _Scores(msgspec.Struct, frozen=True):
    data: list[_Score]


class _Replaced(Exception):
    """A server does not know the model it listed a moment ago."""


class _RowsRefused(Exception):
    """A server answers, and not with scores for these rows."""


class HttpEnsemble:
    """Reward models on other machines that judge the same rows.

    *form* "messages" sends each row as a conversation, which the server renders
    by its own chat template; "text" sends what `render_lines` writes, many rows
    a request. `failures` counts, by reason, the scores that could not be had:
    `refused`, `not_finite`. `score` is for one thread, `discover` for any.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        form: Literal["messages", "text"],
        beta: float,
        limits: HttpLimits,
        random: Random,
        api_key: str | None = None,
    ) -> None:
        self.failures: Counter[str] = Counter()
        self._endpoints = tuple(endpoints)
        self._form = form
        self._beta = beta
        self._limits = limits
        self._random = random
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(limits.concurrency, thread_name_prefix="rewards-http")
        self._client = httpx.Client(
            timeout=limits.timeout_seconds,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            limits=httpx.Limits(
                max_connections=limits.concurrency + 1, max_keepalive_connections=limits.concurrency + 1
            ),
        )

    def close(self) -> None:
        """Give up what is asked for and not sent; ends within the time of one request."""
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def discover(self) -> Served:
        """Ask every endpoint what it serves; raises `Unavailable`.

        The version is of all members' names, roots and lengths, in order, and of
        the form they are asked in: where the servers are is no part of it.
        """
        members: list[Member] = []
        limit = self._limits.max_tokens
        for endpoint in self._endpoints:
            url = f"{endpoint.url}/v1/models"
            response = self._send(endpoint.url, partial(self._client.get, url))
            if response.status_code != 200:
                raise Unavailable(f"{url}: HTTP {response.status_code} in place of a list of models", plain=UNFIT)
            try:
                cards = msgspec.json.decode(response.content, type=_Cards).data
            except msgspec.MsgspecError:
                raise Unavailable(f"{url}: this is not a list of models as vLLM answers it", plain=UNFIT) from None
            members += [
                Member(endpoint.url, card.id, card.root, min(limit, card.max_model_len or limit))
                for card in select_cards(cards, endpoint)
            ]
        identity = [self._form, *([member.model, member.root, member.max_tokens] for member in members)]
        version = short_version(sha256(json.dumps(identity).encode()).hexdigest())
        return Served(version, tuple(members))

    def score(self, rows: Sequence[Row]) -> list[Reward | None]:
        """Score each row by every member; None where a member could not.

        All scores of a call are of the same models: where one was replaced
        meanwhile, the rows are scored again. Raises `Unavailable` where a member
        is away, since the others' mean would be another scorer's value.
        """
        if not rows:
            return []
        if self._closed.is_set():
            raise Unavailable("the client of the reward models is closed")
        for _ in range(self._limits.attempts):
            served = self.discover()
            try:
                scores, failures = self._score_by(served.members, rows)
            except _Replaced:
                continue
            if self.discover() == served:
                for (model, reason), count in failures.items():
                    self.failures[reason] += count
                    _log.warning("%d rows have no score from %s: %s", count, model, reason)
                names = [member.model for member in served.members]
                return combine_complete(scores, members=names, scorer_version=served.version, beta=self._beta)
        raise Unavailable("the reward models were replaced while they scored, or have no /classify", plain=UNFIT)

    def _score_by(
        self, members: Sequence[Member], rows: Sequence[Row]
    ) -> tuple[NDArray[np.float64], Counter[tuple[str, str]]]:
        size = self._limits.rows_per_request if self._form == "text" else 1
        starts = range(0, len(rows), size)
        tasks = [(number, start) for start in starts for number in range(len(members))]
        answers = self._pool.map(lambda task: self._score_rows(members[task[0]], rows[task[1] : task[1] + size]), tasks)
        scores = np.full((len(members), len(rows)), np.nan)
        failures: Counter[tuple[str, str]] = Counter()
        for (number, start), answer in zip(tasks, answers, strict=True):
            for place, value in enumerate(answer):
                if isinstance(value, str):
                    failures[members[number].model, value] += 1
                else:
                    scores[number, start + place] = value
        return scores, failures

    def _score_rows(self, member: Member, rows: Sequence[Row]) -> list[float | str]:
        """Return each row's score or the reason why there is none; a row that is refused is found by halving."""
        try:
            values = self._classify(member, rows)
        except _RowsRefused:
            self._require_probe(member)
            if len(rows) == 1:
                return ["refused"]
            middle = len(rows) // 2
            return self._score_rows(member, rows[:middle]) + self._score_rows(member, rows[middle:])
        return [value if value is not None and math.isfinite(value) else "not_finite" for value in values]

    def _require_probe(self, member: Member) -> None:
        """Rows are at fault only while the member scores a harmless one; raises `Unavailable` where it does not."""
        try:
            self._classify(member, [PROBE])
        except _RowsRefused as refused:
            reason = f"{member.url}: {member.model} refuses even a harmless conversation in the form {self._form!r}"
            raise Unavailable(f"{reason}: {refused}", plain=UNFIT) from None

    def _classify(self, member: Member, rows: Sequence[Row]) -> list[float | None]:
        options = {"model": member.model, "use_activation": False, "truncate_prompt_tokens": member.max_tokens}
        conversations = [turns_of(messages, response) for messages, response in rows]
        prompts: dict[str, Any] = (
            {"messages": conversations[0]}
            if self._form == "messages"
            else {"input": [render_lines(turns) for turns in conversations]}
        )
        content = json.dumps(prompts | options)  # ASCII: a lone surrogate is the server's to refuse
        ask = partial(
            self._client.post,
            f"{member.url}/classify",
            content=content.encode(),
            headers={"Content-Type": "application/json"},
        )
        return _read_scores(member, self._send(member.url, ask), len(rows))

    def _send(self, url: str, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """Return the first answer that another attempt would not change; raises `Unavailable` after the last attempt.

        An HTTP 500 at every attempt is returned: whether the server or the rows are at fault is for the caller to say.
        """
        trouble = "closed"
        for attempt in range(self._limits.attempts):
            pause = self._random.uniform(0.0, min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS))
            if self._closed.wait(pause if attempt else 0.0):
                break
            try:
                response = ask()
            except httpx.RequestError as error:
                trouble = type(error).__name__
                continue
            status, last = response.status_code, attempt + 1 == self._limits.attempts
            if (status < 500 and status not in _PASSING) or (status == 500 and last):
                return response
            trouble = f"HTTP {status}"
        raise Unavailable(f"reward model at {url}: {trouble}", plain=SILENT)


class HttpScorer:
    """The ensemble behind HTTP in the place of a champion: which models it is, its servers decide."""

    def __init__(self, ensemble: HttpEnsemble) -> None:
        self._ensemble = ensemble
        self._version: str | None = None

    def current(self) -> HttpEnsemble:
        return self._ensemble

    def version(self) -> str | None:
        """Return the version that was served when the servers were asked last."""
        return self._version

    def follow(self) -> str | None:
        """Tell in the log when other models are served; return why none can be asked, if so."""
        try:
            served = self._ensemble.discover()
        except Unavailable as reason:
            return str(reason)
        if served.version != self._version:
            self._version = served.version
            _log.info("rewards of %s by %s", served.version, ", ".join(member.model for member in served.members))
        return None

    def close(self) -> None:
        self._ensemble.close()


def select_cards(cards: Sequence[_Card], endpoint: Endpoint) -> list[_Card]:
    """Return the models that *endpoint* means; raises `Unavailable` where it means none, or one of several."""
    roots = [card for card in cards if card.parent is None]
    named = [card for card in cards if card.id == endpoint.model] if endpoint.model else roots
    if len(named) != 1:
        advice = f"not {endpoint.model!r}" if endpoint.model else "say which one in rewards.endpoints"
        served = ", ".join(card.id for card in cards) or "nothing"
        raise Unavailable(f"{endpoint.url} serves {served}: {advice}", plain=UNFIT)
    if named[0].owned_by != OWNER:  # vLLM lists adapters below their base model, which is no ensemble of them
        return named
    return [card for card in cards if card.parent == named[0].id] or named


def _read_scores(member: Member, response: httpx.Response, rows: int) -> list[float | None]:
    if response.status_code == 404:
        raise _Replaced
    if response.status_code in _REFUSED:
        raise _RowsRefused(f"HTTP {response.status_code}")
    if response.status_code != 200:
        raise Unavailable(f"{member.url}/classify: HTTP {response.status_code} in place of scores", plain=UNFIT)
    wrong = Unavailable(f"{member.url}/classify: {member.model} does not answer each row with one score", plain=UNFIT)
    try:
        data = msgspec.json.decode(response.content, type=_Scores).data
    except msgspec.MsgspecError:
        raise wrong from None
    data.sort(key=lambda score: score.index)
    if [score.index for score in data] != list(range(rows)) or any(len(score.probs) != 1 for score in data):
        raise wrong
    return [score.probs[0] for score in data]
