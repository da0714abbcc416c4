"""What the reward models say, whether people agree with them, and what scores."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.frame import Rows
from dashboards.panel import (
    ALL,
    HERE,
    PER_SECOND,
    RATE,
    SERVERS,
    Panels,
    bounds_dashed,
    lines,
    query,
    runbook,
    stacked,
)
from dashboards.window import mean_of

_COHORTS = f'{{{HERE},cohort=~"$cohort"}}'
_INTERVAL = f'{{{HERE},cohort=~"$cohort",bound=~"estimate|lower|upper"}}'
_CORRECTED = f'{{{HERE},cohort=~"$cohort",bound=~"estimate|lower|upper|opinion"}}'
_ROLL_UP = f'{{{HERE},cohort="*"}}'
_UNLABELLED = "No labels of the kind were folded in the window."
_ANCHORLESS = "rewards.anchor is off."
_AGREEMENT = {  # of models with people: titles and what they mean, by signal
    "reward_accuracy": ("Reward accuracy", "How often the reward models agree with a fresh verdict of people."),
    "refusal_accuracy": ("Refusal accuracy", "How often the refusal model agrees with a fresh label of people."),
    "win_rate_rectifier": (
        "Rectifier",
        "How far people's verdicts lie from the ensemble's opinion. It moves when the reward models are wrong.",
    ),
}


def _said() -> Panels:
    return [
        lines("Reward", "Mean over the window chosen above.", query(mean_of("reward"), "{{job}} {{cohort}}")).no_value(
            "Nothing is scored."
        ),
        lines(
            "Ensemble's opinion",
            "reward_win: how often the reward models prefer the answer. It moves first, and lies when they drift.",
            query(mean_of("reward_win"), "{{job}} {{cohort}}"),
            unit=units.PercentUnit,
        ).no_value("No answer came with a reference, or nothing is scored."),
        lines(
            "Disagreement of the ensemble",
            "Mean standard deviation over the members in the last batch.",
            query(f"avg by (job) (monitor_ensemble_disagreement{ALL})", "{{job}}"),
        ),
        lines(
            "What goes with the reward",
            "Correlation of ranks within cohorts. One that leaves the baseline's is a sign that the reward is gamed.",
            query(
                f'max by (job, signal, window) (monitor_reward_correlation{{{HERE},bound="estimate"}})',
                "{{job}} {{signal}} {{window}}",
            ),
            width=24,
        ),
    ]


def _win_rate() -> Panels:
    return [
        bounds_dashed(
            lines(
                "Win rate",
                "How often people prefer the answer to its reference, over a week, with its interval of 95%."
                " Missing where labels are too few.",
                query(f"max by (job, cohort, bound) (monitor_win_rate{_INTERVAL})", "{{job}} {{cohort}} {{bound}}"),
                unit=units.PercentUnit,
                width=12,
            )
        ),
        bounds_dashed(
            lines(
                "Win rate: what the labels alone would say",
                "Over all cohorts: the interval, that of the labels alone (classical), the one that holds however often"
                " one looks (anytime), and what the reward models alone say (opinion).",
                query(f"max by (job, bound) (monitor_win_rate{_ROLL_UP})", "{{job}} {{bound}}"),
                unit=units.PercentUnit,
                width=12,
            )
        ),
    ]


def _people() -> Panels:
    estimates = f"max by (job, signal, cohort, bound) (monitor_estimate{_CORRECTED})"
    return [
        *(
            lines(title, description, query(mean_of(signal), "{{job}} {{cohort}}"), unit=units.PercentUnit).no_value(
                _UNLABELLED
            )
            for signal, (title, description) in _AGREEMENT.items()
        ),
        lines(
            "Labelled traces behind the win rate",
            "Of the week, by cohort.",
            query(f"max by (job, cohort) (monitor_win_rate_labels{_COHORTS})", "{{job}} {{cohort}}"),
            width=12,
        ),
        bounds_dashed(
            lines(
                "Other rates that labels tell",
                "Refusals as people see them, beside the refusal model's own rate (opinion), and the win rate without"
                " what length explains, over a week.",
                query(estimates, "{{job}} {{signal}} {{cohort}} {{bound}}"),
                unit=units.PercentUnit,
                width=12,
            )
        ),
    ]


def _anchor() -> Panels:
    age = "Since it was scored last, beside its period."
    return [
        lines(
            "Anchor set: shift of the scorer",
            "How far fixed answers lie from their first scores, in the rewards' sd: the scorer's doing alone.",
            query(f"max by (job, scorer, measure) (monitor_anchor_shift{ALL})", "{{job}} {{scorer}} {{measure}}"),
        ).no_value(_ANCHORLESS),
        lines(
            "Anchor set: age of its scores",
            age,
            query(f"max by (job) (monitor_anchor_age_seconds{ALL})", "{{job}} age"),
            query(f"max by (job) (monitor_anchor_period_seconds{ALL})", "{{job}} period"),
            unit=units.Seconds,
        )
        .links([runbook("RlhfMonitorAnchorOld")])
        .no_value(_ANCHORLESS),
        stacked(
            lines(
                "Scorings of the anchor set",
                "In an hour, by what came of them.",
                query(f"sum by (outcome) (increase(monitor_anchor_scorings_total{ALL}[1h]))", "{{outcome}}"),
            )
        ),
    ]


def _scoring() -> Panels:
    batch = "monitor_reward_batch_tokens"
    quantile = f"sum by (le) (rate({batch}_bucket{ALL}[$window]))"
    return [
        lines(
            "Scored tokens a second",
            "Real tokens, padding excluded, over all members.",
            query(f"sum(rate(monitor_scored_tokens_total{ALL}[{RATE}]))", "tokens"),
            unit=PER_SECOND,
            width=12,
        ),
        lines(
            "Tokens of a forward pass",
            "Padded tokens; small batches leave a GPU idle.",
            query(f"sum(rate({batch}_sum{ALL}[$window])) / (sum(rate({batch}_count{ALL}[$window])) > 0)", "mean"),
            query(f"histogram_quantile(0.95, {quantile}) >= 0", "95th percentile"),
            width=12,
        ).no_value("This program scores nothing itself: rewards.backend is http or none, or no trace came."),
    ]


def _servers() -> Panels:
    none = "No serve-rewards is scraped."
    rows = "monitor_serve_batch_rows"
    panels = [
        lines(
            "Answers",
            "Of `serve-rewards` a second, by HTTP status.",
            query(f"sum by (job, status) (rate(monitor_serve_requests_total{SERVERS}[{RATE}]))", "{{job}} {{status}}"),
            unit=PER_SECOND,
            width=6,
        ),
        lines(
            "Requests in flight",
            "Requests that wait for their scores.",
            query(f"sum by (job) (monitor_serve_requests_in_flight{SERVERS})", "{{job}}"),
            width=6,
        ),
        lines(
            "Rows scored together",
            "Mean over the window; small batches leave a GPU idle.",
            query(
                f"sum by (job) (rate({rows}_sum{SERVERS}[$window]))"
                f" / (sum by (job) (rate({rows}_count{SERVERS}[$window])) > 0)",
                "{{job}}",
            ),
            width=6,
        ),
        lines(
            "Scores that could not be had",
            "Since the start of each server, by reason.",
            query(f"sum by (job, reason) (monitor_serve_failed_scores{SERVERS})", "{{job}} {{reason}}"),
            width=6,
        ),
    ]
    return [panel.no_value(none) for panel in panels]


def rewards() -> Rows:
    return {
        "What the reward models say": _said(),
        "What people say": [*_win_rate(), *_people()],
        "The anchor set": _anchor(),
        "Scoring": _scoring(),
        "Scoring servers": _servers(),
    }
