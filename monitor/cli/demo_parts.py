"""What the demo's story stands on: a port, a folder, and the preferences of the time before it."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.domain.cohort import CohortRule
from monitor.domain.trace import Preference
from monitor.errors import InvalidInput, InvalidSetting
from monitor.observe.step import nothing_observed
from monitor.pipeline.checkpoint import Checkpoint
from monitor.postgres.checkpoints import PostgresCheckpoints

if TYPE_CHECKING:
    from monitor.demo.broker import EmbeddedBroker

DEFAULT_PORT = 8080


def choose_port(wanted: int | None) -> int:
    """Refuse a taken port before a minute has gone into the first ensemble; without a wish, any free one will do."""
    port = DEFAULT_PORT if wanted is None else wanted
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        if wanted is None:
            return 0
        raise InvalidSetting(f"--port {port}: {error.strerror}; choose another, or 0 for any that is free") from None
    return port


def make_home(folder: Path | None) -> Path:
    """Return where the demo keeps what it makes; refuses a folder that holds something."""
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"--folder {folder} is not empty: name a new folder, or an empty one")
    home = folder.absolute() if folder is not None else Path(tempfile.mkdtemp(prefix="rlhf-monitor-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    return home


def store_history(store: PostgresCheckpoints, pairs: Iterable[Preference], rule: CohortRule) -> None:
    """Store *pairs* as a worker would have; raises `Unavailable` where the database is away."""
    store.write(
        Checkpoint(
            spans={},
            observed=nothing_observed(),
            positions=[],
            preferences=[(pair, rule.name(pair.cohort)) for pair in pairs],
            duplicates=0,
            dead_letters={},
        )
    )


@contextmanager
def open_broker() -> Iterator[EmbeddedBroker]:
    """Start a broker with the story's topics."""
    from monitor.demo import script
    from monitor.demo.broker import EmbeddedBroker

    with EmbeddedBroker(partitions=2) as broker:
        for topic in (script.TRACES_TOPIC, script.PREFERENCES_TOPIC, script.DEAD_LETTERS_TOPIC):
            broker.create_topic(topic)
        yield broker
