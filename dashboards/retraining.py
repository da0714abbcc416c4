"""The labels that runs learn from, the runs, and what follows a promotion."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.frame import Rows
from dashboards.panel import ALL, CONSOLE, HERE, Panels, lines, link, query, runbook

_NO_RUN = "No run is under way, or it has told nothing yet."


def _jobs() -> Panels:
    since = f"time() - max by (job, role) (monitor_promotion_timestamp_seconds{ALL})"
    return [
        lines(
            "Jobs by state",
            "All jobs so far, final states included.",
            query(f"max by (job, action, status) (monitor_jobs{ALL}) > 0", "{{job}} {{action}} {{status}}"),
            width=12,
        )
        .links(
            [
                link("Jobs in the console", f"{CONSOLE}/jobs"),
                runbook("RlhfMonitorJobFailed"),
                runbook("RlhfMonitorJobFailedGate"),
                runbook("RlhfMonitorApprovalWaits"),
            ]
        )
        .no_value("No job was started yet."),
        lines(
            "Age of the models",
            "Time since each role's model was promoted, or rolled back to.",
            query(since, "{{job}} {{role}}"),
            unit=units.Seconds,
            width=6,
        )
        .links([link("Models in the console", f"{CONSOLE}/models")])
        .no_value("No model was promoted yet."),
        lines(
            "GPU hours of a week",
            "What runs took in the last seven days, beside what they may take where that is limited.",
            query(f"max by (job, count) (monitor_job_gpu_hours{ALL})", "{{job}} {{count}}"),
            unit="suffix:h",
            width=6,
        ).links([runbook("RlhfMonitorGpuHoursSpent")]),
    ]


def _run() -> Panels:
    panels = [
        lines(
            "Run under way",
            "Share of its optimizer steps that it has taken.",
            query(f"max by (job, action) (monitor_job_progress_ratio{ALL})", "{{job}} {{action}}"),
            unit=units.PercentUnit,
        ),
        lines(
            "Steps",
            "Taken, and in all.",
            query(f"max by (job, action, count) (monitor_job_steps{ALL})", "{{job}} {{action}} {{count}}"),
        ),
        lines(
            "Loss",
            "In the action's own terms.",
            query(f"max by (job, action) (monitor_job_loss{ALL})", "{{job}} {{action}}"),
        ),
        lines(
            "Time left",
            "Until the training under way ends, at its rate.",
            query(f"max by (job, action) (monitor_job_left_seconds{ALL})", "{{job}} {{action}}"),
            unit=units.Seconds,
            width=12,
        ),
        lines(
            "Speed",
            "Optimizer steps a second, of late.",
            query(f"max by (job, action) (monitor_job_steps_per_second{ALL})", "{{job}} {{action}}"),
            width=12,
        ),
    ]
    return [panel.no_value(_NO_RUN) for panel in panels]


def _promotions() -> Panels:
    unwaited = "No announcement channel is set."
    return [
        lines(
            "Bake windows",
            "Promotions in which an alarm still counts, by where they stand.",
            query(f"max by (job, role, state) (monitor_bakes{ALL}) > 0", "{{job}} {{role}} {{state}}"),
            width=6,
        )
        .links([runbook("RlhfMonitorBakeAsks")])
        .no_value("No bake window is open."),
        lines(
            "Traces of the new version",
            "Seen in the bake window, and wanted.",
            query(f"max by (job, role, count) (monitor_bake_traces{ALL})", "{{job}} {{role}} {{count}}"),
            width=6,
        ).no_value("No bake window is open."),
        lines(
            "Announcements that wait",
            "Of promoted and rolled back policies, by channel.",
            query(f"max by (job, channel) (monitor_announcements_waiting{ALL})", "{{job}} {{channel}}"),
            width=6,
        )
        .links([runbook("RlhfMonitorAnnouncementWaits")])
        .no_value(unwaited),
        lines(
            "The longest wait",
            "Of an announcement, by channel.",
            query(f"max by (job, channel) (monitor_announcement_wait_seconds{ALL})", "{{job}} {{channel}}"),
            unit=units.Seconds,
            width=6,
        ).no_value(unwaited),
    ]


def _shadow() -> Panels:
    unshadowed = "No candidate is scored beside the champion."
    alike = "monitor_shadow_alike"
    return [
        lines(
            "Scored beside the champion",
            "Traces that a passed ensemble has scored, and those it has to before its promotion.",
            query(f"max by (job, count) (monitor_shadow_traces{ALL})", "{{job}} {{count}}"),
        ).no_value(unshadowed),
        lines(
            "Candidate beside champion: order",
            "Correlation, and the share of pairs of traces that both put in one order.",
            query(f'max by (job, measure) ({alike}{{{HERE},measure!="mean_difference"}})', "{{job}} {{measure}}"),
        ).no_value(unshadowed),
        lines(
            "Candidate less champion",
            "Mean difference of their rewards, in the champion's sd.",
            query(f'max by (job) ({alike}{{{HERE},measure="mean_difference"}})', "{{job}}"),
        ).no_value(unshadowed),
    ]


def _labels() -> Panels:
    return [
        lines(
            "Labels by what becomes of them",
            "Of the last seven days. All but counted and waiting count in no estimate.",
            query(f"max by (job, kind, use) (monitor_labels{ALL})", "{{job}} {{kind}} {{use}}"),
        ),
        lines(
            "Agreement of annotators",
            "On preferences by the criteria of now. Kappa below 0.6 or raw agreement below 0.7 holds training.",
            query(f"max by (job, measure) (monitor_label_agreement{ALL})", "{{job}} {{measure}}"),
            unit=units.PercentUnit,
        ).no_value("No pair was judged by several annotators."),
        lines(
            "Pairs judged by several annotators",
            "What the agreement rests on.",
            query(f"max by (job) (monitor_label_agreement_items{ALL})", "{{job}}"),
        ),
        lines(
            "Annotators who came or left",
            "Share of the preferences of 30 days. Above 30% holds training.",
            query(f"max by (job) (monitor_annotator_turnover_ratio{ALL})", "{{job}}"),
            unit=units.PercentUnit,
        ),
        lines(
            "Blocks of labels",
            "Those that wait now, and those of the last seven days that matured or were dropped.",
            query(f"max by (job, signal, outcome) (monitor_label_blocks{ALL})", "{{job}} {{signal}} {{outcome}}"),
        ).links([runbook("RlhfMonitorLabelBlocksDropped")]),
        lines(
            "Wait of the oldest block",
            "For its labels, beside the wait from which they are late.",
            query(f"max by (job, signal) (monitor_label_wait_seconds{ALL})", "{{job}} {{signal}}"),
            query(f"max by (job) (monitor_label_wait_limit_seconds{ALL})", "{{job}} late from"),
            unit=units.Seconds,
        ).links([runbook("RlhfMonitorLabelsLate")]),
    ]


def _review() -> Panels:
    return [
        lines(
            "Review queue",
            "Items open now, and those of the last seven days that are done or missing.",
            query(f"max by (job, state) (monitor_review_items{ALL})", "{{job}} {{state}}"),
        ).links([link("Review in the console", f"{CONSOLE}/review")]),
        lines(
            "Answers of annotators",
            "Of the last 24 hours.",
            query(f"max by (job, answer) (monitor_review_answers{ALL})", "{{job}} {{answer}}"),
        ),
        lines(
            "Traces drawn for review",
            "The probability of any trace, and of one on which the reward models disagree. A busy day lowers both.",
            query(f"max by (job, trace) (monitor_review_probability{ALL})", "{{job}} {{trace}}"),
            unit=units.PercentUnit,
        ),
    ]


def retraining() -> Rows:
    return {
        "Jobs": _jobs(),
        "The run under way": _run(),
        "Promotions": _promotions(),
        "The candidate that waits": _shadow(),
        "Labels": _labels(),
        "Review": _review(),
    }
