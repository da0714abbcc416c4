"""A candidate's scores of the baseline's traces, one JSON object a line."""

from __future__ import annotations

from pathlib import Path

import msgspec

from monitor.errors import InvalidInput


class RescoredTrace(msgspec.Struct, frozen=True):
    """A row of `RunResult.rescored`."""

    index: int
    mean: float
    disagreement: float
    margins: tuple[float, ...] = ()  # of each member over the reference response; empty without one


def read_rescored(path: Path) -> list[RescoredTrace]:
    decoder = msgspec.json.Decoder(RescoredTrace)
    try:
        with path.open("rb") as lines:
            return [decoder.decode(line) for line in lines]
    except (OSError, msgspec.MsgspecError) as error:  # a process on another machine may not see the run's folder
        raise InvalidInput(
            f"the run's scores of the baseline cannot be read: {error}; expected the file it wrote"
        ) from None
