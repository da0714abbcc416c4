"""Counters from which Prometheus makes the mean over a window, and what stands beside them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from monitor import __version__
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.runs.model import ModelRole
from monitor.telemetry.exemplar import exemplar_of
from monitor.telemetry.metrics import Metrics, Stage
from monitor.telemetry.program import show_program
from monitor.telemetry.streams import MODELS

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPAN = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def status(observations: int, mean: float, policy_model: str = "chat-1", *, signal: str = "reward") -> StreamStatus:
    key = StreamKey(signal, "*", policy_model, "1")
    return StreamStatus(key, observations, mean, 0.0, -1.0, 1.0, 0.1, NOON, "reward")


def counted(registry: CollectorRegistry, model: str = "chat-1") -> tuple[float | None, float | None, float | None]:
    """Return how many observations of *model* are counted, and what was added and taken."""
    labels = {"signal": "reward", "cohort": "*", "model": model, "unit": "reward"}
    value = registry.get_sample_value
    added, taken = (value("monitor_stream_sum_total", {**labels, "sign": sign}) for sign in ("added", "taken"))
    return value("monitor_stream_observations_total", labels), added, taken


def test_the_mean_over_a_window_is_what_was_added_less_what_was_taken_over_the_observations(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.show_streams([status(100, 2.0)])
    assert counted(registry) == (0, 0, 0), "what stood when the lead was taken was counted by the leader before"
    metrics.show_streams([status(200, -1.0)])  # the hundred that came have a mean of -4
    observations, added, taken = counted(registry)
    assert (observations, added, taken) == (100, 0, 400)
    metrics.show_streams([status(210, 0.0)])
    assert counted(registry) == (110, 200, 400)


def test_a_stream_that_begins_again_under_a_new_baseline_goes_on_counting(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    for shown in (status(0, 0.0), status(100, 2.0), status(30, 1.0)):
        metrics.show_streams([shown])
    assert counted(registry) == (130, 230, 0)


def test_scorers_of_one_signal_are_counted_together_and_a_stream_that_is_gone_is_withdrawn(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    other = replace(status(5, 3.0), key=StreamKey("reward", "*", "chat-1", "2"))
    metrics.show_streams([])
    metrics.show_streams([status(10, 1.0), other])
    assert counted(registry) == (15, 25, 0)
    metrics.show_streams([])
    assert counted(registry) == (None, None, None)


def test_a_process_that_takes_the_lead_again_does_not_count_what_the_other_has_counted(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.show_streams([])
    metrics.show_streams([status(100, 1.0)])
    metrics.show_leader(leads=False)
    assert counted(registry) == (None, None, None)
    metrics.show_streams([status(900, 1.0)])
    metrics.show_streams([status(910, 1.0)])
    assert counted(registry)[0] == 10


def test_policy_models_past_the_bound_share_a_label(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.show_streams([])
    metrics.show_streams([status(1, 1.0, f"chat-{number:02}") for number in range(MODELS + 2)])
    assert counted(registry, "chat-09") == (1, 1, 0)
    assert counted(registry, "chat-10")[0] is None
    assert counted(registry, "other") == (2, 2, 0)


def examples(registry: CollectorRegistry) -> list[dict[str, str]]:
    """Return the exemplars that a scraper of OpenMetrics reads."""
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    return [
        dict(re.findall(r'(\w+)="([^"]*)"', found)) for found in re.findall(r"# \{([^}]*)\}", encode(registry).decode())
    ]


def test_a_slow_batch_can_be_followed_to_one_of_its_traces(metrics: Metrics, registry: CollectorRegistry) -> None:
    with metrics.timed(Stage.SCORE, ["ann.smith@mail.example", SPAN]):
        pass
    with metrics.timed(Stage.EMBED, ["call 1 of Ann Smith"]):
        pass
    trace, _, span = SPAN.partition("-")
    assert examples(registry) == [{"trace_id": trace, "span_id": span}]


@pytest.mark.parametrize(
    ("trace_id", "is_number"),
    [
        pytest.param("0af7651916cd43dd8448eb211c80319c", True, id="a trace's id by W3C"),
        pytest.param("5f0c0f5e-9c7b-4c57-8f0e-6d9d1b6a2c11", True, id="a UUID"),
        pytest.param("ann.smith@mail.example", False, id="a mail address"),
        pytest.param("+49 170 1234567", False, id="a telephone number"),
        pytest.param("1701234567", False, id="a short number, which may be a person's"),
        pytest.param(SPAN + "-ann", False, id="a number with more behind it"),
        pytest.param("0af7651916cd43dd8448eb211c80319c\n", False, id="a number and a line's end"),
    ],
)
def test_only_a_number_is_an_example(trace_id: str, *, is_number: bool) -> None:
    assert (exemplar_of([trace_id]) is not None) == is_number


def test_the_release_and_each_role_s_last_promotion_are_told(metrics: Metrics, registry: CollectorRegistry) -> None:
    show_program(registry, console_url=None)
    [build] = [family for family in registry.collect() if family.name == "monitor_build_info"]
    assert [(sample.labels["version"], sample.value) for sample in build.samples] == [(__version__, 1)]
    metrics.show_promotions({ModelRole.POLICY: NOON})
    value = registry.get_sample_value
    assert value("monitor_promotion_timestamp_seconds", {"role": "policy"}) == NOON.timestamp()
    assert value("monitor_promotion_timestamp_seconds", {"role": "reward"}) is None
    assert value("monitor_last_refresh_timestamp_seconds") == 0
