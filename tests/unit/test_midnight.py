"""Tests that count days begin after a midnight that is near."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.midnight import wait_seconds


@pytest.mark.parametrize(
    ("at", "seconds"),
    [("00:00:00", 0.0), ("12:00:00", 0.0), ("23:57:59", 0.0), ("23:58:00", 120.0), ("23:59:59.500000", 0.5)],
)
def test_a_test_waits_for_a_midnight_that_would_fall_into_it(at: str, seconds: float) -> None:
    assert wait_seconds(datetime.fromisoformat(f"2026-11-22T{at}").replace(tzinfo=UTC)) == seconds
