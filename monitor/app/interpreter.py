"""What the process asks of the Python interpreter it runs in."""

from __future__ import annotations

import gc
import sys

# Traces come and go by the thousand, without cycles: a collector that looks after every 700 of them takes a seventh
# of the worker's time.
COLLECT_AFTER = (50_000, 20, 50)
# The threads that wait for PostgreSQL and Kafka take turns with the one that reads the next batch: Python's own 5 ms
# at each turn would add up to more than the transaction takes.
SWITCH_SECONDS = 0.0001


def tune_interpreter() -> None:
    """Let what was loaded by now stay for good, and threads take short turns."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_SECONDS)
