"""What the process asks of the C library: freed memory goes back to the system, whatever was allocated behind it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import threading, time
from pathlib import Path
from monitor.app import interpreter

def own():
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return next(int(words[1]) for words in lines if words[0] == "RssAnon:") / 1024

buffers = [bytes(100_000) + b"x" for _ in range(1000)]
kept, stop = buffers[-1], threading.Event()
full = own()
del buffers
print(full - own())
interpreter.TRIM_SECONDS = 0.01
assert interpreter.trim_heap(stop)
deadline = time.monotonic() + 30
while full - own() < 80 and time.monotonic() < deadline:
    time.sleep(0.01)
stop.set()
print(full - own())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    by_itself, trimmed = map(float, done.stdout.split())
    assert by_itself < 10, "one buffer behind the others keeps them all"
    assert trimmed >= 80
