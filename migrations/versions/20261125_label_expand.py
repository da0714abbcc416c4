"""Labels as they came, the review queue, and what blocks of labels come to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "20261125_label_expand"
down_revision = "20261124_control_stream_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoint", sa.Column("labels", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("preference", sa.Column("trace_id", sa.Text(), nullable=True))
    op.add_column("baseline_trace", sa.Column("reference_response", sa.Text(), nullable=True))
    op.create_table(
        "criteria",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_criteria")),
    )
    op.create_index("uq_criteria_active", "criteria", ["active"], unique=True, postgresql_where=sa.text("active"))
    op.create_table(
        "estimate_day",
        sa.Column("estimand", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("criteria_version", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("cheap_sum", sa.Float(), nullable=False),
        sa.Column("cheap_square_sum", sa.Float(), nullable=False),
        sa.Column("prediction_sum", sa.Float(), nullable=False),
        sa.Column("prediction_square_sum", sa.Float(), nullable=False),
        sa.Column("least_probability", sa.Float(), nullable=False),
        sa.Column("gap_sum", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint(
            "estimand",
            "day",
            "policy_model",
            "cohort",
            "criteria_version",
            "scorer_version",
            name=op.f("pk_estimate_day"),
        ),
    )
    op.create_table(
        "label",
        sa.Column("label_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("criteria_version", sa.Text(), nullable=True),
        sa.Column("inclusion_probability", sa.Float(), nullable=True),
        sa.Column("dimensions", JSONB(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("label_id", "digest", name=op.f("pk_label")),
    )
    op.create_index(op.f("ix_label_received_at"), "label", ["received_at"], unique=False)
    op.create_index("ix_label_trace_id_kind", "label", ["trace_id", "kind"], unique=False)
    op.create_table(
        "label_block",
        sa.Column("estimand", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("first_place", sa.BigInteger(), nullable=False),
        sa.Column("stop_place", sa.BigInteger(), nullable=False),
        sa.Column("cut_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("criteria_version", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("items", sa.Integer(), nullable=True),
        sa.Column("labelled", sa.Integer(), nullable=True),
        sa.Column("missing", sa.Integer(), nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("estimand", "number", name=op.f("pk_label_block")),
    )
    op.create_index(op.f("ix_label_block_entry_id"), "label_block", ["entry_id"], unique=False)
    op.create_index(
        op.f("ix_label_block_estimand_first_place"), "label_block", ["estimand", "first_place"], unique=False
    )
    op.create_index(
        "ix_label_block_open",
        "label_block",
        ["estimand", "number"],
        unique=False,
        postgresql_where=sa.text("outcome is null"),
    )
    op.create_table(
        "label_item",
        sa.Column("estimand", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("criteria_version", sa.Text(), nullable=False),
        sa.Column("cheap", sa.Float(), nullable=True),
        sa.Column("prediction", sa.Float(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("length_gap", sa.Float(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("annotators", sa.Integer(), nullable=False),
        sa.Column("labelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("estimand", "trace_id", name=op.f("pk_label_item")),
    )
    op.create_index("ix_label_item_number", "label_item", ["estimand", "number"], unique=False)
    op.create_table(
        "label_state",
        sa.Column("estimand", sa.Text(), nullable=False),
        sa.Column("next_sequence", sa.BigInteger(), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.Column("first_place", sa.BigInteger(), nullable=False),
        sa.Column("eligible", sa.Integer(), nullable=False),
        sa.Column("tuning", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("estimand", name=op.f("pk_label_state")),
    )
    op.create_table(
        "preference_set",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("card", JSONB(), nullable=False),
        sa.Column("members", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_preference_set")),
    )
    op.create_table(
        "preference_pair",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("used_on", sa.Date(), server_default=sa.text("current_date"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_preference_pair")),
    )
    op.create_table(
        "preference_text",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("messages", JSONB(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("reference_response", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("kept_on", sa.Date(), server_default=sa.text("current_date"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", name=op.f("pk_preference_text")),
    )
    op.create_index(op.f("ix_preference_text_content"), "preference_text", ["content"], unique=False)
    op.add_column("preference", sa.Column("content", sa.LargeBinary(), nullable=True))
    op.create_index(op.f("ix_preference_content"), "preference", ["content"], unique=False)
    op.create_index(
        "ix_preference_unread",
        "preference",
        ["preference_id"],
        unique=False,
        postgresql_where=sa.text("content is null"),
    )
    op.create_table(
        "review_item",
        sa.Column("item_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("gold", sa.Float(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("missing", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_review_item")),
        sa.UniqueConstraint("trace_id", "kind", name=op.f("uq_review_item_trace_id_kind")),
    )
    op.create_index(
        op.f("ix_review_item_created_at"), "review_item", ["created_at"], unique=False, postgresql_using="brin"
    )
    op.create_index(
        "ix_review_item_gold", "review_item", ["item_id"], unique=False, postgresql_where=sa.text("gold is not null")
    )
    op.create_index(
        "ix_review_item_open",
        "review_item",
        ["priority", "item_id"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "review_plan",
        sa.Column("revision", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_review_plan")),
    )
    op.create_table(
        "review_claim",
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("annotator_id", sa.Text(), nullable=False),
        sa.Column("policy_first", sa.Boolean(), nullable=True),
        sa.Column("criteria_version", sa.Text(), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["review_item.item_id"], name=op.f("fk_review_claim_item_id_review_item")),
        sa.PrimaryKeyConstraint("item_id", "annotator_id", name=op.f("pk_review_claim")),
    )
    op.create_table(
        "review_verdict",
        sa.Column("verdict_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("item_id", sa.BigInteger(), nullable=False),
        sa.Column("annotator_id", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("policy_first", sa.Boolean(), nullable=True),
        sa.Column("criteria_version", sa.Text(), nullable=True),
        sa.Column("dimensions", JSONB(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("label_id", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["item_id"], ["review_item.item_id"], name=op.f("fk_review_verdict_item_id_review_item")
        ),
        sa.PrimaryKeyConstraint("verdict_id", name=op.f("pk_review_verdict")),
    )
    op.create_index(op.f("ix_review_verdict_at"), "review_verdict", ["at"], unique=False, postgresql_using="brin")
    op.create_index("ix_review_verdict_annotator_id_at", "review_verdict", ["annotator_id", "at"], unique=False)
    op.create_index(op.f("ix_review_verdict_item_id"), "review_verdict", ["item_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_review_verdict_item_id"), table_name="review_verdict")
    op.drop_index(op.f("ix_review_verdict_at"), table_name="review_verdict", postgresql_using="brin")
    op.drop_index("ix_review_verdict_annotator_id_at", table_name="review_verdict")
    op.drop_table("review_verdict")
    op.drop_table("review_claim")
    op.drop_table("review_plan")
    op.drop_index(op.f("ix_review_item_created_at"), table_name="review_item", postgresql_using="brin")
    op.drop_index("ix_review_item_gold", table_name="review_item", postgresql_where=sa.text("gold is not null"))
    op.drop_index("ix_review_item_open", table_name="review_item", postgresql_where=sa.text("state = 'open'"))
    op.drop_table("review_item")
    op.drop_index("ix_preference_unread", table_name="preference", postgresql_where=sa.text("content is null"))
    op.drop_index(op.f("ix_preference_content"), table_name="preference")
    op.drop_column("preference", "content")
    op.drop_index(op.f("ix_preference_text_content"), table_name="preference_text")
    op.drop_table("preference_text")
    op.drop_table("preference_pair")
    op.drop_table("preference_set")
    op.drop_table("label_state")
    op.drop_index("ix_label_item_number", table_name="label_item")
    op.drop_table("label_item")
    op.drop_index("ix_label_block_open", table_name="label_block", postgresql_where=sa.text("outcome is null"))
    op.drop_index(op.f("ix_label_block_estimand_first_place"), table_name="label_block")
    op.drop_index(op.f("ix_label_block_entry_id"), table_name="label_block")
    op.drop_table("label_block")
    op.drop_index("ix_label_trace_id_kind", table_name="label")
    op.drop_index(op.f("ix_label_received_at"), table_name="label")
    op.drop_table("label")
    op.drop_table("estimate_day")
    op.drop_index("uq_criteria_active", table_name="criteria", postgresql_where=sa.text("active"))
    op.drop_table("criteria")
    op.drop_column("baseline_trace", "reference_response")
    op.drop_column("preference", "trace_id")
    op.drop_column("checkpoint", "labels")
