"""A leader's asking again as a process of its own, which may be killed at any moment.

`python -m tests.integration.reasking_program URL ENDPOINT` asks until it is ended.
"""

from __future__ import annotations

import sys
import time

from prometheus_client import CollectorRegistry

from monitor.app.reference import reasker_of
from monitor.postgres.engine import create_engine_for
from monitor.telemetry.reference import ReferenceMetrics
from tests.integration.reasking import settings_of


def main(url: str, endpoint: str) -> None:
    metrics = ReferenceMetrics(CollectorRegistry())
    reasker = reasker_of(
        settings_of(endpoint), create_engine_for(url), metrics=metrics, score=lambda rows: [None] * len(rows)
    )
    while True:
        reasker()
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
