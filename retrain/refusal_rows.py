"""Labelled answers from files: who asked what, what was answered, and whether that refuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from monitor.errors import InvalidInput
from monitor.runs.artifact import file_sha256
from retrain.near_duplicate import normalise

TEACHING = "authored"  # a source written to teach: always trained on, and nothing is judged or calibrated by it
LEAST_OF_EACH = 20  # answers that refuse, and that do not


class LabelledAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer and what people, or a named rule, say of it."""

    prompt: str
    answer: str
    refusal: Literal["none", "partial", "full"]
    source: str  # who labelled it, by which rules: sources are left out as a whole
    model: str  # that answered
    language: str = "en"

    @property
    def refuses(self) -> bool:
        return self.refusal != "none"


@dataclass(frozen=True, slots=True)
class LabelledFile:
    rows: tuple[LabelledAnswer, ...]
    hashes: dict[str, str]  # SHA-256 of each file, by its name


def read_labelled(paths: Sequence[Path]) -> LabelledFile:
    """Return the answers in JSONL files; raises `InvalidInput` with the file and the line that is wrong."""
    decoder = msgspec.json.Decoder(LabelledAnswer)
    rows: list[LabelledAnswer] = []
    for path in paths:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise InvalidInput(f"{path}: {error.strerror}") from None
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(decoder.decode(line))
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"{path}:{number}: {error}") from None
    refusing = sum(row.refuses for row in rows)
    if min(refusing, len(rows) - refusing) < LEAST_OF_EACH:
        raise InvalidInput(
            f"{refusing} answers refuse and {len(rows) - refusing} do not; at least {LEAST_OF_EACH} of each are needed"
        )
    return LabelledFile(tuple(rows), {path.name: file_sha256(path) for path in paths})


def groups_of(rows: Sequence[LabelledAnswer], folds: int = 5) -> list[str]:
    """Return the group of each row that is left out together: its source, or a share of the prompts where there is one.

    The same prompt is in the same group then, however it is spaced and cased. Rows that teach alone have no group: "".
    """
    if len({row.source for row in rows} - {TEACHING}) > 1:
        return ["" if row.source == TEACHING else row.source for row in rows]
    return ["" if row.source == TEACHING else f"prompts {number_of(row.prompt) % folds}" for row in rows]


def number_of(prompt: str, *, seed: int | None = None) -> int:
    """Return a number of 64 bits that prompts share which differ in spaces and case alone."""
    key = b"" if seed is None else str(seed).encode()
    told = blake2b(normalise(prompt).encode("utf-8", "surrogatepass"), digest_size=8, key=key)
    return int.from_bytes(told.digest(), "little")


def is_held_out(row: LabelledAnswer, *, ratio: float, seed: int) -> bool:
    """Say whether an answer judges and does not teach: so are all to one prompt."""
    return number_of(row.prompt, seed=seed) < ratio * 2**64


def counts_of(rows: Iterable[LabelledAnswer]) -> dict[str, dict[str, int]]:
    """Return how many answers of each label every source has."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        own = found.setdefault(row.source, {"none": 0, "partial": 0, "full": 0})
        own[row.refusal] += 1
    return found
