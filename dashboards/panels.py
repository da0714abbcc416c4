"""The panels of the Grafana dashboard, row by row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"  # Grafana's name of the unit
    kind: str = "timeseries"  # or "stat", "bargauge"
    width: int = 8  # of 24
    height: int = 8
    red_from: float | None = None  # a threshold is drawn here
    red_below: float | None = None
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


_STREAM = '{signal=~"$signal", cohort=~"$cohort"}'


def _stat(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = "short",
    red_from: float | None = None,
    red_below: float | None = None,
) -> Panel:
    query = (Query(expression),)
    return Panel(title, description, query, unit, "stat", 4, 4, red_from=red_from, red_below=red_below)


NOW = Row(
    "Now",
    (
        _stat(
            "Open alarms",
            "Drift alarms nobody has acknowledged.",
            "sum(max by (signal, severity) (monitor_alarms_open))",
            red_from=1,
        ),
        _stat("Leaders", "Exactly one process must lead.", "sum(monitor_leader)", red_below=1),
        _stat("Traces a second", "All records read, by every worker.", "sum(monitor:traces:rate5m)", unit="cps"),
        _stat("Records to be read", "Kafka lag over all partitions.", "monitor:kafka_lag:sum"),
        _stat("Traces to be folded", "Checkpointed, not seen by the detectors yet.", "max(monitor_fold_lag_traces)"),
        _stat(
            "Last refresh",
            "When a reward model was last promoted; empty if never.",
            "1000 * max(monitor_last_refresh_timestamp_seconds > 0)",
            unit="dateTimeFromNow",
        ),
    ),
)

INGEST = Row(
    "Ingest",
    (
        Panel(
            "Traces by outcome",
            "Repeated and duplicate traces are stored or skipped, and are no observations.",
            (Query("monitor:traces:rate5m", "{{outcome}}"),),
            "cps",
            stacked=True,
        ),
        Panel(
            "Kafka lag",
            "Records not checkpointed yet, by partition.",
            (Query("max by (topic, partition) (monitor_kafka_lag)", "{{topic}}/{{partition}}"),),
        ),
        Panel(
            "Dead letters",
            "Records rejected in the last five minutes, by reason.",
            (Query("sum by (reason) (increase(monitor_dead_letters_total[5m]))", "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Records never read",
            "Skipped as not ours, deleted by retention unread, and partitions whose log was replaced, in an hour.",
            (
                Query("sum by (reason) (increase(monitor_skipped_total[1h]))", "skipped: {{reason}}"),
                Query("sum by (topic) (increase(monitor_lost_records_total[1h]))", "{{topic}} lost"),
                Query("sum by (topic) (increase(monitor_replaced_logs_total[1h]))", "{{topic}} replaced"),
            ),
        ),
        Panel(
            "Time of a batch, 95th percentile",
            "By stage of the worker; the widest stage bounds the throughput.",
            (Query("monitor:stage_seconds:p95_5m", "{{stage}}"),),
            "s",
        ),
        Panel(
            "Preferences",
            "Preference events a second, by outcome.",
            (Query("sum by (outcome) (rate(monitor_preferences_total[5m]))", "{{outcome}}"),),
            "cps",
        ),
    ),
)

DRIFT = Row(
    "Drift",
    (
        Panel(
            "Mean against the baseline",
            "The mean since the baseline was frozen, with the ends of its null interval. Choose one signal above.",
            (
                Query(f"max by (signal, cohort) (monitor_stream_mean{_STREAM})", "{{signal}} {{cohort}}"),
                Query(
                    f"max by (signal, cohort, bound) (monitor_stream_baseline{_STREAM})",
                    "{{signal}} {{cohort}} baseline {{bound}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Evidence",
            "log e / log A by stream; at 1 the stream alarms.",
            (Query(f"monitor:stream_evidence_log:max{_STREAM}", "{{signal}} {{cohort}}"),),
            width=12,
            red_from=1,
        ),
        Panel(
            "Nearest to an alarm",
            "The fifteen streams with the most evidence.",
            (Query("topk(15, monitor:stream_evidence_log:max)", "{{signal}} {{cohort}}"),),
            kind="bargauge",
            width=12,
            red_from=1,
        ),
        Panel(
            "Open alarms",
            "By signal and severity.",
            (Query("max by (signal, severity) (monitor_alarms_open) > 0", "{{signal}} {{severity}}"),),
            width=6,
        ),
        Panel(
            "Traces to be folded",
            "Grows where the controller stalls.",
            (Query("max(monitor_fold_lag_traces)", "traces"),),
            width=6,
        ),
    ),
)

REWARDS = Row(
    "Rewards",
    (
        Panel(
            "Scored tokens a second",
            "Real tokens, padding excluded, over all members.",
            (Query("monitor:scored_tokens:rate5m", "tokens"),),
            "cps",
        ),
        Panel(
            "Tokens of a forward pass",
            "Padded tokens; small batches leave a GPU idle.",
            (
                Query("histogram_quantile(0.5, sum by (le) (rate(monitor_reward_batch_tokens_bucket[5m])))", "median"),
                Query(
                    "histogram_quantile(0.95, sum by (le) (rate(monitor_reward_batch_tokens_bucket[5m])))",
                    "95th percentile",
                ),
            ),
        ),
        Panel(
            "Disagreement of the ensemble",
            "Mean standard deviation over the members in the last batch.",
            (Query("avg(monitor_ensemble_disagreement)", "disagreement"),),
        ),
    ),
)

RETRAINING = Row(
    "Retraining",
    (
        Panel(
            "Jobs by state",
            "All jobs so far, final states included.",
            (Query("max by (action, status) (monitor_jobs) > 0", "{{action}} {{status}}"),),
            width=16,
        ),
        Panel(
            "Age of the reward model",
            "Time since the last promotion.",
            (Query("time() - max(monitor_last_refresh_timestamp_seconds > 0)", "age"),),
            "s",
        ),
    ),
)

ROWS: tuple[Row, ...] = (NOW, INGEST, DRIFT, REWARDS, RETRAINING)
