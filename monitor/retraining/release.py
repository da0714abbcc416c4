"""The release of a candidate: promoted, overridden, rolled back, and the first champion adopted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from monitor.domain.baseline import BaselineExtension
from monitor.domain.job import Hold, Job, JobState
from monitor.domain.release import Bake, BakeState
from monitor.errors import Conflict, InvalidInput, NotFound
from monitor.retraining.announcing import PROMOTED, ROLLED_BACK, named_policy, promotion_payload
from monitor.retraining.card import adopted_card, model_card
from monitor.retraining.promotion import WAITING, Promote, decide_promotion, decide_shadow
from monitor.retraining.records import Author, JobRecord, Pointer, Registration
from monitor.retraining.work import Transactions, UnitOfWork, lock_job, move
from monitor.runs.artifact import Artifact
from monitor.runs.policy import POLICY
from monitor.runs.result import RewardResult, RunResult
from monitor.settings.retrain import RetrainSettings

_DAEMON = Author("dispatcher", "daemon")
_TRIES = 3  # a baseline that is frozen or extended between the plan and the promotion is planned on again


Sign = Callable[[UnitOfWork, JobRecord], None]  # what is put on record beside a promotion, within it


class ScorerBaselines(Protocol):
    """Where a promoted scorer's streams get their laws from."""

    def plan(self, result: RunResult) -> BaselineExtension | None:
        """Work out the active baseline with the scorer's laws; None where no baseline is active.

        Called outside of any transaction, as it may take long. Raises `InvalidInput`
        for a result that does not fit the baseline and never will.
        """
        ...


class _BaselineMoved(Exception):
    """The active baseline is not the one that was planned on."""


class Releases:
    """Moves the registry's pointers; a verdict holds against the champion it was reached with, and no other."""

    def __init__(
        self,
        begin: Transactions,
        baselines: ScorerBaselines,
        settings: RetrainSettings = RetrainSettings(),
        no_shadow: str | None = None,
    ) -> None:
        self._begin = begin
        self._baselines = baselines
        self._settings = settings
        self._no_shadow = no_shadow  # why no candidate can score beside the champion

    def promote(self, job_id: int, *, by: Author, note: str) -> Job:
        """Promote a job that passed its gate; raise `Conflict` where its verdict does not hold any more."""
        return self._promote(job_id, JobState.PASSED, lambda _work, _record: None, by=by, note=note)

    def override(self, job_id: int, reason: str, *, by: Author) -> Job:
        """Promote a job that failed its gate, against whichever champion; raise `Conflict` for any other job."""

        def sign(work: UnitOfWork, record: JobRecord) -> None:
            verdict = record.job.verdict
            assert verdict is not None
            failed = [check.name for check in verdict.checks if not check.passed]
            detail = {"reason": reason, "failed_checks": failed, "evidence_sha256": verdict.evidence_sha256}
            work.audit.record("gate.override", f"job {job_id}", by=by, detail=detail)

        return self._promote(job_id, JobState.FAILED_GATE, sign, by=by, note=f"gate overridden: {reason}")

    def promote_passed(self, mode: Literal["automatic", "manual"]) -> Hold | int | None:
        """Promote a job that passed, if *mode* says so; cancel it instead where its verdict no longer holds.

        Returns the number of the one that was promoted, else why the last of them was not; None without any.
        """
        with self._begin() as work:
            passed = work.jobs.in_states({JobState.PASSED})
            waiting = [(record, self._decide_unasked(work, record, mode)) for record in passed]
        found: Hold | int | None = None
        for record, decision in waiting:
            found = self._promote_or_hold(record, decision)
            if isinstance(found, int):
                break
        return found

    def _promote_or_hold(self, record: JobRecord, decision: Promote | Hold) -> Hold | int:
        job_id = record.job.job_id
        if isinstance(decision, Promote):
            try:
                note = "; ".join(filter(None, ("the gate passed", decision.note)))
                self.promote(job_id, by=_DAEMON, note=note)
                return job_id
            except Conflict as refusal:
                decision = Hold("not_promotable", str(refusal))
        if decision.reason not in WAITING:
            with self._begin() as work:
                record = lock_job(work, job_id)
                if record.job.state is JobState.PASSED:
                    note = f"{decision.reason}: {decision.detail}"
                    move(work, record, JobState.CANCELLED, by=_DAEMON, note=note)
        return decision

    def _decide_unasked(
        self, work: UnitOfWork, record: JobRecord, mode: Literal["automatic", "manual"]
    ) -> Promote | Hold:
        """Say whether a passed job is promoted without an operator, who need not wait for the shadow."""
        decision = _decide(work, record, mode)
        role = _result(record).role
        if isinstance(decision, Hold) or role != RewardResult.role or work.registry.pointer(role) is None:
            return decision
        return decide_shadow(
            self._settings.shadow,
            unsupported=self._no_shadow,
            scored=work.shadows.scored(record.job.job_id),
            passed_at=record.job.updated_at,
            now=datetime.now(UTC),
        )

    def roll_back(
        self, work: UnitOfWork, record: JobRecord, *, by: Author, note: str, alarm_id: int | None = None
    ) -> JobRecord:
        """Move a locked, promoted job to rolled_back and the pointer to where it stood before.

        Its bake ends with it, and of a policy everybody is told whom to serve instead.
        """
        job, role = record.job, _result(record).role
        work.registry.hold()
        pointer = work.registry.pointer(role)
        version = pointer.version if pointer is not None else None
        if pointer is None or version != job.candidate_version:
            raise Conflict(
                f"job {job.job_id} promoted {job.candidate_version}, but the champion is {version};"
                " wanted the job whose candidate is the champion"
            )
        if pointer.previous is None:
            raise Conflict(f"job {job.job_id}: no champion is kept from before {version}; wanted one to roll back to")
        after = move(work, record, JobState.ROLLED_BACK, by=by, note=note)
        work.registry.point(role, Pointer(pointer.previous, None), by=by)
        bake = work.bakes.of_job(job.job_id)
        if bake is not None and bake.state.is_open:
            work.bakes.end(job.job_id, BakeState.ROLLED_BACK, reason=note, alarm_id=alarm_id or bake.alarm_id)
        if role == POLICY:
            serve, instead_of = _named(work, pointer.previous), _named(work, pointer.version)
            work.alarms.hand_over(instead_of["policy_model"], serve["policy_model"], role=role)
            payload = promotion_payload(serve=serve, instead_of=instead_of, reason=note, by=by.name)
            work.announcements.add(job.job_id, ROLLED_BACK, pointer.version, payload)
        else:
            former, serves = (_observed_as(work, one, role) for one in (pointer.version, pointer.previous))
            work.alarms.hand_over(former, serves, role=role)
        work.registry.keep_card(pointer.version, _card(work, record))
        detail = {"job_id": job.job_id, "champion": pointer.previous, "note": note, "alarm_id": alarm_id}
        work.audit.record(f"{role}_model.roll_back", pointer.version, by=by, detail=detail)
        return after

    def adopt(
        self,
        artifact: Artifact,
        *,
        by: Author,
        role: str = RewardResult.role,
        served_as: str | None = None,
        instead_of: str | None = None,
    ) -> bool:
        """Make *artifact* the champion of *role* where none is, or that is *instead_of*; say whether it was made so.

        *served_as* is what a policy's traces name it; None: as one that is promoted here.
        """
        if role == POLICY and served_as is None:
            served_as = self._settings.policy.served_name(artifact.version)
        with self._begin() as work:
            work.registry.hold()
            pointer = work.registry.pointer(role)
            if (pointer.version if pointer is not None else None) != instead_of:
                return False
            card = adopted_card(artifact, role, served_as)
            register(work, Registration(artifact=artifact, role=role, served_as=served_as, card=card))
            work.registry.point(role, Pointer(artifact.version, instead_of), by=by)
            work.audit.record(f"{role}_model.adopt", artifact.version, by=by, detail={})
            return True

    def move(self, artifact: Artifact, *, role: str, served_as: str) -> None:
        """Note where a model that the settings name lies now."""
        with self._begin() as work:
            card = adopted_card(artifact, role, served_as)
            register(work, Registration(artifact=artifact, role=role, served_as=served_as, card=card))

    def settle(self, work: UnitOfWork, bake: Bake) -> None:
        """Let a policy whose bake ended well take the former's place for good: the former's alarms are answered."""
        if bake.role == POLICY and bake.former is not None:
            work.alarms.hand_over(bake.former, bake.observed_as, role=bake.role)

    def _promote(self, job_id: int, wanted: JobState, sign: Sign, *, by: Author, note: str) -> Job:
        for _ in range(_TRIES):
            with self._begin() as work:
                record = work.jobs.get(job_id)
            if record is None:
                raise NotFound(f"job {job_id}: no such job")
            _require(record, wanted)
            extension = self._plan(_result(record))
            try:
                with self._begin() as work:
                    record = lock_job(work, job_id)
                    _require(record, wanted)
                    sign(work, record)
                    return self._point(work, record, extension, by=by, note=note)
            except _BaselineMoved:
                continue
        raise Conflict(f"job {job_id}: the baseline was replaced {_TRIES} times meanwhile; wanted one that stays")

    def _plan(self, result: RunResult) -> BaselineExtension | None:
        if result.role != RewardResult.role:
            return None
        try:
            return self._baselines.plan(result)
        except InvalidInput as refusal:
            raise Conflict(str(refusal)) from None

    def _point(
        self, work: UnitOfWork, record: JobRecord, extension: BaselineExtension | None, *, by: Author, note: str
    ) -> Job:
        """Move a locked job to promoted and the pointer to its candidate, and extend the baseline with it."""
        job, result = record.job, _result(record)
        work.registry.hold()
        decision = _decide(work, record, "automatic")
        if isinstance(decision, Hold) and job.state is JobState.PASSED:
            raise Conflict(f"job {job.job_id} was {decision.detail}; wanted the same: cancel it and start another")
        candidate = result.candidate.version
        if work.registry.artifact(candidate) is None:
            raise Conflict(f"job {job.job_id}: the files of {candidate} were removed, as retrain.keep_candidates says")
        before = work.registry.pointer(result.role)
        previous = before.version if before is not None else None
        after = move(work, record, JobState.PROMOTED, by=by, note=note)
        work.registry.point(result.role, Pointer(candidate, previous), by=by)
        detail = {"job_id": job.job_id, "previous": previous, "note": note}
        work.audit.record(f"{result.role}_model.promote", candidate, by=by, detail=detail)
        if result.role == RewardResult.role and not work.baselines.extend(extension):
            raise _BaselineMoved
        work.registry.keep_card(candidate, _card(work, record))
        work.bakes.end_others(result.role, job.job_id)
        if result.role == POLICY:
            self._announce(work, after, previous, by=by, note=note)
        observed_as, traces = _observed_as(work, candidate, result.role), self._settings.bake.traces
        former = None if previous is None else _observed_as(work, previous, result.role)
        if traces:
            work.bakes.begin(
                job.job_id,
                role=result.role,
                version=candidate,
                observed_as=observed_as,
                former=former,
                traces=traces,
            )
        if former is not None and not (traces and result.role == POLICY):
            work.alarms.hand_over(former, observed_as, role=result.role)
        return after.job

    def _announce(self, work: UnitOfWork, record: JobRecord, previous: str | None, *, by: Author, note: str) -> None:
        """Write who is to be told what of a promoted policy, and keep the name that its traces will have."""
        job, result = record.job, _result(record)
        version = result.candidate.version
        work.registry.serve_as(version, self._settings.policy.served_name(version))
        payload = promotion_payload(
            serve=_named(work, version),
            instead_of=None if previous is None else _named(work, previous),
            reason=note,
            by=by.name,
            verdict=job.verdict,
            lineage=result.lineage,
            card=_card(work, record),
        )
        work.announcements.add(job.job_id, PROMOTED, version, payload)


def register(work: UnitOfWork, model: Registration) -> None:
    """Register a model; raise `Conflict` where its version belongs to other bytes, or to another role."""
    if not work.registry.register(model):
        version = model.artifact.version
        raise Conflict(f"{model.role} model {version} is registered with other bytes; wanted a version of its own")


def _named(work: UnitOfWork, version: str) -> dict[str, Any]:
    artifact = work.registry.artifact(version)
    assert artifact is not None, f"the registry points at {version}, which is not registered"
    return named_policy(artifact, work.registry.served_as(version))


def _observed_as(work: UnitOfWork, version: str, role: str) -> str:
    """Return what the observations of a model are known by: a policy's name, and the version of a scorer."""
    return version if role == RewardResult.role else work.registry.served_as(version) or version


def _card(work: UnitOfWork, record: JobRecord) -> str:
    """Return the card of a job's candidate, with what became of it."""
    job = record.job
    history = tuple(
        f"{event.at:%Y-%m-%d %H:%M}Z {event.state} by {event.actor}: {event.note}"
        for event in work.jobs.events(job.job_id)
        if event.state in {JobState.PROMOTED, JobState.ROLLED_BACK}
    )
    return model_card(_result(record), job.verdict, job_id=job.job_id, reason=job.reason, history=history)


def _decide(work: UnitOfWork, record: JobRecord, mode: Literal["automatic", "manual"]) -> Promote | Hold:
    assert record.spec is not None
    judged_against = record.spec.champion.version if record.spec.champion is not None else None
    pointer = work.registry.pointer(_result(record).role)
    return decide_promotion(mode, judged_against=judged_against, champion=pointer.version if pointer else None)


def _require(record: JobRecord, wanted: JobState) -> None:
    if record.job.state is not wanted:
        verb = "overridden" if wanted is JobState.FAILED_GATE else "promoted"
        raise Conflict(f"job {record.job.job_id} is {record.job.state}; only a job that is {wanted} can be {verb}")


def _result(record: JobRecord) -> RunResult:
    assert record.result is not None, f"job {record.job.job_id} was judged without a result"
    return record.result
