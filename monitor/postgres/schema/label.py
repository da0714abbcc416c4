"""The tables of what people say: labels as they came, the review queue, and what blocks of labels came to."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

# Append-only: the same id with another content is a correction, and both stay. No foreign key leads to the trace,
# since a label may come before its trace, and stay after it.
label = Table(
    "label",
    metadata,
    Column("label_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # 16 bytes: `Label.digest`
    _timestamp("timestamp"),
    Column("trace_id", Text, nullable=False),
    Column("annotator_id", Text),
    Column("kind", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("criteria_version", Text),
    Column("inclusion_probability", Float),
    Column("dimensions", JSONB, nullable=False),
    Column("source", Text, nullable=False),  # `domain.label.LabelSource`
    _timestamp("received_at", default_now=True),
    _timestamp("withdrawn_at", nullable=True),  # its annotator took it back: it stays, and counts no more
    PrimaryKeyConstraint("label_id", "digest"),
    Index("ix_label_trace_id_kind", "trace_id", "kind"),
    Index(None, "received_at"),
)

criteria = Table(
    "criteria",
    metadata,
    Column("version", Text, primary_key=True),
    Column("text", Text, nullable=False),  # what annotators are shown
    Column("active", Boolean, nullable=False),
    _timestamp("created_at", default_now=True),
    Column("created_by", Text, nullable=False),
    Index("uq_criteria_active", "active", unique=True, postgresql_where=text("active")),
)

# How traces are selected; the row with the highest revision is in force.
review_plan = Table(
    "review_plan",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=True),
    Column("content", JSONB, nullable=False),  # `domain.review.SelectionPlan`
    _timestamp("created_at", default_now=True),
)

# A trace that is to be judged, written in the transaction that stores the trace.
review_item = Table(
    "review_item",
    metadata,
    Column("item_id", BigInteger, primary_key=True, autoincrement=True),
    Column("trace_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("probability", Float, nullable=False),  # with which it was selected, before any label of it was seen
    Column("counted", Boolean, nullable=False),  # False: chosen for what its values are, so no estimate counts it
    Column("reason", Text, nullable=False),  # `domain.review.Reason`
    Column("wanted", Integer, nullable=False),  # annotators
    Column("priority", Float, nullable=False, server_default=text("0")),  # the least first
    Column("gold", Float),  # the known verdict of a gold item
    Column("state", Text, nullable=False, server_default=text("'open'")),  # `domain.review.ItemState`
    Column("missing", Text),  # why it has no verdict: skipped, flagged, text_gone, ...
    _timestamp("created_at", default_now=True),
    _timestamp("done_at", nullable=True),
    UniqueConstraint("trace_id", "kind"),
    Index("ix_review_item_open", "priority", "item_id", postgresql_where=text("state = 'open'")),
    Index("ix_review_item_gold", "item_id", postgresql_where=text("gold is not null")),
    Index(None, "created_at", postgresql_using="brin"),  # rows come in the order of time
)

# What an annotator answered, in order; an undone answer stays, with the time it was taken back.
review_verdict = Table(
    "review_verdict",
    metadata,
    Column("verdict_id", BigInteger, primary_key=True, autoincrement=True),
    Column("item_id", BigInteger, ForeignKey("review_item.item_id"), nullable=False),
    Column("annotator_id", Text, nullable=False),
    Column("answer", Text, nullable=False),  # `domain.review.Answer`: label, skip, flag
    Column("value", Float),  # of the policy's answer, 0 to 1; null unless the answer is a label
    Column("policy_first", Boolean),  # where its answer stood; null where there was but one
    Column("criteria_version", Text),
    Column("dimensions", JSONB, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("seconds", Float),  # from its being shown to its answer
    Column("label_id", Text),
    _timestamp("at", default_now=True),
    _timestamp("undone_at", nullable=True),
    Index(None, "item_id"),
    Index("ix_review_verdict_annotator_id_at", "annotator_id", "at"),
    Index(None, "at", postgresql_using="brin"),
)

# Who has which item on the screen, and how it is shown, so that no two annotators do the same work.
review_claim = Table(
    "review_claim",
    metadata,
    Column("item_id", BigInteger, ForeignKey("review_item.item_id"), nullable=False),
    Column("annotator_id", Text, nullable=False),
    Column("policy_first", Boolean),  # where its answer stands; null where there is but one
    Column("criteria_version", Text, nullable=False),
    _timestamp("shown_at"),
    _timestamp("until"),
    PrimaryKeyConstraint("item_id", "annotator_id"),
)

# A run of traces of which some are labelled; blocks are settled in their order, each whole.
label_block = Table(
    "label_block",
    metadata,
    Column("estimand", Text, nullable=False),
    Column("number", BigInteger, nullable=False),  # 1, 2, 3, ...
    Column("first_place", BigInteger, nullable=False),  # in the log, of its traces
    Column("stop_place", BigInteger, nullable=False),
    _timestamp("cut_at"),  # the log's time when its last trace was there
    Column("criteria_version", Text, nullable=False),  # that its labels must have; "" for any
    Column("outcome", Text),  # `labels.block.Outcome`; null: its labels are not all there
    Column("items", Integer),  # traces that may have been labelled
    Column("labelled", Integer),
    Column("missing", Integer),  # selected, and not labelled in time
    Column("entry_id", BigInteger),  # of the log, in which it was written
    _timestamp("settled_at", nullable=True),
    PrimaryKeyConstraint("estimand", "number"),
    Index("ix_label_block_open", "estimand", "number", postgresql_where=text("outcome is null")),
    Index(None, "estimand", "first_place"),
    Index(None, "entry_id"),
)

# The labelled traces of settled blocks, and those selected whose label is missing.
label_item = Table(
    "label_item",
    metadata,
    Column("estimand", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("number", BigInteger, nullable=False),  # of its block
    _timestamp("timestamp"),  # the trace's
    Column("policy_model", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),  # of the cheap opinion; "" without one
    Column("criteria_version", Text, nullable=False),
    Column("cheap", Float),  # the opinion, 0 to 1
    Column("prediction", Float, nullable=False),  # made of it, from earlier blocks alone
    Column("probability", Float, nullable=False),
    Column("length_gap", Float),  # how much longer the answer is than its reference: log ratio of words
    Column("value", Float),  # the verdict; null where it is missing
    Column("annotators", Integer, nullable=False),
    _timestamp("labelled_at", nullable=True),
    PrimaryKeyConstraint("estimand", "trace_id"),
    Index("ix_label_item_number", "estimand", "number"),
)

# Sums over the traces of settled blocks, labelled or not, by the day of their timestamp.
estimate_day = Table(
    "estimate_day",
    metadata,
    Column("estimand", Text, nullable=False),
    Column("day", Date, nullable=False),  # UTC
    Column("policy_model", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("criteria_version", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("cheap_sum", Float, nullable=False),
    Column("cheap_square_sum", Float, nullable=False),
    Column("prediction_sum", Float, nullable=False),
    Column("prediction_square_sum", Float, nullable=False),
    Column("least_probability", Float, nullable=False),  # with which any of them may have been selected
    Column("gap_sum", Float, nullable=False),  # of tanh(length gap / its spread)
    PrimaryKeyConstraint("estimand", "day", "policy_model", "cohort", "criteria_version", "scorer_version"),
)

# How far the log is cut into blocks, and what earlier blocks have taught (`labels.tuning`); one row an estimand.
label_state = Table(
    "label_state",
    metadata,
    Column("estimand", Text, primary_key=True),
    Column("next_sequence", BigInteger, nullable=False),  # of the first entry that is not read
    Column("next_number", BigInteger, nullable=False),  # of the next block
    Column("first_place", BigInteger, nullable=False),  # where it begins
    Column("eligible", Integer, nullable=False),  # traces it has so far
    Column("tuning", LargeBinary, nullable=False),
)

# The text of a labelled trace, kept past the day its partition goes: labels come late, and runs learn from them later.
preference_text = Table(
    "preference_text",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),  # as `preference.content`: the answer first, then its reference
    Column("messages", JSONB, nullable=False),
    Column("response", Text, nullable=False),
    Column("reference_response", Text),  # null: a refusal was judged, and there was nothing to compare
    Column("conversation_id", Text),
    Column("user_id", Text),
    Column("cohort", Text, nullable=False),
    Column("policy_model", Text),  # null: kept by an earlier release
    Column("kept_on", Date, nullable=False, server_default=text("current_date")),
    Index(None, "content"),
)

# A set of preference pairs that a run was given, found again by the hash of its file.
preference_set = Table(
    "preference_set",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("card", JSONB, nullable=False),  # what it holds, and by which rules
    Column("members", LargeBinary, nullable=False),  # digests of `preference_pair`, 32 bytes each, in the file's order
    _timestamp("created_at", default_now=True),
)

# The lines of those files, each once: sets made a day apart share most of them.
preference_pair = Table(
    "preference_pair",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # sha256 of the line
    Column("line", Text, nullable=False),  # without its end
    Column("used_on", Date, nullable=False, server_default=text("current_date")),  # by the newest set that holds it
)
