"""The series of training runs: how far the one that is under way has come."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

JOB_PROGRESS_RATIO = Series(
    "monitor_job_progress_ratio",
    Kind.GAUGE,
    Part.CONTROLLER,
    "ratio",
    "Share of its optimizer steps that the run under way has taken; missing where none runs, or has told.",
    ("action",),
)
JOB_STEPS = Series(
    "monitor_job_steps",
    Kind.GAUGE,
    Part.CONTROLLER,
    "optimizer steps",
    "Steps that the run under way has taken (`done`), and that it will have taken (`total`).",
    ("action", "count"),
)
JOB_LOSS = Series(
    "monitor_job_loss",
    Kind.GAUGE,
    Part.CONTROLLER,
    "loss",
    "The last training loss of the run under way, in the action's own terms.",
    ("action",),
)
JOB_STEPS_PER_SECOND = Series(
    "monitor_job_steps_per_second",
    Kind.GAUGE,
    Part.CONTROLLER,
    "optimizer steps a second",
    "How fast the run under way has trained of late.",
    ("action",),
)
JOB_LEFT_SECONDS = Series(
    "monitor_job_left_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "Time that the training under way takes from now, at its rate; what comes after the training is not in it.",
    ("action",),
)
GPU_HOURS = Series(
    "monitor_job_gpu_hours",
    Kind.GAUGE,
    Part.CONTROLLER,
    "GPU hours",
    "What runs took in the last seven days (`taken`), and may take (`allowed`, missing where nothing limits them).",
    ("count",),
)
JOB_PROGRESS_SERIES: tuple[Series, ...] = (
    JOB_PROGRESS_RATIO,
    JOB_STEPS,
    JOB_LOSS,
    JOB_STEPS_PER_SECOND,
    JOB_LEFT_SECONDS,
)
