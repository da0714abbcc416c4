"""The series of labels: the rates that they tell, and how far they have come."""

from __future__ import annotations

from monitor.telemetry.declaration import Kind, Part, Series

WIN_RATE = Series(
    "monitor_win_rate",
    Kind.GAUGE,
    Part.CONTROLLER,
    "ratio",
    "How often people prefer the answer to its reference, over a week's traces, with its bounds; missing where labels"
    " are too few. The bound opinion is the reward models' own rate, without labels. Of several policy models the one"
    " that most of the latest labelled traces have.",
    ("cohort", "bound"),
)
WIN_RATE_LABELS = Series(
    "monitor_win_rate_labels",
    Kind.GAUGE,
    Part.CONTROLLER,
    "labelled traces",
    "Labelled traces behind monitor_win_rate; there also where they are too few for it.",
    ("cohort",),
)
ESTIMATE = Series(
    "monitor_estimate",
    Kind.GAUGE,
    Part.CONTROLLER,
    "ratio",
    "As monitor_win_rate, of the other rates that labels tell: refusal_rate, beside the refusal model's own rate (the"
    " bound opinion), and the win rate without what length explains, win_rate_lc.",
    ("signal", "cohort", "bound"),
)
LABELS = Series(
    "monitor_labels",
    Kind.GAUGE,
    Part.CONTROLLER,
    "labels",
    "Labels of the last seven days, by what becomes of them: counted, or the reason why not.",
    ("kind", "use"),
)
LABEL_BLOCKS = Series(
    "monitor_label_blocks",
    Kind.GAUGE,
    Part.CONTROLLER,
    "blocks",
    "Blocks of traces: those that wait for labels now, and those that matured or were dropped in the last seven days.",
    ("signal", "outcome"),
)
LABEL_WAIT_SECONDS = Series(
    "monitor_label_wait_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "Time for which the oldest block has waited for its labels; 0 where none waits.",
    ("signal",),
)
LABEL_WAIT_LIMIT_SECONDS = Series(
    "monitor_label_wait_limit_seconds",
    Kind.GAUGE,
    Part.CONTROLLER,
    "seconds",
    "The wait from which labels are late, by `labels.wait_seconds` and `labels.sampling`.",
)
AGREEMENT = Series(
    "monitor_label_agreement",
    Kind.GAUGE,
    Part.CONTROLLER,
    "1 where all agree",
    "How far annotators agree on preferences by the criteria of now: raw, Cohen's kappa, Krippendorff's alpha; missing"
    " where no pair was judged twice.",
    ("measure",),
)
AGREEMENT_ITEMS = Series(
    "monitor_label_agreement_items",
    Kind.GAUGE,
    Part.CONTROLLER,
    "pairs",
    "Pairs of answers behind monitor_label_agreement: those that several annotators judged.",
)
TURNOVER = Series(
    "monitor_annotator_turnover_ratio",
    Kind.GAUGE,
    Part.CONTROLLER,
    "ratio",
    "Share of the preferences of 30 days by annotators who are new, or of the 30 days before by annotators who gave"
    " none since: the larger one.",
)

AGREEMENT_SERIES = (AGREEMENT, AGREEMENT_ITEMS, TURNOVER)
REVIEW_ITEMS = Series(
    "monitor_review_items",
    Kind.GAUGE,
    Part.CONTROLLER,
    "items",
    "Items of the review queue: those open now, and those of the last seven days that are done or missing.",
    ("state",),
)
REVIEW_ANSWERS = Series(
    "monitor_review_answers",
    Kind.GAUGE,
    Part.CONTROLLER,
    "answers",
    "What annotators answered in the last 24 hours: label, skip, flag. What was taken back is left out.",
    ("answer",),
)
REVIEW_PROBABILITY = Series(
    "monitor_review_probability",
    Kind.GAUGE,
    Part.CONTROLLER,
    "ratio",
    "Probability with which a trace is drawn for review now: the least of all, and that of a disputed one.",
    ("trace",),
)

REVIEW_SERIES = (REVIEW_ITEMS, REVIEW_ANSWERS, REVIEW_PROBABILITY)
LABEL_SERIES = (
    WIN_RATE,
    WIN_RATE_LABELS,
    ESTIMATE,
    LABELS,
    LABEL_BLOCKS,
    LABEL_WAIT_SECONDS,
    LABEL_WAIT_LIMIT_SECONDS,
)
