"""What comes in, what becomes of it, and how fast."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.frame import Rows
from dashboards.health import health
from dashboards.panel import ALL, PER_SECOND, RATE, Panels, lines, query, runbook, stacked


def _traces() -> Panels:
    return [
        stacked(
            lines(
                "Traces by outcome",
                "Repeated and duplicate traces are stored or skipped, and are no observations.",
                query(f"sum by (outcome) (rate(monitor_traces_total{ALL}[{RATE}]))", "{{outcome}}"),
                unit=PER_SECOND,
                width=12,
            )
        ).links([runbook("RlhfMonitorNoTraces"), runbook("RlhfMonitorNotIngesting")]),
        lines(
            "Kafka lag",
            "Records not read yet, by partition.",
            query(f"max by (job, topic, partition) (monitor_kafka_lag{ALL})", "{{job}} {{topic}}/{{partition}}"),
            width=12,
        ).links([runbook("RlhfMonitorLagGrowing")]),
    ]


def _unread() -> Panels:
    return [
        stacked(
            lines(
                "Dead letters",
                "Records rejected in the last five minutes, by reason.",
                query(f"sum by (reason) (increase(monitor_dead_letters_total{ALL}[5m]))", "{{reason}}"),
                width=6,
            )
        )
        .links([runbook("RlhfMonitorDeadLetters")])
        .no_value("No record was rejected."),
        lines(
            "Pieces that are not for us",
            "Such as other spans and cache hits, in an hour, by reason.",
            query(f"sum by (reason) (increase(monitor_skipped_total{ALL}[1h]))", "{{reason}}"),
            width=6,
        ).no_value("Nothing was skipped."),
        lines(
            "Records never read",
            "Deleted by retention before they were read, in an hour.",
            query(f"sum by (topic) (increase(monitor_lost_records_total{ALL}[1h]))", "{{topic}}"),
            width=6,
        )
        .links([runbook("RlhfMonitorLostRecords")])
        .no_value("No record was lost."),
        lines(
            "Partitions whose log was replaced",
            "In an hour, by topic.",
            query(f"sum by (topic) (increase(monitor_replaced_logs_total{ALL}[1h]))", "{{topic}}"),
            width=6,
        )
        .links([runbook("RlhfMonitorLogReplaced")])
        .no_value("No log was replaced."),
    ]


def _preferences() -> Panels:
    return [
        lines(
            "Preferences",
            "Preference events, by what became of them.",
            query(f"sum by (outcome) (rate(monitor_preferences_total{ALL}[{RATE}]))", "{{outcome}}"),
            unit=PER_SECOND,
            width=12,
        ),
        lines(
            "Labels",
            "By what became of them, and who judged.",
            query(
                f"sum by (outcome, source) (rate(monitor_received_labels_total{ALL}[{RATE}]))", "{{outcome}} {{source}}"
            ),
            unit=PER_SECOND,
            width=12,
        ),
    ]


def _joins() -> Panels:
    return [
        lines(
            "Parts of calls that wait",
            "In the database, for their call's texts or its parent span; bounded by ingest.join.max_fragments.",
            query(f"max by (job) (monitor_fragments_waiting{ALL})", "{{job}}"),
            width=6,
        ),
        lines(
            "Parts stored",
            "Each costs a row that is written and deleted.",
            query(f"sum by (job) (rate(monitor_fragments_total{ALL}[{RATE}]))", "{{job}}"),
            unit=PER_SECOND,
            width=6,
        ),
        lines(
            "The longest wait of a part",
            "A little more than ingest.join.seconds at most.",
            query(f"max by (job) (monitor_fragment_age_seconds{ALL})", "{{job}}"),
            unit=units.Seconds,
            width=6,
        ),
        lines(
            "Calls taken without a part",
            "Their time to wait was over (ingest.join.seconds), by what was missing.",
            query(f"sum by (missing) (rate(monitor_incomplete_calls_total{ALL}[{RATE}]))", "{{missing}}"),
            unit=PER_SECOND,
            width=6,
        ),
    ]


def _stages() -> Panels:
    selected = f"monitor_stage_seconds_bucket{ALL}"
    return [
        lines(
            "Time of a batch, 95th percentile",
            "By stage of the worker. A dot is one batch, and leads to a trace of it where its id is a number.",
            query(
                f"histogram_quantile(0.95, sum by (stage, le) (rate({selected}[{RATE}]))) >= 0", "{{stage}}"
            ).exemplar(True),
            unit=units.Seconds,
            width=12,
        ),
        lines(
            "Time of a batch, mean",
            "By stage, over the window chosen above; the longest stage bounds the throughput.",
            query(
                f"sum by (stage) (rate(monitor_stage_seconds_sum{ALL}[$window]))"
                f" / (sum by (stage) (rate(monitor_stage_seconds_count{ALL}[$window])) > 0)",
                "{{stage}}",
            ),
            unit=units.Seconds,
            width=12,
        ),
    ]


def _reading() -> Panels:
    return [
        lines(
            "Prompts without an embedding",
            "Logged without the one that ingest.embedding wants, in the last five minutes.",
            query(f"sum by (job) (increase(monitor_unembedded_prompts_total{ALL}[5m]))", "{{job}}"),
            width=6,
        ).links([runbook("RlhfMonitorPromptsNotEmbedded")]),
        lines(
            "Own signals that failed",
            "Traces for which one of signals.own had no value though it was asked for one, in the last five minutes.",
            query(f"sum by (signal) (increase(monitor_signal_failures_total{ALL}[5m]))", "{{signal}}"),
            width=6,
        ).no_value("There are no signals.own."),
        lines(
            "Answers put to judges",
            "In the last five minutes, by what became of them; all but judged are missing from their series.",
            query(
                f"sum by (job, signal, outcome) (increase(monitor_judged_answers_total{ALL}[5m]))",
                "{{job}} {{signal}} {{outcome}}",
            ),
            width=6,
        ).no_value("No signal of signals.own has a judge."),
        lines(
            "Answers whose refusals are not read",
            "In a language that the signal refusal does not cover, in the last five minutes.",
            query(f"sum by (language) (increase(monitor_refusal_uncovered_total{ALL}[5m]))", "{{language}}"),
            width=6,
        ).no_value("All answers are in languages that are covered."),
    ]


def ingest() -> Rows:
    return {
        "Traces": _traces(),
        "What is never read": _unread(),
        "Preferences and labels": _preferences(),
        "The worker": _stages(),
        "Calls in parts": _joins(),
        "Reading answers": _reading(),
        "Processes": health(),
    }
