"""Labels that tests hand around."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from random import Random
from typing import Any

from monitor.domain.label import PREFERENCE, Label, LabelSource
from tests.traces import START


def label(number: int = 0, **changes: Any) -> Label:
    """Return a label of its own annotator on trace t-0, given *number* seconds after START."""
    fields: dict[str, Any] = {
        "label_id": f"l-{number}",
        "timestamp": START + timedelta(seconds=number),
        "trace_id": "t-0",
        "kind": PREFERENCE,
        "value": 1.0,
        "annotator_id": f"a-{number}",
        "criteria_version": "c-1",
    }
    return Label(**fields | changes)


def wire(item: Label, **changes: object) -> bytes:
    """Return the native JSON of *item*."""
    return json.dumps(asdict(item) | {"timestamp": item.timestamp.isoformat()} | changes).encode()


def random_labels(random: Random, count: int) -> list[Label]:
    """Return labels that correct each other in every way, many of them at the same moment."""
    return [
        label(
            random.randrange(4),
            label_id=random.choice(["a", "B", "ä", "\U0001f600", "\uffee", f"l-{number}"]),
            trace_id=random.choice(["t-0", "t-1", "t-2"]),
            kind=random.choice([PREFERENCE, "refusal"]),
            value=random.choice([0.0, 0.1, 0.5, 1 / 3, 1.0]),
            annotator_id=random.choice([None, "ada", "bo"]),
            criteria_version=random.choice([None, "c-1", "c-2"]),
            inclusion_probability=random.choice([None, 0.05, 0.1, 1.0]),
            dimensions=random.choice([{}, {"help": 0.1, "Ärger": 1.0}, {"harm": 5e-324}]),
            source=random.choice(list(LabelSource)),
        )
        for number in range(count)
    ]
