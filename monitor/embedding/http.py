"""Embeddings behind HTTP: any server that answers `POST /v1/embeddings` as OpenAI's does."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import numpy as np

from monitor.embedding.projection import Projection
from monitor.errors import Unavailable
from monitor.observe.embedding import Embedded, Prompt, texts_of
from monitor.settings.embedding import EmbeddingSettings

CHARACTERS_PER_TOKEN = 4
LEAST_CHARACTERS = 64  # a prompt that is refused is asked for at half its length, down to this
PAUSE_SECONDS = 30.0  # in which a server that failed is not asked again
ATTEMPTS = 2  # of a request: a connection that was kept open may be gone
GRACE_SECONDS = 1.0  # past its time an answer that still trickles in is given up
PROBE = "How do I boil an egg?"
_REFUSED = frozenset({400, 413, 422})

_log = logging.getLogger(__name__)


class _Row(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class _Rows(msgspec.Struct, frozen=True):
    data: list[_Row]


class HttpEmbedder:
    """Embeds prompts by a server; while it is away, prompts have no embedding. For one thread at a time."""

    def __init__(
        self,
        settings: EmbeddingSettings,
        *,
        on_missing: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert settings.url is not None
        self._settings = settings
        self._url = f"{settings.url.rstrip('/')}/v1/embeddings"
        self._on_missing = on_missing
        self._clock = clock
        self._ask_again = 0.0
        self._projection: Projection | None = None  # known from the first answer on
        key = settings.api_key
        headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        limits = httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency)
        self._client = httpx.Client(limits=limits, headers=headers)
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="embedding")

    def close(self) -> None:
        self._pool.shutdown()
        self._client.close()

    def embed(self, prompts: Sequence[Prompt | None]) -> Embedded | None:
        found: dict[int, list[float]] = {}
        asked = texts_of(prompts)
        if asked and self._clock() >= self._ask_again:
            try:
                self._ask(asked, found)
            except Unavailable as reason:
                self._ask_again = self._clock() + PAUSE_SECONDS
                _log.warning("prompts have no embedding for the next %.0f seconds: %s", PAUSE_SECONDS, reason)
        if len(found) < len(asked):
            self._on_missing(len(asked) - len(found))
        if self._projection is None:
            return None
        vectors = np.full((len(prompts), self._projection.width), np.nan, np.float32)
        for index, vector in found.items():
            vectors[index] = vector
        version = f"{self._settings.model}/{self._settings.max_tokens}/{self._projection.version}"
        return Embedded(version, self._projection.apply(vectors))

    def _ask(self, asked: Mapping[int, str], found: dict[int, list[float]]) -> None:
        """Fill in what the server finds; raises `Unavailable` once the batch's time is over, or the server is away."""
        deadline = self._clock() + self._settings.timeout_seconds
        size, characters = self._settings.rows_per_request, CHARACTERS_PER_TOKEN * self._settings.max_tokens
        places = list(asked)
        parts = [places[start : start + size] for start in range(0, len(places), size)]
        tasks = [
            self._pool.submit(self._vectors, [asked[index][:characters] for index in part], deadline) for part in parts
        ]
        trouble: Unavailable | None = None
        for part, task in zip(parts, tasks, strict=True):
            if trouble is not None and task.cancel():
                continue
            try:
                answer = task.result(timeout=max(deadline - self._clock(), 0.0) + GRACE_SECONDS)
            except (Unavailable, TimeoutError) as reason:
                trouble = trouble or (reason if isinstance(reason, Unavailable) else Unavailable(f"{self._url} hangs"))
                continue
            found |= {index: vector for index, vector in zip(part, answer, strict=True) if vector is not None}
        widths = {len(vector) for vector in found.values()}
        if self._projection is not None:
            widths.add(self._projection.width)
        if len(widths) > 1:
            found.clear()
            self._projection = None  # another model is served: what it answers next is another version
            raise Unavailable(f"{self._url} answers vectors of {' and '.join(map(str, sorted(widths)))} numbers")
        if found and self._projection is None:
            self._projection = Projection(widths.pop(), self._settings.dimensions)
        if trouble is not None:
            raise trouble

    def _vectors(self, texts: Sequence[str], deadline: float) -> list[list[float] | None]:
        """Return each text's vector; None for one that is refused, in full and cut, while others are answered."""
        answer = self._post(texts, deadline)
        if answer is not None:
            return list(answer)
        if self._post([PROBE], deadline) is None:
            raise Unavailable(f"{self._url} refuses even a harmless prompt for the model {self._settings.model!r}")
        if len(texts) > 1:
            middle = len(texts) // 2
            return self._vectors(texts[:middle], deadline) + self._vectors(texts[middle:], deadline)
        half = len(texts[0]) // 2
        return [None] if half < LEAST_CHARACTERS else self._vectors([texts[0][:half]], deadline)

    def _post(self, texts: Sequence[str], deadline: float) -> list[list[float]] | None:
        """Return the texts' vectors, None where the server refuses them; raises `Unavailable`."""
        sound = [text.encode("utf-8", "replace").decode() for text in texts]
        content = json.dumps({"model": self._settings.model, "input": sound, "encoding_format": "float"}).encode()
        trouble = "no time left"
        for _ in range(ATTEMPTS):
            left = deadline - self._clock()
            if left <= 0:
                break
            try:
                headers = {"Content-Type": "application/json"}
                response = self._client.post(self._url, content=content, headers=headers, timeout=left)
            except httpx.RequestError as error:
                trouble = type(error).__name__
                continue
            if response.status_code in _REFUSED:
                return None
            if response.status_code == 200:
                return read_vectors(response.content, len(texts), self._url)
            trouble = f"HTTP {response.status_code}"
        raise Unavailable(f"{self._url}: {trouble}")


def read_vectors(content: bytes, rows: int, url: str) -> list[list[float]]:
    """Return the vectors in the order of the texts; raises `Unavailable` where they are not one for each."""
    try:
        data = sorted(msgspec.json.decode(content, type=_Rows).data, key=lambda row: row.index)
    except msgspec.MsgspecError:
        data = []
    if [row.index for row in data] != list(range(rows)) or not all(row.embedding for row in data):
        raise Unavailable(f"{url} does not answer each prompt with one vector")
    return [row.embedding for row in data]
