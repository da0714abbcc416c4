"""The observation log takes the place of the checkpoints' stream batches.

Rows move by one statement a table. What the previous release folded keeps its place and goes on
where it stood. A process of that release fails at its next statement and can store nothing more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from monitor.postgres.column import TransactionId

revision = "20261122_log_contract"
down_revision = "20261122_job_handle_expand"
branch_labels = None
depends_on = None

_TRACE_COLUMNS = (
    'topic, "partition", record_offset, "timestamp", policy_model, conversation_id, cohort, messages, response,'
    " reference_response, finish_reason, input_tokens, output_tokens, output_tokens_source, latency_seconds,"
    " feedback_rating, error, repeated"
)
_DAY = "(c.created_at at time zone 'utc')::date"
# int8send writes the most significant byte first; the log's arrays are little endian.
_LITTLE_ENDIAN = " || ".join(f"substring(micros from {byte} for 1)" for byte in range(8, 0, -1))


def upgrade() -> None:
    op.execute("set local work_mem = '128MB'")
    op.execute("set local maintenance_work_mem = '256MB'")
    op.execute(
        "lock table consumer_offset, checkpoint, trace, stream_batch, score, baseline, fold_position, detector, alarm"
        " in access exclusive mode"
    )
    _make_entries()
    _make_batches()
    _make_traces()
    _make_subjects()
    _keep_what_workers_count()
    _move_positions()
    _move_baselines()
    _move_detectors_and_alarms()
    _sum_totals()
    op.drop_index(op.f("ix_repeat_key_last_counted"), table_name="repeat_key")
    op.create_index(op.f("ix_repeat_key_last_counted"), "repeat_key", ["last_counted"], postgresql_using="brin")
    op.drop_table("trace_before")
    for table in ("log_entry", "log_subject", "observation_batch", "checkpoint", "stored_trace", "trace"):
        op.execute(f"analyze {table}")


def downgrade() -> None:
    raise NotImplementedError("the texts' partitions and the log are not turned back: restore the backup taken before")


def _make_entries() -> None:
    op.create_table(
        "log_entry",
        sa.Column("entry_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("xact", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("last_timestamp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("first_place", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_log_entry")),
        sa.UniqueConstraint("sequence", name=op.f("uq_log_entry_sequence")),
    )
    # A checkpoint without traces shares its first index with the one after it.
    op.execute(
        "insert into log_entry (entry_id, xact, source, created_at, places, last_timestamp, sequence, first_place)"
        " select checkpoint_id, xact, 'traces', created_at, traces, last_timestamp,"
        "   case when first_index is not null then"
        "     row_number() over (order by first_index nulls last, traces > 0, xact, checkpoint_id) end, first_index"
        " from checkpoint"
    )
    op.execute(
        "select setval(pg_get_serial_sequence('log_entry', 'entry_id'), max(entry_id)) from log_entry"
        " having max(entry_id) is not null"
    )
    op.create_index(
        "ix_log_entry_unplaced", "log_entry", ["xact", "entry_id"], postgresql_where=sa.text("sequence is null")
    )
    op.create_index(op.f("ix_log_entry_first_place"), "log_entry", ["first_place"])
    op.create_index(op.f("ix_log_entry_source_sequence"), "log_entry", ["source", "sequence"])


def _make_batches() -> None:
    op.drop_constraint("fk_stream_batch_checkpoint_id_checkpoint", "stream_batch", type_="foreignkey")
    op.rename_table("stream_batch", "observation_batch")
    op.alter_column("observation_batch", "checkpoint_id", new_column_name="entry_id")
    op.execute("alter table observation_batch rename constraint pk_stream_batch to pk_observation_batch")
    op.add_column("observation_batch", sa.Column("inclusion", sa.LargeBinary(), nullable=True))
    op.create_foreign_key(
        op.f("fk_observation_batch_entry_id_log_entry"), "observation_batch", "log_entry", ["entry_id"], ["entry_id"]
    )


def _make_traces() -> None:
    op.drop_constraint("fk_trace_checkpoint_id_checkpoint", "trace", type_="foreignkey")
    op.rename_table("trace", "trace_before")
    op.execute("alter table trace_before rename constraint pk_trace to pk_trace_before")
    op.create_table(
        "stored_trace",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("stored_on", sa.Date(), nullable=False),
    )
    op.execute(
        f"insert into stored_trace select t.trace_id, t.checkpoint_id, t.ordinal, {_DAY}"  # noqa: S608
        " from trace_before t join checkpoint c using (checkpoint_id)"
    )
    op.create_primary_key(op.f("pk_stored_trace"), "stored_trace", ["trace_id"])
    op.create_index(op.f("ix_stored_trace_stored_on"), "stored_trace", ["stored_on"], postgresql_using="brin")
    op.create_table(
        "trace",
        sa.Column("stored_on", sa.Date(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("messages", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("reference_response", sa.Text(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens_source", sa.Text(), nullable=False),
        sa.Column("latency_seconds", sa.Float(), nullable=True),
        sa.Column("feedback_rating", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("repeated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("stored_on", "entry_id", "ordinal", name=op.f("pk_trace")),
        postgresql_partition_by="range (stored_on)",
    )
    op.execute("create table trace_default partition of trace default")
    op.execute(
        "do $$ declare day date; begin for day in select distinct stored_on from stored_trace loop"
        " execute format('create table %I partition of trace for values from (%L) to (%L)',"
        "   'trace_' || to_char(day, 'YYYYMMDD'), day, day + 1); end loop; end $$"
    )
    op.execute(
        f"insert into trace (stored_on, entry_id, ordinal, trace_id, {_TRACE_COLUMNS})"  # noqa: S608
        f" select {_DAY}, t.checkpoint_id, t.ordinal, t.trace_id, {_TRACE_COLUMNS}"
        " from trace_before t join checkpoint c using (checkpoint_id)"
    )


def _make_subjects() -> None:
    op.create_table(
        "log_subject",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("subject_ids", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("timestamps", sa.LargeBinary(), nullable=False),
        sa.Column("covariates", sa.LargeBinary(), nullable=True),
        sa.Column("covariates_version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_log_subject")),
    )
    op.execute(
        "insert into log_subject (entry_id, subject_ids, timestamps)"  # noqa: S608
        " select checkpoint_id, array_agg(trace_id order by ordinal),"
        f"   string_agg({_LITTLE_ENDIAN}, ''::bytea order by ordinal)"
        " from (select checkpoint_id, ordinal, trace_id,"
        "   int8send(round(extract(epoch from timestamp) * 1000000)::bigint) as micros from trace_before) packed"
        " group by checkpoint_id"
    )
    op.create_foreign_key(
        op.f("fk_log_subject_entry_id_log_entry"), "log_subject", "log_entry", ["entry_id"], ["entry_id"]
    )


def _keep_what_workers_count() -> None:
    op.alter_column("checkpoint", "checkpoint_id", new_column_name="entry_id", server_default=None)
    op.execute("drop sequence checkpoint_checkpoint_id_seq")
    op.drop_index("ix_checkpoint_unplaced", "checkpoint")
    op.drop_index("ix_checkpoint_first_index", "checkpoint")
    for column in ("xact", "created_at", "traces", "last_timestamp", "first_index"):
        op.drop_column("checkpoint", column)
    op.add_column(
        "checkpoint",
        sa.Column("skipped", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.alter_column("checkpoint", "skipped", server_default=None)
    op.create_foreign_key(
        op.f("fk_checkpoint_entry_id_log_entry"), "checkpoint", "log_entry", ["entry_id"], ["entry_id"]
    )


def _move_positions() -> None:
    """The fold stood at a trace's index, which may lie inside a checkpoint: it goes on at that place."""
    op.alter_column("fold_position", "next_index", new_column_name="next_place")
    op.add_column("fold_position", sa.Column("next_sequence", sa.BigInteger(), nullable=True))
    op.execute(
        "update fold_position set next_sequence = coalesce("
        "  (select min(sequence) from log_entry where first_place + places > next_place),"
        "  (select coalesce(max(sequence), 0) + 1 from log_entry))"
    )
    op.alter_column("fold_position", "next_sequence", nullable=False)


def _move_baselines() -> None:
    op.alter_column("baseline", "first_index", new_column_name="first_place")
    op.alter_column("baseline", "stop_index", new_column_name="stop_place")
    op.add_column("baseline", sa.Column("revision", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "baseline_trace",
        sa.Column("baseline_id", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("messages", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["baseline_id"], ["baseline.baseline_id"], name=op.f("fk_baseline_trace_baseline_id_baseline")
        ),
        sa.PrimaryKeyConstraint("baseline_id", "place", name=op.f("pk_baseline_trace")),
    )
    op.execute(
        "insert into baseline_trace (baseline_id, place, trace_id, cohort, policy_model, messages, response)"
        " select baseline_id, e.first_place + t.ordinal, t.trace_id, cohort, policy_model, messages, response"
        " from baseline b join log_entry e on e.first_place < b.stop_place and e.first_place + e.places > b.first_place"
        " join trace_before t on t.checkpoint_id = e.entry_id"
        " where b.active and not t.repeated and t.response is not null"
        " and e.first_place + t.ordinal >= b.first_place and e.first_place + t.ordinal < b.stop_place"
    )


def _move_detectors_and_alarms() -> None:
    op.add_column("detector", sa.Column("renewed_state", sa.LargeBinary(), nullable=True))
    op.add_column("detector", sa.Column("renewed_since", sa.BigInteger(), nullable=True))
    op.add_column("detector", sa.Column("renewed_for", sa.BigInteger(), nullable=True))
    op.add_column("detector", sa.Column("episode", sa.Integer(), server_default="0", nullable=False))
    op.add_column("detector", sa.Column("severity", sa.Text(), nullable=True))
    op.execute(
        "update detector d set severity = reached.severity from ("
        "  select baseline_id, signal, cohort, policy_model, scorer_version, min(severity) as severity"  # alert first
        "  from alarm group by 1, 2, 3, 4, 5"
        ") reached where (d.baseline_id, d.signal, d.cohort, d.policy_model, d.scorer_version) ="
        " (reached.baseline_id, reached.signal, reached.cohort, reached.policy_model, reached.scorer_version)"
    )
    op.alter_column("alarm", "trace_index", new_column_name="place")
    op.alter_column("alarm", "onset_index", new_column_name="onset_place")
    op.alter_column("alarm", "trace_id", nullable=True)
    op.add_column("alarm", sa.Column("episode", sa.Integer(), server_default="0", nullable=False))
    op.add_column("alarm", sa.Column("recovered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("alarm", sa.Column("recovered_place", sa.BigInteger(), nullable=True))
    op.execute(
        "do $$ begin execute (select 'alter table alarm drop constraint ' || quote_ident(conname) from pg_constraint"
        " where conrelid = 'alarm'::regclass and contype = 'u'); end $$"
    )
    op.create_unique_constraint(
        "uq_alarm_stream_severity_episode",
        "alarm",
        ["baseline_id", "signal", "cohort", "policy_model", "scorer_version", "severity", "episode"],
    )
    op.drop_constraint(op.f("ck_alarm_state"), "alarm", type_="check")
    op.create_check_constraint(
        op.f("ck_alarm_state"), "alarm", "state in ('open', 'acknowledged', 'recovered', 'superseded')"
    )


def _sum_totals() -> None:
    """Placed checkpoints only: the leader adds the others when it places them."""
    op.create_table(
        "running_total",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_running_total")),
    )
    # The previous release counted a preference in each checkpoint that read it; the table has it once.
    op.execute(
        "insert into running_total (name, label, value)"
        " with placed as (select * from log_entry join checkpoint using (entry_id) where sequence is not null)"
        " select name, label, value from (select sum(places), sum(repeats), sum(duplicates),"
        "   round(extract(epoch from max(last_timestamp)) * 1000000)::bigint,"
        "   (select count(*) from preference) - (select coalesce(sum(preferences), 0) from log_entry"
        "     join checkpoint using (entry_id) where sequence is null) from placed"
        " ) as sums(traces, repeats, duplicates, last_timestamp, preferences) cross join lateral (values"
        "   ('traces', '', traces), ('repeats', '', repeats), ('duplicates', '', duplicates),"
        "   ('preferences', '', nullif(greatest(preferences, 0), 0)), ('last_timestamp', '', last_timestamp)"
        " ) as total(name, label, value) where value is not null"
        " union all select 'dead_letters', reason, sum(count::bigint) from placed"
        "   cross join jsonb_each_text(dead_letters) as letter(reason, count) group by reason"
    )
