"""Every Prometheus series the program exports, declared once."""

from __future__ import annotations

from monitor.telemetry.alarm_series import ALARM_SERIES, INCIDENT_SERIES
from monitor.telemetry.declaration import Kind, Part, Series
from monitor.telemetry.job_series import GPU_HOURS, JOB_PROGRESS_SERIES
from monitor.telemetry.join_series import JOIN_SERIES
from monitor.telemetry.label_series import AGREEMENT_SERIES, LABEL_SERIES, REVIEW_SERIES
from monitor.telemetry.notify_series import NOTIFY_SERIES
from monitor.telemetry.probe_series import PROBE_SERIES
from monitor.telemetry.release_series import RELEASE_SERIES
from monitor.telemetry.reward_series import REWARD_CORRELATION
from monitor.telemetry.stream_series import STREAM_COUNTERS, STREAM_GAUGES

_STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCH_TOKENS = tuple(float(2**power) for power in range(6, 18))
_BATCH_ROWS = tuple(float(2**power) for power in range(13))

BUILD = Series(
    "monitor_build_info",
    Kind.GAUGE,
    Part.WORKER,
    "1",
    "The release that runs, and the Python that runs it: two values while a release is rolled out.",
    ("version", "python"),
)
DEPENDENCY_UP = Series(
    "monitor_dependency_up",
    Kind.GAUGE,
    Part.WORKER,
    "1 or 0",
    "1 where a call to the dependency succeeded in the last 30 seconds, by this process.",
    ("dependency",),
)
PART_READY = Series(
    "monitor_part_ready",
    Kind.GAUGE,
    Part.WORKER,
    "1 or 0",
    "1 while the part of the process is ready, as /readyz says; a part that hangs is not.",
    ("part",),
)
CONSOLE = Series(
    "monitor_console_info",
    Kind.GAUGE,
    Part.WORKER,
    "1",
    "Where people reach the console, `web.public_url`: what alerts link to. Missing where that is not set.",
    ("url",),
)
TRACES = Series(
    "monitor_traces_total",
    Kind.COUNTER,
    Part.WORKER,
    "traces",
    "Records read from the trace topics, by what became of them; a replayed record is counted again.",
    ("outcome",),
)
PREFERENCES = Series(
    "monitor_preferences_total",
    Kind.COUNTER,
    Part.WORKER,
    "preferences",
    "Preference events read, by what became of them.",
    ("outcome",),
)
RECEIVED_LABELS = Series(
    "monitor_received_labels_total",
    Kind.COUNTER,
    Part.WORKER,
    "labels",
    "Labels from the topic and the API, by what became of them and who judged: human, ai, user; unknown where invalid.",
    ("outcome", "source"),
)
DEAD_LETTERS = Series(
    "monitor_dead_letters_total",
    Kind.COUNTER,
    Part.WORKER,
    "records",
    "Records written to the dead-letter topic, by the reason they were rejected.",
    ("reason",),
)
SKIPPED = Series(
    "monitor_skipped_total",
    Kind.COUNTER,
    Part.WORKER,
    "pieces",
    "Sound pieces of records that are not for us, such as other spans and cache hits, by the reason.",
    ("reason",),
)
UNEMBEDDED = Series(
    "monitor_unembedded_prompts_total",
    Kind.COUNTER,
    Part.WORKER,
    "prompts",
    "Prompts that were logged without the embedding that ingest.embedding wants: refused, or its server was away.",
)
SIGNAL_FAILURES = Series(
    "monitor_signal_failures_total",
    Kind.COUNTER,
    Part.WORKER,
    "traces",
    "Traces for which one of signals.own had no value though it was asked for one; the log and the console say why.",
    ("signal",),
)
JUDGED = Series(
    "monitor_judged_answers_total",
    Kind.COUNTER,
    Part.WORKER,
    "answers",
    "Answers that a judge was asked about, by the signal it is for and what became of it: judged, unreadable, late,"
    " failed, away.",
    ("signal", "outcome"),
)
UNCOVERED_REFUSALS = Series(
    "monitor_refusal_uncovered_total",
    Kind.COUNTER,
    Part.WORKER,
    "answers",
    "Answers in a language in which refusals are not read: the signal refusal has no value for them, and no zero.",
    ("language",),
)
LOST_RECORDS = Series(
    "monitor_lost_records_total",
    Kind.COUNTER,
    Part.WORKER,
    "records",
    "Offsets that were gone from the topic, deleted by retention, before they were read.",
    ("topic",),
)
REPLACED_LOGS = Series(
    "monitor_replaced_logs_total",
    Kind.COUNTER,
    Part.WORKER,
    "partitions",
    "Partitions whose log was not the one that was read: created again, or cut and grown anew.",
    ("topic",),
)
STAGE_SECONDS = Series(
    "monitor_stage_seconds",
    Kind.HISTOGRAM,
    Part.WORKER,
    "seconds",
    "Time one batch spends in a stage of the worker.",
    ("stage",),
    _STAGE_SECONDS,
)
KAFKA_LAG = Series(
    "monitor_kafka_lag",
    Kind.GAUGE,
    Part.WORKER,
    "records",
    "Records in an assigned partition that wait to be read; withdrawn where no broker has answered for 30 seconds.",
    ("topic", "partition"),
)
SCORED_TOKENS = Series(
    "monitor_scored_tokens_total",
    Kind.COUNTER,
    Part.WORKER,
    "tokens",
    "Real tokens, padding excluded, that the reward ensemble has read, summed over its members.",
)
REWARD_BATCH_TOKENS = Series(
    "monitor_reward_batch_tokens",
    Kind.HISTOGRAM,
    Part.WORKER,
    "tokens",
    "Padded tokens of one forward pass of the reward ensemble.",
    buckets=_BATCH_TOKENS,
)
ENSEMBLE_DISAGREEMENT = Series(
    "monitor_ensemble_disagreement",
    Kind.GAUGE,
    Part.WORKER,
    "reward",
    "Mean standard deviation over the ensemble's members in the last scored batch.",
)
ANCHOR_SCORINGS = Series(
    "monitor_anchor_scorings_total",
    Kind.COUNTER,
    Part.WORKER,
    "scorings",
    "Times the anchor set was to be scored again, by what came of it.",
    ("outcome",),
)
FOLD_LAG_TRACES = Series(
    "monitor_fold_lag_traces",
    Kind.GAUGE,
    Part.CONTROLLER,
    "traces",
    "Checkpointed traces that the detectors have not folded yet.",
)
PLACEMENT_BLOCKED_SECONDS = Series(
    "monitor_placement_blocked_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "Age of the oldest transaction that keeps stored traces from being folded; 0 where none does.",
)
SILENCE_RATIO = Series(
    "monitor_silence_ratio",
    Kind.GAUGE,
    Part.CONTROLLER,
    "ratio",
    "How long no trace has come, beside what the log's own rhythm explains; 1 is the alarm. Missing until it has one.",
)
ANCHOR_AGE_SECONDS = Series(
    "monitor_anchor_age_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "Time since the anchor set was scored last, or since the baseline was frozen if it never was.",
)
ANCHOR_PERIOD_SECONDS = Series(
    "monitor_anchor_period_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "Time between two scorings of the anchor set: `rewards.anchor.period_seconds`.",
)
ANCHOR_SHIFT = Series(
    "monitor_anchor_shift",
    Kind.GAUGE,
    Part.CONTROLLER,
    "sd of the rewards",
    "How far the anchor set's last scores lie from its first: their mean, and the root mean square of the pairs'.",
    ("scorer", "measure"),
)
JOBS = Series(
    "monitor_jobs",
    Kind.GAUGE,
    Part.CONTROLLER,
    "jobs",
    "Retraining jobs by action and state, final states included.",
    ("action", "status"),
)
PROMOTED = Series(
    "monitor_promotion_timestamp_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds since 1970",
    "When the model that a role names now was put there, by a promotion or by a roll-back. Missing if never.",
    ("role",),
)
LAST_REFRESH = Series(
    "monitor_last_refresh_timestamp_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds since the epoch",
    "When a reward model was last promoted; 0 if never.",
)
REFERENCE_REQUESTS = Series(
    "monitor_reference_requests_total",
    Kind.COUNTER,
    Part.CONTROLLER,
    "prompts",
    "Prompts that the released policy was asked again, by what became of them.",
    ("outcome",),
)
REFERENCE_BUDGET_LEFT = Series(
    "monitor_reference_budget_left",
    Kind.GAUGE,
    Part.CONTROLLER,
    "requests or tokens",
    "What is left of the day's budget for asking the released policy again.",
    ("unit",),
)
LEADER = Series(
    "monitor_leader",
    Kind.GAUGE,
    Part.CONTROLLER,
    "1 or 0",
    "1 while this process leads, as PostgreSQL has confirmed in the last 30 seconds; the sum over all must be 1.",
)
SERVE_REQUESTS = Series(
    "monitor_serve_requests_total",
    Kind.COUNTER,
    Part.SERVING,
    "requests",
    "Answers of /classify by HTTP status.",
    ("status",),
)
SERVE_IN_FLIGHT = Series(
    "monitor_serve_requests_in_flight",
    Kind.GAUGE,
    Part.SERVING,
    "requests",
    "Requests of /classify that are not answered yet.",
)
SERVE_BATCH_ROWS = Series(
    "monitor_serve_batch_rows",
    Kind.HISTOGRAM,
    Part.SERVING,
    "rows",
    "Rows that were scored together, of all requests that waited; each member scores each row.",
    buckets=_BATCH_ROWS,
)
SERVE_FAILED_SCORES = Series(
    "monitor_serve_failed_scores",
    Kind.GAUGE,
    Part.SERVING,
    "scores",
    "Scores that could not be had since the start.",
    ("reason",),
)

DAEMON_SERIES: tuple[Series, ...] = (
    BUILD,
    DEPENDENCY_UP,
    PART_READY,
    CONSOLE,
    TRACES,
    PREFERENCES,
    RECEIVED_LABELS,
    DEAD_LETTERS,
    SKIPPED,
    *JOIN_SERIES,
    UNEMBEDDED,
    SIGNAL_FAILURES,
    JUDGED,
    UNCOVERED_REFUSALS,
    LOST_RECORDS,
    REPLACED_LOGS,
    STAGE_SECONDS,
    KAFKA_LAG,
    SCORED_TOKENS,
    REWARD_BATCH_TOKENS,
    ENSEMBLE_DISAGREEMENT,
    REWARD_CORRELATION,
    ANCHOR_SCORINGS,
    *STREAM_COUNTERS,
    *STREAM_GAUGES,
    *ALARM_SERIES,
    *INCIDENT_SERIES,
    FOLD_LAG_TRACES,
    PLACEMENT_BLOCKED_SECONDS,
    SILENCE_RATIO,
    ANCHOR_AGE_SECONDS,
    ANCHOR_PERIOD_SECONDS,
    ANCHOR_SHIFT,
    JOBS,
    *JOB_PROGRESS_SERIES,
    GPU_HOURS,
    LAST_REFRESH,
    PROMOTED,
    REFERENCE_REQUESTS,
    REFERENCE_BUDGET_LEFT,
    LEADER,
    *LABEL_SERIES,
    *NOTIFY_SERIES,
    *RELEASE_SERIES,
    *AGREEMENT_SERIES,
    *REVIEW_SERIES,
    *PROBE_SERIES,
)
SERVING_SERIES: tuple[Series, ...] = (
    SERVE_REQUESTS,
    SERVE_IN_FLIGHT,
    SERVE_BATCH_ROWS,
    SERVE_FAILED_SCORES,
    SCORED_TOKENS,
    BUILD,
)
SERIES: tuple[Series, ...] = tuple(dict.fromkeys(DAEMON_SERIES + SERVING_SERIES))
