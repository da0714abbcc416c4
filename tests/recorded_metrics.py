"""What the demo exports from its start to its end, recorded, for a real Prometheus to answer the dashboards from.

`python -m tests.recorded_metrics` plays the demo and records it anew: after a series or a label was added or renamed.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.ports import free_port

RECORDING = Path(__file__).parent / "data" / "demo_metrics.txt.gz"
PERIOD_SECONDS = 10.0
SAME_SECONDS = 30.0  # a value that stays is written this often: Prometheus looks five minutes back
AFTER_SECONDS = 60.0  # the end of the story is to be seen by a rate, too
ADDED = {"job": "rlhf-monitor", "namespace": "demo", "instance": "demo:8080"}  # by whoever scrapes
END = "a drift was caught and answered"


def samples_of(exposition: str) -> Iterator[Sample]:
    """Yield the program's own samples of one scrape."""
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name.startswith("monitor_") and not sample.name.endswith("_created"):
                yield sample


def recorded() -> str:
    """Return the recording, a sample a line, oldest first."""
    return gzip.decompress(RECORDING.read_bytes()).decode()


def record(port: int, told: Path, *, is_playing: Callable[[], bool]) -> Iterator[str]:
    """Yield what is scraped of a demo at *port*, from its first answer until it has *told* its end, and a while on."""
    until = None
    written: dict[str, tuple[float, float]] = {}  # value and time, by the sample's name and labels
    while until is None or time.monotonic() < until:
        assert is_playing(), told.read_text()
        if until is None and END in told.read_text():
            until = time.monotonic() + AFTER_SECONDS
        now = time.time()
        for sample in samples_of(_scrape(port)):
            name = f"{sample.name}{_labels(sample)}"
            value, at = written.get(name, (sample.value, -SAME_SECONDS))
            if value != sample.value or now - at >= SAME_SECONDS:
                written[name] = sample.value, now
                yield f"{name} {sample.value} {now:.3f}"
        time.sleep(PERIOD_SECONDS)


def main() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.txt"
        with told.open("w") as written:
            demo = subprocess.Popen(
                [sys.executable, "-m", "monitor", "demo", "--port", str(port)],
                stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            samples = record(port, told, is_playing=lambda: demo.poll() is None)
            RECORDING.write_bytes(gzip.compress("\n".join(samples).encode(), mtime=0))
        finally:
            demo.terminate()
            demo.wait(60)


def _scrape(port: int) -> str:
    """Return what the demo exports; nothing before it does, or while it is too busy to answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
    except OSError:
        return ""
    return text


def _labels(sample: Sample) -> str:
    """Return the labels as OpenMetrics writes them, with what a scraper adds."""
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for name, value in (sample.labels | ADDED).items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


if __name__ == "__main__":
    main()
