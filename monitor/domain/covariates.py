"""Covariates: what is known of a subject before its answer, as columns that the log keeps."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidInput

VERSION = "prompt-1"  # names the layout, the sketch's hash and the list of languages: change it with any of them
LANGUAGES = (  # as ISO 639-1 codes; "" where no guess is made
    *("", "en", "es", "fr", "de", "pt", "it", "nl", "pl", "sv", "da", "cs", "ro", "hu", "fi", "tr", "vi", "id", "ru"),
    *("uk", "el", "he", "ar", "fa", "ur", "hi", "bn", "ta", "te", "th", "ko", "ja", "zh"),
)
UNREPORTED = 2**32 - 1  # stands for NaN
_HEAD = struct.Struct("<IIII")  # subjects, ids of the sketch, width of the embedding, bytes of the cohorts' names
_ROW = np.dtype(
    [
        *(("input_tokens", "<u4"), ("prompt_words", "<u4"), ("turns", "<u2"), ("context", "<u2"), ("cohort", "<u2")),
        *(("language", "u1"), ("ids", "u1"), ("observed", "?")),
    ]
)


@dataclass(frozen=True, slots=True)
class Covariates:
    """What is known of n subjects before their answers: columns of length n, in the order of places.

    The log keeps counts up to four billion, turns up to 65,535, and names up to 65,536 cohorts in an entry.
    A sketch holds 255 ids at most.
    """

    sketch: NDArray[np.uint16]  # hashed ids of words and pairs of words, ascending, each once, subject after subject
    sketch_starts: NDArray[np.int64]  # (n + 1,): where each subject's ids begin
    input_tokens: NDArray[np.float64]  # NaN: the producer reported none
    prompt_words: NDArray[np.float64]  # of the last user message; NaN: there is no prompt text
    turns: NDArray[np.int64]  # user messages in the prompt; 0: there is none
    contexts: NDArray[np.uint16]  # hash of the system prompt; 0: there is none
    languages: NDArray[np.uint8]  # into `LANGUAGES`
    cohorts: tuple[str, ...]
    cohort_codes: NDArray[np.int32]  # into `cohorts`
    observed: NDArray[np.bool_]  # False: a repeat, of which nothing is observed
    embedding: NDArray[np.float16] | None = None  # (n, d), a row of NaN where there is none
    embedder: str | None = None  # version of what made the embedding; those of two are never mixed

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def version(self) -> str:
        """What `decode` must be told to read the bytes again."""
        return VERSION if self.embedding is None else f"{VERSION}+{self.embedder}"

    @classmethod
    def unknown(cls, subjects: int) -> Covariates:
        """Return the columns of *subjects* of which nothing is known, and nothing observed."""
        return cls(
            sketch=np.empty(0, np.uint16),
            sketch_starts=np.zeros(subjects + 1, np.int64),
            input_tokens=np.full(subjects, np.nan),
            prompt_words=np.full(subjects, np.nan),
            turns=np.zeros(subjects, np.int64),
            contexts=np.zeros(subjects, np.uint16),
            languages=np.zeros(subjects, np.uint8),
            cohorts=("",),
            cohort_codes=np.zeros(subjects, np.int32),
            observed=np.zeros(subjects, np.bool_),
        )

    @classmethod
    def join(cls, parts: Sequence[Covariates]) -> Covariates:
        """Return *parts* one after another.

        Embeddings stay where they are one embedder's; a part without them has rows of NaN.
        """
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.unknown(0)
        cohorts = tuple(sorted({name for part in parts for name in part.cohorts}))
        code = {name: number for number, name in enumerate(cohorts)}
        codes = [np.array([code[name] for name in part.cohorts], np.int32)[part.cohort_codes] for part in parts]
        sizes = np.concatenate([np.diff(part.sketch_starts) for part in parts])
        embedded = {
            (part.embedder, part.embedding.shape[1]) for part in parts if part.embedding is not None and len(part)
        }
        embedder, width = embedded.pop() if len(embedded) == 1 else (None, 0)
        missing = (np.full((len(part), width), np.nan, np.float16) for part in parts)
        rows = [fill if part.embedding is None else part.embedding for part, fill in zip(parts, missing, strict=True)]
        return cls(
            sketch=np.concatenate([part.sketch for part in parts]),
            sketch_starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            input_tokens=np.concatenate([part.input_tokens for part in parts]),
            prompt_words=np.concatenate([part.prompt_words for part in parts]),
            turns=np.concatenate([part.turns for part in parts]),
            contexts=np.concatenate([part.contexts for part in parts]),
            languages=np.concatenate([part.languages for part in parts]),
            cohorts=cohorts,
            cohort_codes=np.concatenate(codes),
            observed=np.concatenate([part.observed for part in parts]),
            embedding=None if embedder is None else np.concatenate([row for row in rows if len(row)]),
            embedder=embedder,
        )

    def between(self, start: int, stop: int) -> Covariates:
        """Return the subjects start <= index < stop, counted from 0."""
        rows = slice(start, stop)
        starts = self.sketch_starts[start : stop + 1]
        return replace(
            self,
            sketch=self.sketch[starts[0] : starts[-1]],
            sketch_starts=starts - starts[0],
            input_tokens=self.input_tokens[rows],
            prompt_words=self.prompt_words[rows],
            turns=self.turns[rows],
            contexts=self.contexts[rows],
            languages=self.languages[rows],
            cohort_codes=self.cohort_codes[rows],
            observed=self.observed[rows],
            embedding=None if self.embedding is None else self.embedding[rows],
        )

    def take(self, chosen: NDArray[np.int64]) -> Covariates:
        """Return the subjects with the indices *chosen*, in that order."""
        sizes = np.diff(self.sketch_starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        at = np.arange(starts[-1]) + np.repeat(self.sketch_starts[:-1][chosen] - starts[:-1], sizes)
        return replace(
            self,
            sketch=self.sketch[at],
            sketch_starts=starts,
            input_tokens=self.input_tokens[chosen],
            prompt_words=self.prompt_words[chosen],
            turns=self.turns[chosen],
            contexts=self.contexts[chosen],
            languages=self.languages[chosen],
            cohort_codes=self.cohort_codes[chosen],
            observed=self.observed[chosen],
            embedding=None if self.embedding is None else self.embedding[chosen],
        )

    def without_prompts(self, chosen: Sequence[int]) -> Covariates:
        """Return all subjects; of the *chosen* ones nothing is left by which the prompt could be guessed."""
        sizes = np.diff(self.sketch_starts)
        kept = np.ones(len(self), np.bool_)
        kept[list(chosen)] = False
        starts = np.concatenate([[0], np.cumsum(np.where(kept, sizes, 0))]).astype(np.int64)
        embedding = None
        if self.embedding is not None:
            embedding = np.where(kept[:, None], self.embedding, np.float16(np.nan))
        return replace(
            self,
            sketch=self.sketch[np.repeat(kept, sizes)],
            sketch_starts=starts,
            contexts=np.where(kept, self.contexts, 0).astype(np.uint16),
            embedding=embedding,
        )

    def encode(self) -> bytes:
        """Return the columns as bytes: 17 a subject, 2 an id of its sketch or a number of its embedding."""
        names = json.dumps(self.cohorts).encode()
        width = 0 if self.embedding is None else self.embedding.shape[1]
        rows = np.empty(len(self), _ROW)
        rows["input_tokens"] = np.nan_to_num(self.input_tokens, nan=UNREPORTED)
        rows["prompt_words"] = np.nan_to_num(self.prompt_words, nan=UNREPORTED)
        rows["turns"] = np.minimum(self.turns, 2**16 - 1)
        rows["context"] = self.contexts
        rows["cohort"] = self.cohort_codes
        rows["language"] = self.languages
        rows["ids"] = np.diff(self.sketch_starts)
        rows["observed"] = self.observed
        embedding = b"" if self.embedding is None else self.embedding.astype("<f2").tobytes()
        head = _HEAD.pack(len(self), len(self.sketch), width, len(names))
        # Hashes first: PostgreSQL looks at the beginning to see that there is nothing to compress.
        return b"".join((head, self.sketch.astype("<u2").tobytes(), embedding, rows.tobytes(), names))

    @classmethod
    def decode(cls, data: bytes, version: str) -> Covariates:
        """Read what `encode` gave; raises `InvalidInput` where this release does not know *version*."""
        layout, _, embedder = version.partition("+")
        if layout != VERSION:
            raise InvalidInput(
                f"covariates of version {version!r} in the log: this release reads {VERSION!r};"
                " start the release that wrote them, or a later one"
            )
        subjects, ids, width, names = _HEAD.unpack_from(data)
        after_sketch = _HEAD.size + 2 * ids
        after_embedding = after_sketch + 2 * subjects * width
        rows = np.frombuffer(data, _ROW, subjects, after_embedding)
        after_rows = after_embedding + rows.nbytes
        counts = (rows[name].astype(np.float64) for name in ("input_tokens", "prompt_words"))
        input_tokens, prompt_words = (np.where(count == UNREPORTED, np.nan, count) for count in counts)
        numbers = np.frombuffer(data, "<f2", subjects * width, after_sketch)
        return cls(
            sketch=np.frombuffer(data, "<u2", ids, _HEAD.size),
            sketch_starts=np.concatenate([[0], np.cumsum(rows["ids"], dtype=np.int64)]),
            input_tokens=input_tokens,
            prompt_words=prompt_words,
            turns=rows["turns"].astype(np.int64),
            contexts=rows["context"].astype(np.uint16),
            languages=rows["language"].astype(np.uint8),
            cohorts=tuple(json.loads(data[after_rows : after_rows + names])),
            cohort_codes=rows["cohort"].astype(np.int32),
            observed=rows["observed"].astype(np.bool_),
            embedding=numbers.reshape(subjects, width) if embedder else None,
            embedder=embedder or None,
        )
