"""A leader's asking again as a process of its own, which may be killed at any moment.

`python -m tests.integration.reasking_program URL ENDPOINT` asks until it is ended.
"""

from __future__ import annotations

import sys
import time

from prometheus_client import CollectorRegistry

from monitor.app.reference import reasker_of, reference_of
from monitor.drift.comparison import Comparison
from monitor.postgres.engine import create_engine_for
from monitor.telemetry.reference import ReferenceMetrics
from tests.integration.reasking import settings_of, unscored


def main(url: str, endpoint: str) -> None:
    settings = settings_of(endpoint)
    comparison = Comparison(reference_of(settings), unscored)
    metrics = ReferenceMetrics(CollectorRegistry())
    reasker = reasker_of(settings, create_engine_for(url), comparison=comparison, metrics=metrics)
    while True:
        reasker()
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
