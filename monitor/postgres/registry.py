"""The registry: which reward models there are, which one is the champion, and how that changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.job import Hold, JobState
from monitor.errors import Conflict
from monitor.postgres import schema
from monitor.postgres.engine import transaction
from monitor.postgres.job_rows import Author, document, move, record_audit, result_of, spec_of
from monitor.retraining.promotion import Promote, decide_promotion
from monitor.runs.artifact import Artifact
from monitor.runs.model import Models, RegisteredModel
from monitor.runs.result import PairMetrics, RunResult

REWARD = "reward"
SHOWN_MODELS = 50

# Called in the promotion's own transaction, so that a new scorer is never the champion without its baseline.
# A refusal for good is raised as `Conflict`: nothing is promoted then.
OnPromoted = Callable[[Connection, RunResult], None]


class RewardRegistry:
    """Reading the registry, and giving it its first champion."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def champion(self) -> Artifact | None:
        with transaction(self._engine) as connection:
            return champion_in(connection)

    def champion_version(self) -> str | None:
        """Return the champion's version by a one-row lookup, for a loop that asks often."""
        query = select(schema.registry.c.version).where(schema.registry.c.role == REWARD)
        with transaction(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def models(self) -> Models:
        """Return the champion, the one before it, and the newest of the others."""
        this = select(schema.registry).where(schema.registry.c.role == REWARD)
        newest = select(schema.reward_model).order_by(schema.reward_model.c.created_at.desc())
        with transaction(self._engine) as connection:
            pointer = connection.execute(this).mappings().one_or_none()
            rows = connection.execute(newest.limit(SHOWN_MODELS)).mappings().all()
            named = [pointer["version"], pointer["previous_version"]] if pointer else []
            chosen = connection.execute(newest.where(schema.reward_model.c.version.in_(named))).mappings().all()
        by_version = {row["version"]: _model(row) for row in chosen}
        return Models(
            champion=by_version.get(pointer["version"]) if pointer else None,
            previous=by_version.get(pointer["previous_version"]) if pointer else None,
            candidates=tuple(_model(row) for row in rows if row["version"] not in named),
            promoted_at=pointer["promoted_at"] if pointer else None,
            promoted_by=pointer["promoted_by"] if pointer else None,
        )

    def register(self, artifact: Artifact, metrics: PairMetrics | None, job_id: int | None) -> None:
        with transaction(self._engine) as connection:
            register(connection, artifact, metrics, job_id)

    def adopt(self, artifact: Artifact, *, actor: str, role: str) -> bool:
        """Make *artifact* the champion if there is none yet; say whether it became it."""
        with transaction(self._engine) as connection:
            lock_registry(connection)
            if champion_in(connection) is not None:
                return False
            register(connection, artifact, None, None)
            by = Author(actor, role)
            point_to(connection, artifact.version, by=by)
            record_audit(connection, by=by, action="reward_model.adopt", subject=artifact.version, detail={})
            return True


def lock_registry(connection: Connection) -> None:
    """Let no other transaction move the pointer until this one ends; a row lock cannot guard an empty table."""
    connection.execute(text("lock table registry in share row exclusive mode"))


def champion_in(connection: Connection) -> Artifact | None:
    query = (
        select(schema.reward_model)
        .join(schema.registry, schema.registry.c.version == schema.reward_model.c.version)
        .where(schema.registry.c.role == REWARD)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _artifact(row)


def register(connection: Connection, artifact: Artifact, metrics: PairMetrics | None, job_id: int | None) -> None:
    """Add *artifact*, or note where the same bytes lie now; the same version with other bytes is a `Conflict`."""
    model = {
        "version": artifact.version,
        "path": artifact.path,
        "sha256": artifact.sha256,
        "job_id": job_id,
        "metrics": document(metrics) if metrics is not None else {},
    }
    statement = upsert(schema.reward_model).values(model)
    again = statement.on_conflict_do_update(
        index_elements=[schema.reward_model.c.version],
        set_={"path": artifact.path, "job_id": job_id, "metrics": model["metrics"]},
        where=schema.reward_model.c.sha256 == artifact.sha256,
    )
    if connection.execute(again).rowcount == 0:
        raise Conflict(f"reward model {artifact.version} is registered with other bytes; wanted a version of its own")


def promote(connection: Connection, row: RowMapping, *, by: Author, note: str, on_promoted: OnPromoted) -> RowMapping:
    """Move a locked job to promoted and the pointer to its candidate; return the job's new row.

    A verdict holds against one champion: raises `Conflict` where a passed job's
    is no longer the champion. A failed gate is passed by override whoever it is.
    """
    lock_registry(connection)
    decision = decide_for(connection, row, "automatic")
    if isinstance(decision, Hold) and row["state"] == JobState.PASSED:
        raise Conflict(f"job {row['job_id']} was {decision.detail}; wanted the same: cancel it and start another")
    result = result_of(row)
    assert result is not None
    before = champion_in(connection)
    after = move(connection, row, JobState.PROMOTED, by=by, note=note)
    point_to(connection, result.candidate.version, by=by)
    detail = {"job_id": row["job_id"], "previous": before.version if before else None, "note": note}
    record_audit(connection, by=by, action="reward_model.promote", subject=result.candidate.version, detail=detail)
    on_promoted(connection, result)
    return after


def decide_for(connection: Connection, row: RowMapping, mode: Literal["automatic", "manual"]) -> Promote | Hold:
    """Decide on a passed job's promotion, by the champion its verdict was reached with and today's."""
    spec = spec_of(row)
    assert spec is not None
    champion = champion_in(connection)
    return decide_promotion(
        mode,
        judged_against=spec.champion.version if spec.champion else None,
        champion=champion.version if champion else None,
    )


def point_to(connection: Connection, version: str, *, by: Author) -> None:
    """Move the pointer to *version*, keeping where it stood; the registry is locked by the caller."""
    moved = (
        update(schema.registry)
        .where(schema.registry.c.role == REWARD)
        .values(
            version=version, previous_version=schema.registry.c.version, promoted_at=func.now(), promoted_by=by.name
        )
    )
    if connection.execute(moved).rowcount == 0:
        connection.execute(insert(schema.registry).values(role=REWARD, version=version, promoted_by=by.name))


def roll_back(connection: Connection, row: RowMapping, *, by: Author, note: str) -> RowMapping:
    """Move a locked, promoted job to rolled_back and the pointer to where it stood before; return the new row."""
    lock_registry(connection)
    query = select(schema.registry).where(schema.registry.c.role == REWARD)
    pointer = connection.execute(query).mappings().one_or_none()
    version = pointer["version"] if pointer is not None else None
    if row["state"] == JobState.PROMOTED and version != row["candidate_version"]:
        raise Conflict(
            f"job {row['job_id']} promoted {row['candidate_version']}, but the champion is {version};"
            " wanted the job whose candidate is the champion"
        )
    previous = pointer["previous_version"] if pointer is not None else None
    if row["state"] == JobState.PROMOTED and previous is None:
        raise Conflict(f"job {row['job_id']}: no champion is kept from before {version}; wanted one to roll back to")
    after = move(connection, row, JobState.ROLLED_BACK, by=by, note=note)
    back = {"version": previous, "previous_version": None, "promoted_at": func.now(), "promoted_by": by.name}
    connection.execute(update(schema.registry).where(schema.registry.c.role == REWARD).values(back))
    detail = {"job_id": row["job_id"], "champion": previous, "note": note}
    record_audit(connection, by=by, action="reward_model.roll_back", subject=version or "", detail=detail)
    return after


def _artifact(row: RowMapping) -> Artifact:
    return Artifact(version=row["version"], path=row["path"], sha256=row["sha256"])


def _model(row: RowMapping) -> RegisteredModel:
    return RegisteredModel(
        version=row["version"],
        sha256=row["sha256"],
        created_at=row["created_at"],
        job_id=row["job_id"],
        metrics=msgspec.convert(row["metrics"], PairMetrics, strict=False) if row["metrics"] else None,
    )
