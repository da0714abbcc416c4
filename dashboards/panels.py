"""The panels of the Grafana dashboard, row by row."""

from __future__ import annotations

from dashboards.label_panels import LABELS
from dashboards.panel import ALL, HERE, PAGES, SERVERS, STREAM, Panel, Query, Row, stat
from dashboards.probe_panels import PROBES
from dashboards.release_panels import RELEASES

NOW = Row(
    "Now",
    (
        stat(
            "Open incidents",
            "Those that page: alarms of one cause, neither acknowledged nor snoozed nor recovered.",
            f"sum(max by (namespace, job, severity) (monitor_incidents_open{PAGES}))",
            red_from=1,
        ),
        stat(
            "Leaders",
            "One process of each deployment must lead; the least of the deployments chosen above.",
            f"min(sum by (namespace, job) (monitor_leader{ALL}))",
            red_below=1,
        ),
        stat("Traces a second", "All records read, by every worker.", f"sum(monitor:traces:rate5m{ALL})", unit="cps"),
        stat("Records to be read", "Kafka lag over all partitions.", f"sum(monitor:kafka_lag:sum{ALL})"),
        stat(
            "Dependencies away",
            "Of all processes: PostgreSQL, Kafka or the scoring servers that have not answered for 30 seconds.",
            f"count(monitor_dependency_up{ALL} == 0) or vector(0)",
            red_from=1,
        ),
        stat(
            "Last refresh",
            "When a reward model was last promoted; empty if never.",
            f"1000 * max(monitor_last_refresh_timestamp_seconds{ALL} > 0)",
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
            (Query(f"sum by (outcome) (monitor:traces:rate5m{ALL})", "{{outcome}}"),),
            "cps",
            stacked=True,
        ),
        Panel(
            "Kafka lag",
            "Records not read yet, by partition.",
            (Query(f"max by (job, topic, partition) (monitor_kafka_lag{ALL})", "{{job}} {{topic}}/{{partition}}"),),
        ),
        Panel(
            "Dead letters",
            "Records rejected in the last five minutes, by reason.",
            (Query(f"sum by (reason) (increase(monitor_dead_letters_total{ALL}[5m]))", "{{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Records never read",
            "Skipped as not ours, deleted by retention unread, and partitions whose log was replaced, in an hour.",
            (
                Query(f"sum by (reason) (increase(monitor_skipped_total{ALL}[1h]))", "skipped: {{reason}}"),
                Query(f"sum by (topic) (increase(monitor_lost_records_total{ALL}[1h]))", "{{topic}} lost"),
                Query(f"sum by (topic) (increase(monitor_replaced_logs_total{ALL}[1h]))", "{{topic}} replaced"),
            ),
        ),
        Panel(
            "Parts of calls that wait",
            "In the database, for their call's texts or its parent span; bounded by ingest.join.max_fragments.",
            (
                Query(f"max by (job) (monitor_fragments_waiting{ALL})", "{{job}} waiting"),
                Query(f"sum by (job) (rate(monitor_fragments_total{ALL}[5m]))", "{{job}} stored a second"),
                Query(f"max by (job) (monitor_fragment_age_seconds{ALL})", "{{job}} oldest, seconds"),
            ),
        ),
        Panel(
            "Calls taken without a part",
            "Their time to wait was over (ingest.join.seconds), by what was missing; calls a second.",
            (Query(f"sum by (missing) (rate(monitor_incomplete_calls_total{ALL}[5m]))", "{{missing}}"),),
            "cps",
        ),
        Panel(
            "Prompts without an embedding",
            "Logged without the one that ingest.embedding wants, in the last five minutes.",
            (Query(f"sum by (job) (increase(monitor_unembedded_prompts_total{ALL}[5m]))", "{{job}}"),),
        ),
        Panel(
            "Own signals that failed",
            "Traces for which one of signals.own had no value though it was asked for one, in the last five minutes.",
            (Query(f"sum by (signal) (increase(monitor_signal_failures_total{ALL}[5m]))", "{{signal}}"),),
        ),
        Panel(
            "Answers put to judges",
            "In the last five minutes, by what became of them; all but judged are missing from their series.",
            (
                Query(
                    f"sum by (job, signal, outcome) (increase(monitor_judged_answers_total{ALL}[5m]))",
                    "{{job}} {{signal}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Answers whose refusals are not read",
            "In a language that the signal refusal does not cover, in the last five minutes.",
            (Query(f"sum by (language) (increase(monitor_refusal_uncovered_total{ALL}[5m]))", "{{language}}"),),
        ),
        Panel(
            "Time of a batch, 95th percentile",
            "By stage of the worker; the widest stage bounds the throughput.",
            (Query(f"max by (stage) (monitor:stage_seconds:p95_5m{ALL})", "{{stage}}"),),
            "s",
        ),
        Panel(
            "Preferences and labels",
            "Preference events and labels a second, by outcome; labels also by who judged.",
            (
                Query(f"sum by (outcome) (rate(monitor_preferences_total{ALL}[5m]))", "preferences {{outcome}}"),
                Query(
                    f"sum by (outcome, source) (rate(monitor_received_labels_total{ALL}[5m]))",
                    "labels {{outcome}} {{source}}",
                ),
            ),
            "cps",
        ),
        Panel(
            "Dependencies",
            "1 where every process has had an answer in the last 30 seconds.",
            (Query(f"min by (job, dependency) (monitor_dependency_up{ALL})", "{{job}} {{dependency}}"),),
        ),
        Panel(
            "Parts",
            "1 where every process says that its part is ready.",
            (Query(f"min by (job, part) (monitor_part_ready{ALL})", "{{job}} {{part}}"),),
        ),
    ),
)

DRIFT = Row(
    "Drift",
    (
        Panel(
            "Mean against the baseline",
            "The mean since the baseline, beside the baseline's with two standard errors. Choose one signal above.",
            (
                Query(f"max by (job, signal, cohort) (monitor_stream_mean{STREAM})", "{{job}} {{signal}} {{cohort}}"),
                Query(
                    f"max by (job, signal, cohort, bound) (monitor_stream_baseline{STREAM})",
                    "{{job}} {{signal}} {{cohort}} baseline {{bound}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Evidence",
            "log e / log A by stream; at 1 the stream alarms.",
            (Query(f"monitor:stream_evidence_log:max{STREAM}", "{{job}} {{signal}} {{cohort}}"),),
            width=12,
            red_from=1,
        ),
        Panel(
            "Nearest to an alarm",
            "The fifteen streams with the most evidence.",
            (Query(f"topk(15, monitor:stream_evidence_log:max{ALL})", "{{job}} {{signal}} {{cohort}}"),),
            kind="bargauge",
            width=12,
            red_from=1,
        ),
        Panel(
            "Open alarms",
            "Their effect: how far the signal lies from its baseline, in the unit named.",
            (
                Query(
                    f"max by (job, signal, cohort, direction, severity, unit) (monitor_alarm_effect{STREAM})",
                    "{{job}} {{signal}} {{cohort}} {{direction}} {{severity}} ({{unit}})",
                ),
            ),
            width=12,
        ),
        Panel(
            "Open incidents",
            "Live alarms of each, by its number in the console.",
            (
                Query(
                    f"max by (job, incident, kind, severity) (monitor_incident_members{ALL})",
                    "{{job}} incident {{incident}} {{kind}} {{severity}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Open alarms by signal",
            "Drift alarms that nobody has acknowledged or snoozed.",
            (Query(f"max by (job, signal, severity) (monitor_alarms_open{ALL})", "{{job}} {{signal}} {{severity}}"),),
            width=12,
        ),
        Panel(
            "Traces to be folded",
            "Grows where the controller stalls.",
            (Query(f"max by (job) (monitor_fold_lag_traces{ALL})", "{{job}}"),),
            width=12,
        ),
        Panel(
            "Transaction that stops the fold",
            "Age of the oldest one on PostgreSQL's server; 0 where none does.",
            (Query(f"max by (job) (monitor_placement_blocked_seconds{ALL})", "{{job}}"),),
            "s",
            width=12,
            red_from=300,
        ),
        Panel(
            "Silence of the log",
            "How long no trace has come, beside what the traffic's own rhythm explains; 1 is the alarm.",
            (Query(f"max by (job) (monitor_silence_ratio{ALL})", "{{job}}"),),
            width=12,
            red_from=1,
        ),
    ),
)

REWARDS = Row(
    "Rewards",
    (
        Panel(
            "Scored tokens a second",
            "Real tokens, padding excluded, over all members.",
            (Query(f"sum(monitor:scored_tokens:rate5m{ALL})", "tokens"),),
            "cps",
        ),
        Panel(
            "Tokens of a forward pass",
            "Padded tokens; small batches leave a GPU idle.",
            (
                Query(
                    f"histogram_quantile(0.5, sum by (le) (rate(monitor_reward_batch_tokens_bucket{ALL}[5m])))",
                    "median",
                ),
                Query(
                    f"histogram_quantile(0.95, sum by (le) (rate(monitor_reward_batch_tokens_bucket{ALL}[5m])))",
                    "95th percentile",
                ),
            ),
        ),
        Panel(
            "Disagreement of the ensemble",
            "Mean standard deviation over the members in the last batch.",
            (Query(f"avg by (job) (monitor_ensemble_disagreement{ALL})", "{{job}}"),),
        ),
        Panel(
            "What goes with the reward",
            "Correlation of ranks within cohorts. One that leaves the baseline's is a sign that the reward is gamed.",
            (
                Query(
                    f'max by (job, signal, window) (monitor_reward_correlation{{{HERE},bound="estimate"}})',
                    "{{job}} {{signal}} {{window}}",
                ),
            ),
        ),
        Panel(
            "Anchor set: shift of the scorer",
            "How far fixed answers lie from their first scores, in the rewards' sd: the scorer's doing alone.",
            (Query(f"max by (job, scorer, measure) (monitor_anchor_shift{ALL})", "{{job}} {{scorer}} {{measure}}"),),
        ),
        Panel(
            "Anchor set: age of its scores",
            "Since it was scored last, beside its period.",
            (
                Query(f"max by (job) (monitor_anchor_age_seconds{ALL})", "{{job}} age"),
                Query(f"max by (job) (monitor_anchor_period_seconds{ALL})", "{{job}} period"),
            ),
            "s",
        ),
        Panel(
            "Scorings of the anchor set",
            "In an hour, by what came of them.",
            (Query(f"sum by (outcome) (increase(monitor_anchor_scorings_total{ALL}[1h]))", "{{outcome}}"),),
            stacked=True,
        ),
    ),
)

REFERENCE = Row(
    "Asking again",
    (
        Panel(
            "Prompts asked again",
            "Of the released policy in the last five minutes, by what became of them.",
            (Query(f"sum by (outcome) (increase(monitor_reference_requests_total{ALL}[5m])) > 0", "{{outcome}}"),),
            width=12,
            stacked=True,
        ),
        Panel(
            "Budget left",
            "What may still be asked today, in UTC.",
            (Query(f"max by (job, unit) (monitor_reference_budget_left{ALL})", "{{job}} {{unit}}"),),
            width=12,
        ),
    ),
)

RETRAINING = Row(
    "Retraining",
    (
        Panel(
            "Jobs by state",
            "All jobs so far, final states included.",
            (Query(f"max by (job, action, status) (monitor_jobs{ALL}) > 0", "{{job}} {{action}} {{status}}"),),
            width=16,
        ),
        Panel(
            "Age of the reward model",
            "Time since the last promotion.",
            (Query(f"time() - max by (job) (monitor_last_refresh_timestamp_seconds{ALL} > 0)", "{{job}}"),),
            "s",
        ),
        Panel(
            "Run under way",
            "Share of its optimizer steps that it has taken.",
            (Query(f"max by (job, action) (monitor_job_progress_ratio{ALL})", "{{job}} {{action}}"),),
            "percentunit",
        ),
        Panel(
            "Steps of the run under way",
            "Taken, and in all.",
            (Query(f"max by (job, action, count) (monitor_job_steps{ALL})", "{{job}} {{action}} {{count}}"),),
        ),
        Panel(
            "Loss of the run under way",
            "In the action's own terms.",
            (Query(f"max by (job, action) (monitor_job_loss{ALL})", "{{job}} {{action}}"),),
        ),
        Panel(
            "Speed of the run under way",
            "Optimizer steps a second, of late.",
            (Query(f"max by (job, action) (monitor_job_steps_per_second{ALL})", "{{job}} {{action}}"),),
            width=12,
        ),
        Panel(
            "Time left",
            "Until the training under way ends, at its rate.",
            (Query(f"max by (job, action) (monitor_job_left_seconds{ALL})", "{{job}} {{action}}"),),
            "s",
            width=12,
        ),
        Panel(
            "GPU hours of a week",
            "What runs took in the last seven days, beside what they may take where that is limited.",
            (Query(f"max by (job, count) (monitor_job_gpu_hours{ALL})", "{{job}} {{count}}"),),
            width=12,
        ),
    ),
)

SERVING = Row(
    "Scoring servers",
    (
        Panel(
            "Answers",
            "Of `serve-rewards` a second, by HTTP status.",
            (
                Query(
                    f"sum by (job, status) (rate(monitor_serve_requests_total{SERVERS}[5m])) > 0", "{{job}} {{status}}"
                ),
            ),
            "cps",
            width=12,
        ),
        Panel(
            "Requests in flight",
            "Requests that wait for their scores.",
            (Query(f"sum by (job) (monitor_serve_requests_in_flight{SERVERS})", "{{job}}"),),
            width=12,
        ),
        Panel(
            "Rows scored together",
            "Median; small batches leave a GPU idle.",
            (
                Query(
                    f"histogram_quantile(0.5, sum by (job, le) (rate(monitor_serve_batch_rows_bucket{SERVERS}[5m])))",
                    "{{job}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Scores that could not be had",
            "Since the start of each server, by reason.",
            (Query(f"sum by (job, reason) (monitor_serve_failed_scores{SERVERS}) > 0", "{{job}} {{reason}}"),),
            width=12,
        ),
    ),
)

ROWS: tuple[Row, ...] = (NOW, INGEST, DRIFT, LABELS, PROBES, REWARDS, SERVING, REFERENCE, RETRAINING, RELEASES)
