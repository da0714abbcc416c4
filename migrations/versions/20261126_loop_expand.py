"""Policies beside reward models, what follows a promotion, verdicts' reports, and probes."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "20261126_loop_expand"
down_revision = "20261125_label_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _extend()
    _calendar()
    _release()
    _probes()


def _time(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()") if now else None, nullable=nullable
    )


def _of_job(table: str, *, key: bool = False) -> list[sa.Constraint]:
    name = op.f(f"fk_{table}_job_id_job")
    found: list[sa.Constraint] = [sa.ForeignKeyConstraint(["job_id"], ["job.job_id"], name=name)]
    return [*found, sa.PrimaryKeyConstraint("job_id", name=op.f(f"pk_{table}"))] if key else found


def _extend() -> None:
    op.add_column("job", sa.Column("progress_detail", JSONB(), nullable=True))
    op.add_column("reward_model", sa.Column("role", sa.Text(), server_default=sa.text("'reward'"), nullable=False))
    op.add_column("reward_model", sa.Column("lineage", JSONB(), nullable=True))
    op.add_column("reward_model", sa.Column("card", sa.Text(), nullable=True))
    op.add_column("reward_model", sa.Column("calibration", JSONB(), nullable=True))
    op.add_column("reward_model", sa.Column("served_as", sa.Text(), nullable=True))


def _calendar() -> None:
    op.create_table(
        "calendar",
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        _time("since", now=True),
        sa.PrimaryKeyConstraint("action", "cron", name=op.f("pk_calendar")),
    )


def _release() -> None:
    op.create_table(
        "job_report",
        sa.Column("job_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("page", sa.LargeBinary(), nullable=False),
        _time("created_at", now=True),
        *_of_job("job_report", key=True),
    )
    op.create_table(
        "announcement",
        sa.Column("announcement_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        _time("created_at", now=True),
        *_of_job("announcement"),
        sa.PrimaryKeyConstraint("announcement_id", name=op.f("pk_announcement")),
    )
    op.create_index(op.f("ix_announcement_job_id"), "announcement", ["job_id"])
    op.create_table(
        "announcement_delivery",
        sa.Column("announcement_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        _time("delivered_at", nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("retry_at", nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["announcement_id"],
            ["announcement.announcement_id"],
            name=op.f("fk_announcement_delivery_announcement_id_announcement"),
        ),
        sa.PrimaryKeyConstraint("announcement_id", "channel", name=op.f("pk_announcement_delivery")),
    )
    op.create_table(
        "bake",
        sa.Column("job_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("observed_as", sa.Text(), nullable=False),
        sa.Column("former", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        _time("started_at", now=True),
        sa.Column("start_place", sa.BigInteger(), nullable=False),
        sa.Column("next_sequence", sa.BigInteger(), nullable=False),
        sa.Column("traces_wanted", sa.BigInteger(), nullable=False),
        sa.Column("traces_seen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("alarm_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        _time("ended_at", nullable=True),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.alarm_id"], name=op.f("fk_bake_alarm_id_alarm")),
        *_of_job("bake", key=True),
    )
    op.create_index(op.f("ix_bake_state"), "bake", ["state"])
    op.create_table(
        "shadow_score",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("champion_version", sa.Text(), nullable=False),
        sa.Column("champion_mean", sa.Float(), nullable=False),
        sa.Column("candidate_mean", sa.Float(), nullable=False),
        sa.Column("champion_disagreement", sa.Float(), nullable=False),
        sa.Column("candidate_disagreement", sa.Float(), nullable=False),
        _time("at", now=True),
        *_of_job("shadow_score"),
        sa.PrimaryKeyConstraint("job_id", "trace_id", name=op.f("pk_shadow_score")),
    )


def _probes() -> None:
    op.create_table(
        "probe_run",
        sa.Column("run_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("suite_sha256", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("policy_model", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _time("started_at", now=True),
        _time("ended_at", nullable=True),
        sa.Column("asked", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("judged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("outcomes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rate", sa.Float(), nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_probe_run")),
    )
    op.create_index("ix_probe_run_suite", "probe_run", ["suite", "run_id"])
    running = sa.text("state = 'running'")
    op.create_index("ix_probe_run_running", "probe_run", ["run_id"], postgresql_where=running)
    op.create_table(
        "probe_answer",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Float(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        _time("answered_at"),
        sa.ForeignKeyConstraint(["run_id"], ["probe_run.run_id"], name=op.f("fk_probe_answer_run_id_probe_run")),
        sa.PrimaryKeyConstraint("run_id", "item_id", name=op.f("pk_probe_answer")),
    )


def downgrade() -> None:
    told = "announcement_delivery", "announcement"
    for table in ("probe_answer", "probe_run", "shadow_score", "bake", *told, "job_report", "calendar"):
        op.drop_table(table)
    for column in ("served_as", "calibration", "card", "lineage", "role"):
        op.drop_column("reward_model", column)
    op.drop_column("job", "progress_detail")
