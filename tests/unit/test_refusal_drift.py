"""Answers that turn into evasions are found on the probability, where patterns stay as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.refusal_drift import mixed, told_after, weights_without, xstest_pools


@pytest.mark.shared_data
def test_evasions_that_no_pattern_knows_raise_an_alert_by_a_model_that_never_saw_their_source(
    shared_data: Path, tmp_path: Path
) -> None:
    assert shared_data.is_dir()
    learned, pools = str(weights_without("xstest", tmp_path)), xstest_pools()
    drifted = mixed(pools, 0, 0.2, after=1_500)
    alert = told_after(drifted, learned).alert
    assert alert is not None
    assert alert < 1_000
    assert told_after(drifted, "patterns").alert is None
    assert told_after(mixed(pools, 0, 0.2, drifts=False, after=1_500), learned).alert is None
