"""What the process asks of the Python interpreter it runs in, and of the C library below it."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading

# Traces come and go by the thousand, without cycles: a collector that looks after every 700 of them takes a seventh
# of the worker's time.
COLLECT_AFTER = (50_000, 20, 50)
# The threads that wait for PostgreSQL and Kafka take turns with the one that reads the next batch: Python's own 5 ms
# at each turn would add up to more than the transaction takes.
SWITCH_SECONDS = 0.0001
TRIM_SECONDS = 60.0


def tune_interpreter() -> None:
    """Let what was loaded by now stay for good, and threads take short turns."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_SECONDS)


def trim_heap(stop: threading.Event) -> bool:
    """Give the pages of freed memory back to the system every minute until *stop*; False where none need it.

    Left to itself glibc keeps them: each thread's heap stays as large as it ever was, be it for one fetch of records or
    one alarm's matrices. Fewer heaps, or large buffers that are none of them, would make reward models a fifth slower.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:  # another C library allocates
        return False

    def turns() -> None:
        while not stop.wait(TRIM_SECONDS):
            trim(0)

    threading.Thread(target=turns, name="heap", daemon=True).start()
    return True
