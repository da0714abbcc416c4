"""The panels of what people say: the win rate, the labels behind it, and the reward models beside them."""

from __future__ import annotations

from dashboards.panel import ALL, HERE, Panel, Query, Row

_COHORTS = f'{{{HERE},cohort=~"$cohort"}}'
_INTERVAL = f'{{{HERE},cohort=~"$cohort",bound=~"estimate|lower|upper"}}'
_CORRECTED = f'{{{HERE},cohort=~"$cohort",bound=~"estimate|lower|upper|opinion"}}'
_ROLL_UP = f'{{{HERE},cohort="*"}}'


def _mean_of(signal: str) -> Query:
    selected = f'{{{HERE},signal="{signal}",cohort=~"$cohort"}}'
    return Query(f"max by (job, cohort) (monitor_stream_mean{selected})", "{{job}} {{cohort}}")


LABELS = Row(
    "Labels",
    (
        Panel(
            "Win rate",
            "How often people prefer the answer to its reference, over a week, with its interval of 95%."
            " Missing where labels are too few.",
            (Query(f"max by (job, cohort, bound) (monitor_win_rate{_INTERVAL})", "{{job}} {{cohort}} {{bound}}"),),
            "percentunit",
            width=12,
        ),
        Panel(
            "Win rate: what the labels alone would say",
            "Over all cohorts: the interval, that of the labels alone (classical), the one that holds however often"
            " one looks (anytime), and what the reward models alone say (opinion).",
            (Query(f"max by (job, bound) (monitor_win_rate{_ROLL_UP})", "{{job}} {{bound}}"),),
            "percentunit",
            width=12,
        ),
        Panel(
            "Ensemble's opinion",
            "reward_win: how often the reward models prefer the answer. It moves first, and lies when they drift.",
            (_mean_of("reward_win"),),
            "percentunit",
        ),
        Panel(
            "Reward accuracy",
            "How often the reward models agree with a fresh verdict of people.",
            (_mean_of("reward_accuracy"),),
            "percentunit",
        ),
        Panel(
            "Refusal accuracy",
            "How often the refusal model agrees with a fresh label of people.",
            (_mean_of("refusal_accuracy"),),
            "percentunit",
        ),
        Panel(
            "Rectifier",
            "How far people's verdicts lie from the ensemble's opinion. It moves when the reward models are wrong.",
            (_mean_of("win_rate_rectifier"),),
            "percentunit",
        ),
        Panel(
            "Labelled traces behind the win rate",
            "Of the week, by cohort.",
            (Query(f"max by (job, cohort) (monitor_win_rate_labels{_COHORTS})", "{{job}} {{cohort}}"),),
        ),
        Panel(
            "Labels by what becomes of them",
            "Of the last seven days. All but counted and waiting count in no estimate.",
            (Query(f"max by (job, kind, use) (monitor_labels{ALL})", "{{job}} {{kind}} {{use}}"),),
        ),
        Panel(
            "Agreement of annotators",
            "On preferences by the criteria of now. Kappa below 0.6 or raw agreement below 0.7 holds training.",
            (Query(f"max by (job, measure) (monitor_label_agreement{ALL})", "{{job}} {{measure}}"),),
            "percentunit",
        ),
        Panel(
            "Pairs judged by several annotators",
            "What the agreement rests on.",
            (Query(f"max by (job) (monitor_label_agreement_items{ALL})", "{{job}}"),),
        ),
        Panel(
            "Annotators who came or left",
            "Share of the preferences of 30 days. Above 30% holds training.",
            (Query(f"max by (job) (monitor_annotator_turnover_ratio{ALL})", "{{job}}"),),
            "percentunit",
        ),
        Panel(
            "Other rates that labels tell",
            "Refusals as people see them, beside the refusal model's own rate (opinion), and the win rate without what"
            " length explains, over a week.",
            (
                Query(
                    f"max by (job, signal, cohort, bound) (monitor_estimate{_CORRECTED})",
                    "{{job}} {{signal}} {{cohort}} {{bound}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Blocks of labels",
            "Those that wait now, and those of the last seven days that matured or were dropped.",
            (Query(f"max by (job, signal, outcome) (monitor_label_blocks{ALL})", "{{job}} {{signal}} {{outcome}}"),),
            width=12,
        ),
        Panel(
            "Wait of the oldest block",
            "For its labels, beside the wait from which they are late.",
            (
                Query(f"max by (job, signal) (monitor_label_wait_seconds{ALL})", "{{job}} {{signal}}"),
                Query(f"max by (job) (monitor_label_wait_limit_seconds{ALL})", "{{job}} late from"),
            ),
            "s",
            width=12,
        ),
        Panel(
            "Review queue",
            "Items open now, and those of the last seven days that are done or missing.",
            (Query(f"max by (job, state) (monitor_review_items{ALL})", "{{job}} {{state}}"),),
        ),
        Panel(
            "Answers of annotators",
            "Of the last 24 hours.",
            (Query(f"max by (job, answer) (monitor_review_answers{ALL})", "{{job}} {{answer}}"),),
        ),
        Panel(
            "Traces drawn for review",
            "The probability of any trace, and of one on which the reward models disagree. A busy day lowers both.",
            (Query(f"max by (job, trace) (monitor_review_probability{ALL})", "{{job}} {{trace}}"),),
            "percentunit",
        ),
    ),
)
