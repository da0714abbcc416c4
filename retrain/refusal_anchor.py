"""What a refresh of the refusal model must leave as it is: a third of it holds the fit, the rest judges it.

Ordinary answers are of the human pairs (Apache-2.0, MIT), the half that no shipped weights were trained on, without
those that a pattern takes for a refusal. Nobody labelled them. Authored rows show ways of refusing, and look-alikes.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from retrain.refusal_rows import LabelledAnswer, number_of

FOLDER = Path(__file__).parent / "refusals"
ORDINARY, AUTHORED = FOLDER / "ordinary.jsonl.gz", FOLDER / "authored.jsonl"
HOLDING = 3  # of so many prompts one holds the fit


@cache
def ordinary() -> tuple[LabelledAnswer, ...]:
    return _decoded(gzip.decompress(ORDINARY.read_bytes()))


@cache
def authored() -> tuple[LabelledAnswer, ...]:
    return _decoded(AUTHORED.read_bytes())


def holding() -> list[LabelledAnswer]:
    """Return the answers of which new weights should say what the former ones say."""
    return [row for row in (*ordinary(), *authored()) if _holds(row)]


def judging(rows: Sequence[LabelledAnswer]) -> list[LabelledAnswer]:
    """Return those of *rows* that hold nothing: none has a prompt of one that does."""
    return [row for row in rows if not _holds(row)]


def _holds(row: LabelledAnswer) -> bool:
    return number_of(row.prompt) % HOLDING == 0


def _decoded(content: bytes) -> tuple[LabelledAnswer, ...]:
    decoder = msgspec.json.Decoder(LabelledAnswer)
    return tuple(decoder.decode(line) for line in content.splitlines())
