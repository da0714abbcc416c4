"""An ensemble of heads on one backbone, as it lies on disk.

The folder holds `ensemble.json` (a `HeadsForm`), the `backbone` as Transformers saves it with its tokenizer, and
`heads.safetensors` with `weight` (outputs, features) and `bias` (outputs).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monitor.errors import InvalidInput
from monitor.runs.file import read_file, write_file

FORM_FILE, BACKBONE_FOLDER, WEIGHTS_FILE = "ensemble.json", "backbone", "heads.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsForm:
    """What the heads read of a row, and what each of them is.

    A row's features are the mean states of each of `layers`, over the tokens of the answer, side by side, and last
    log(1 + their number). The answer begins after the last `answer_mark`; of a row without one, all tokens are read.
    The first `members` outputs are the ensemble's members, the others the `dimensions` in their order: told apart, and
    no part of the mean.
    """

    members: int
    layers: tuple[int, ...]  # 0 is what the first layer reads, n what the nth leaves
    answer_mark: tuple[int, ...]  # token ids, empty: whole rows are read
    dimensions: tuple[str, ...] = ()
    form: Literal["heads-1"] = "heads-1"

    @property
    def outputs(self) -> int:
        return self.members + len(self.dimensions)


def is_heads(folder: Path) -> bool:
    return (folder / FORM_FILE).is_file()


def read_form(folder: Path) -> HeadsForm:
    """Read the form in *folder*; raise `InvalidInput` where it is none."""
    form = read_file(folder / FORM_FILE, HeadsForm)
    if form.members < 1 or not form.layers or min(form.layers) < 0:
        raise InvalidInput(
            f"{folder / FORM_FILE}: members = {form.members}, layers = {form.layers}; wanted one or more of both"
        )
    return form


def write_form(folder: Path, form: HeadsForm) -> None:
    write_file(folder / FORM_FILE, form)


def backbone_of(ensemble: Path) -> Path:
    """Return the model that a new one may be tuned from: the heads' backbone, or the first member."""
    return ensemble / (BACKBONE_FOLDER if is_heads(ensemble) else "member-0")


def answer_start(row: Sequence[int], mark: Sequence[int]) -> int:
    """Return where the answer begins in a row of token ids: after the last *mark*, or at 0 where there is none.

    >>> answer_start([7, 1, 2, 8, 1, 2, 9], (1, 2)), answer_start([7, 8], (1, 2)), answer_start([1, 2], (1, 2))
    (6, 0, 0)
    """
    width = len(mark)
    if not width:
        return 0
    for start in range(len(row) - width, -1, -1):
        if row[start] == mark[0] and tuple(row[start : start + width]) == tuple(mark):
            return start + width if start + width < len(row) else 0
    return 0


def parse_layers(text: str, depth: int) -> tuple[int, ...]:
    """Return the layers that a recipe names: `auto`, or numbers such as `3,4,5`, of a backbone with *depth* layers.

    `auto` takes a half, two thirds and five sixths of the way up: words are understood there, and the last layers are
    given to what the backbone was trained to tell.

    >>> parse_layers("auto", 30), parse_layers("auto", 1), parse_layers("2,1", 4)
    ((15, 20, 25), (1,), (1, 2))
    """
    if text == "auto":
        return tuple(sorted({max(1, round(depth * share)) for share in (1 / 2, 2 / 3, 5 / 6)}))
    if not re.fullmatch(r"\d+(,\d+)*", text) or max(map(int, text.split(","))) > depth:
        raise InvalidInput(f"recipe.layers = {text!r}; wanted auto, or numbers from 0 to {depth} with commas")
    return tuple(sorted({int(number) for number in text.split(",")}))
