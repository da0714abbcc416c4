"""What is installed on request alone: `pip install 'rlhf-monitor[gpu]'` and its like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

from monitor.errors import InvalidSetting

Extra = Literal["gpu", "train", "kubernetes", "report", "demo"]


@contextmanager
def needed(extra: Extra, what: str) -> Iterator[None]:
    """Import inside of it what *extra* brings; raise `InvalidSetting` that tells *what* needs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"monitor", "retrain"}:
            raise
        raise InvalidSetting(
            f"{what} needs the package {error.name}, which is not installed: pip install 'rlhf-monitor[{extra}]'"
        ) from None


def require(extra: Extra, package: str, what: str) -> None:
    """Raise `InvalidSetting` where *package* is missing, without importing it."""
    with needed(extra, what):
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
