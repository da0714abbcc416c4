"""The registry: which models there are, and whom each role names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, Select, case, delete, func, null, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from monitor.domain.job import JobState
from monitor.postgres import schema
from monitor.postgres.document import document
from monitor.postgres.engine import transaction
from monitor.retraining.records import Author, Pointer, Registration
from monitor.runs.artifact import Artifact
from monitor.runs.calibration import ScorerCalibration
from monitor.runs.lineage import Lineage
from monitor.runs.model import ModelDetail, ModelPlace, ModelQuery, ModelRole, ModelState, RegisteredModel
from monitor.runs.refusal import REFUSAL
from monitor.runs.result import PairMetrics, RewardResult

REWARD = RewardResult.role
REGISTRY_LOCK = 0x524C4846_07  # a row lock cannot guard a role that has no row yet


class RewardRegistry:
    """Reading the registry."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def champion(self, role: str = REWARD) -> Artifact | None:
        with transaction(self._engine) as connection:
            return PostgresRegistry(connection).champion(role)

    def champion_version(self, role: str = REWARD) -> str | None:
        """Return the champion's version by a one-row lookup, for a loop that asks often."""
        query = select(schema.registry.c.version).where(schema.registry.c.role == role)
        with transaction(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def promoted(self) -> dict[ModelRole, datetime]:
        """Return when the model that each role names was put there."""
        query = select(schema.registry.c.role, schema.registry.c.promoted_at)
        with transaction(self._engine) as connection:
            return {ModelRole(row.role): row.promoted_at for row in connection.execute(query)}

    def models(self, wanted: ModelQuery, *, limit: int, before: ModelPlace | None = None) -> Sequence[RegisteredModel]:
        """Return the newest first, those that stand before *before* where it is given."""
        model = schema.reward_model.c
        query = _MODELS.order_by(model.created_at.desc(), model.version.desc()).limit(limit)
        if wanted.role is not None:
            query = query.where(model.role == wanted.role)
        if wanted.states:
            query = query.where(_STATE.in_(wanted.states))
        if before is not None:
            query = query.where(tuple_(model.created_at, model.version) < tuple_(*before))
        with transaction(self._engine) as connection:
            return [_model(row) for row in connection.execute(query).mappings()]

    def model(self, version: str) -> ModelDetail | None:
        """Return a model of whatever role, with where it comes from."""
        query = _MODELS.where(schema.reward_model.c.version == version)
        with transaction(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        lineage = None if row["lineage"] is None else msgspec.convert(row["lineage"], Lineage, strict=False)
        return ModelDetail(_model(row), row["path"], lineage, row["card"], _calibration(row["calibration"]))

    def calibration(self, version: str) -> ScorerCalibration | None:
        """Return what a scorer's margins are worth; None for one that is not registered, or was never calibrated."""
        query = select(schema.reward_model.c.calibration).where(schema.reward_model.c.version == version)
        with transaction(self._engine) as connection:
            return _calibration(connection.execute(query).scalar_one_or_none())


class PostgresRegistry:
    """`retraining.work.Registry` within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hold(self) -> None:
        self._connection.execute(text(f"select pg_advisory_xact_lock({REGISTRY_LOCK})"))

    def pointer(self, role: str) -> Pointer | None:
        row = self._connection.execute(select(schema.registry).where(schema.registry.c.role == role)).one_or_none()
        return None if row is None else Pointer(row.version, row.previous_version)

    def champion(self, role: str) -> Artifact | None:
        of_role = schema.registry.c.role == role
        return self._artifact(select(schema.reward_model).join(schema.registry, _NAMED).where(of_role))

    def artifact(self, version: str) -> Artifact | None:
        return self._artifact(select(schema.reward_model).where(schema.reward_model.c.version == version))

    def register(self, model: Registration) -> bool:
        table, artifact = schema.reward_model.c, model.artifact
        known = {
            "path": artifact.path,
            "job_id": model.job_id,
            "metrics": document(model.metrics) if model.metrics is not None else {},
            "lineage": null() if model.lineage is None else document(model.lineage),
            "card": model.card,
        }
        row = {
            "version": artifact.version,
            "sha256": artifact.sha256,
            "role": model.role,
            "served_as": model.served_as,
            "calibration": null() if model.calibration is None else document(model.calibration),
        }
        again = (
            upsert(schema.reward_model)
            .values(**row, **known)
            .on_conflict_do_update(
                index_elements=[table.version],
                set_=known,
                where=(table.sha256 == artifact.sha256) & (table.role == model.role),
            )
        )
        stored = self._connection.execute(again.returning(schema.reward_model.c.version))
        return stored.first() is not None

    def served_as(self, version: str) -> str | None:
        query = select(schema.reward_model.c.served_as).where(schema.reward_model.c.version == version)
        return self._connection.execute(query).scalar_one_or_none()

    def serve_as(self, version: str, name: str) -> None:
        self._note(version, served_as=name)

    def keep_card(self, version: str, card: str) -> None:
        self._note(version, card=card)

    def point(self, role: str, pointer: Pointer, *, by: Author) -> None:
        row = {"version": pointer.version, "previous_version": pointer.previous, "promoted_by": by.name}
        statement = upsert(schema.registry).values(role=role, **row)
        moved = statement.on_conflict_do_update(
            index_elements=[schema.registry.c.role], set_={**row, "promoted_at": func.now()}
        )
        self._connection.execute(moved)

    def pairs_taken_at(self, role: str) -> datetime | None:
        model, event = schema.reward_model.c, schema.job_event.c
        taken = (
            select(func.min(event.at))  # a later attempt is given the pairs of the first
            .where(event.job_id == model.job_id, event.state == JobState.LEASED)
            .correlate(schema.reward_model)
            .scalar_subquery()
        )
        given = null() if role == REFUSAL else model.created_at  # those weights learnt from no label of this database
        query = select(func.coalesce(taken, given)).select_from(schema.reward_model).join(schema.registry, _NAMED)
        return self._connection.execute(query.where(schema.registry.c.role == role)).scalar_one_or_none()

    def candidates(self, role: str) -> Sequence[str]:
        model = schema.reward_model.c
        query = select(model.version).where(model.job_id.is_not(None), model.role == role)
        return self._connection.execute(query.order_by(model.created_at.desc(), model.version)).scalars().all()

    def remove(self, version: str) -> None:
        self._connection.execute(delete(schema.reward_model).where(schema.reward_model.c.version == version))

    def _note(self, version: str, **values: str) -> None:
        chosen = update(schema.reward_model).where(schema.reward_model.c.version == version)
        self._connection.execute(chosen.values(**values))

    def _artifact(self, query: Select[tuple[object, ...]]) -> Artifact | None:
        row = self._connection.execute(query).one_or_none()
        return None if row is None else Artifact(version=row.version, path=row.path, sha256=row.sha256)


_NAMED = schema.registry.c.version == schema.reward_model.c.version
_STATE = case(
    (_NAMED, ModelState.CHAMPION.value),
    (schema.registry.c.previous_version == schema.reward_model.c.version, ModelState.PREVIOUS.value),
    else_=ModelState.CANDIDATE.value,
)
_MODELS = select(
    schema.reward_model,
    _STATE.label("state"),
    case((_NAMED, schema.registry.c.promoted_at)).label("promoted_at"),
    case((_NAMED, schema.registry.c.promoted_by)).label("promoted_by"),
).outerjoin(schema.registry, schema.registry.c.role == schema.reward_model.c.role)


def replaced_scorers(connection: Connection) -> frozenset[str]:
    """Return the versions of the registered ensembles that are not the champion."""
    named = select(schema.registry.c.version).where(schema.registry.c.role == REWARD)
    scorers = select(schema.reward_model.c.version).where(schema.reward_model.c.role == REWARD)
    return frozenset(connection.execute(scorers.except_(named)).scalars())


def _calibration(stored: object) -> ScorerCalibration | None:
    return None if stored is None else msgspec.convert(stored, ScorerCalibration, strict=False)


def _model(row: RowMapping) -> RegisteredModel:
    return RegisteredModel(
        version=row["version"],
        sha256=row["sha256"],
        created_at=row["created_at"],
        job_id=row["job_id"],
        metrics=msgspec.convert(row["metrics"], PairMetrics, strict=False) if row["metrics"] else None,
        role=ModelRole(row["role"]),
        served_as=row["served_as"],
        state=ModelState(row["state"]),
        promoted_at=row["promoted_at"],
        promoted_by=row["promoted_by"],
    )
