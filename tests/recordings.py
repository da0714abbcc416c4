"""What real producers wrote, as records of Kafka."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monitor.ingest.record import Record

DATA = Path(__file__).parent / "data"
TRACE_FORMATS = DATA / "trace_formats"
SCRIPT: list[dict[str, Any]] = json.loads((TRACE_FORMATS / "script.json").read_text(encoding="utf-8"))


def captured(path: Path) -> Iterator[Record]:
    """Yield the records of a file of rows, or of one payload a line."""
    with gzip.open(path) as lines:
        for offset, line in enumerate(lines):
            row = json.loads(line)
            if "value" not in row:
                yield Record("payloads", 0, offset, None, line.strip())
                continue
            key = None if row["key"] is None else base64.b64decode(row["key"])
            yield Record(row["topic"], 0, offset, key, base64.b64decode(row["value"]))


def litellm_calls() -> Mapping[str, Record]:
    """Return what LiteLLM logged, by the name of the call."""
    return {(record.key or b"").decode(): record for record in captured(DATA / "litellm" / "recorded.jsonl.gz")}
