"""The desk of a server: its answers become the very values that the database would have given."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import TypeAdapter, ValidationError

from monitor.access.credential import Credential
from monitor.cli.desk import FollowedJob, NewToken, Unwatched
from monitor.cli.http import Api
from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.anchor import AnchorStatus
from monitor.domain.baseline import BaselineQuery, TraceWindow
from monitor.domain.erasure import Erasure, ErasureSubject
from monitor.domain.incident import Incident, IncidentDetail
from monitor.domain.job import Action, Job, PlannedStart
from monitor.domain.order import AlarmOrder, JobOrder, Role
from monitor.domain.release import Announcement
from monitor.domain.review import Criteria, KeptCriteria, ReviewStatus
from monitor.domain.stream import StreamStatus
from monitor.domain.view import BaselineSummary, JobDetail, SignalRow
from monitor.drift.correlation import RewardCorrelation
from monitor.drift.explain import Explanation
from monitor.drift.moved import MovedStreams
from monitor.drift.preview import FreezePreview
from monitor.drift.summary import BaselineLaws
from monitor.errors import InvalidInput
from monitor.labels.agreement import AgreementReport
from monitor.labels.card import SetContent, StoredSet
from monitor.labels.report import LabelReport
from monitor.notify.notice import ReceiverStatus
from monitor.probes.report import SuiteReport
from monitor.review.exchange import Exported, Imported, Read, Returned, Taken, Unread
from monitor.runs.artifact import HashedFile, file_sha256
from monitor.runs.model import ModelDetail, ModelQuery, RegisteredModel

ALL_ROWS = 1_000_000
MOST_ANSWERS, MOST_BYTES = 1000, 1_000_000  # of one request that brings answers
_Told = TypeVar("_Told")


class RemoteDesk:
    """What the API answers; who asks is whoever holds the token."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def alarms(self, *, state: AlarmState | None, limit: int) -> Sequence[StoredAlarm]:
        return read(list[StoredAlarm], self._api.rows("/alarms", limit=limit, state=state))

    def alarm(self, alarm_id: int) -> StoredAlarm | None:
        return find(StoredAlarm, self._api.find(f"/alarms/{alarm_id}"))

    def explanation(self, alarm_id: int) -> Explanation | None:
        return find(Explanation, self._api.find(f"/alarms/{alarm_id}/explanation"))

    def order_alarm(self, alarm_id: int, order: AlarmOrder, *, snooze: timedelta, note: str) -> StoredAlarm:
        return read(StoredAlarm, self._api.post(f"/alarms/{alarm_id}/{order}", _order(order, snooze, note)))

    def incidents(self, *, state: AlarmState | None, limit: int) -> Sequence[Incident]:
        return read(list[Incident], self._api.rows("/incidents", limit=limit, state=state))

    def incident(self, incident_id: int) -> IncidentDetail | None:
        return find(IncidentDetail, self._api.find(f"/incidents/{incident_id}"))

    def order_incident(self, incident_id: int, order: AlarmOrder, *, snooze: timedelta) -> IncidentDetail:
        return read(IncidentDetail, self._api.post(f"/incidents/{incident_id}/{order}", _order(order, snooze, "")))

    def streams(self) -> Sequence[StreamStatus]:
        rows = self._api.rows("/streams", limit=ALL_ROWS)
        for row in rows:  # JSON has no word for no evidence at all
            row["evidence_log"] = -math.inf if row["evidence_log"] is None else row["evidence_log"]
        return read(list[StreamStatus], rows)

    def unwatched(self) -> Unwatched:
        told = self._api.get("/streams/unwatched")
        scorers = [(scorer["signal"], scorer["scorer_version"]) for scorer in told["scorers"]]
        return read(Unwatched, {"cohorts": told["cohorts"], "scorers": scorers})

    def anchor(self) -> AnchorStatus | None:
        return find(AnchorStatus, self._api.get("/anchor"))

    def correlations(self) -> Sequence[RewardCorrelation]:
        return read(list[RewardCorrelation], self._api.rows("/correlations", limit=ALL_ROWS))

    def moved(self, day: date | None) -> MovedStreams | None:
        return find(MovedStreams, self._api.get("/moved", day=day))

    def baseline(self) -> BaselineSummary | None:
        return find(BaselineSummary, self._api.get("/baseline"))

    def baselines(self, wanted: BaselineQuery, *, limit: int) -> Sequence[BaselineSummary]:
        return read(list[BaselineSummary], self._api.rows("/baselines", limit=limit, **asdict(wanted)))

    def laws(self) -> BaselineLaws | None:
        return find(BaselineLaws, self._api.get("/baseline/laws"))

    def preview(self, window: TraceWindow) -> FreezePreview:
        return read(FreezePreview, self._api.post("/baselines/preview", _window(window)))

    def freeze(self, window: TraceWindow, *, note: str) -> BaselineSummary:
        return read(BaselineSummary, self._api.post("/baselines", _window(window) | {"note": note}))

    def jobs(self, *, limit: int) -> Sequence[Job]:
        return read(list[Job], [item["job"] for item in self._api.rows("/jobs", limit=limit)])

    def job(self, job_id: int) -> FollowedJob | None:
        found = self._api.find(f"/jobs/{job_id}")
        if found is None:
            return None
        detail = read(JobDetail, {"job": found["job"], "events": found["events"]})
        return read(FollowedJob, {"detail": detail, "bake": found["bake"], "shadow": found["shadow"]})

    def report(self, job_id: int) -> bytes | None:
        return self._api.page(f"/jobs/{job_id}/report")

    def plan(self) -> Sequence[PlannedStart]:
        return read(list[PlannedStart], self._api.rows("/jobs/plan", limit=ALL_ROWS))

    def start_job(self, action: Action, reason: str, *, force: bool) -> Job:
        return read(Job, self._api.post("/jobs", {"action": action, "reason": reason, "force": force})["job"])

    def move_job(self, job_id: int, order: JobOrder) -> Job:
        return read(Job, self._api.post(f"/jobs/{job_id}/{order}")["job"])

    def override(self, job_id: int, reason: str) -> Job:
        return read(Job, self._api.post(f"/jobs/{job_id}/override", {"reason": reason})["job"])

    def models(self, wanted: ModelQuery, *, limit: int) -> Sequence[RegisteredModel]:
        rows = self._api.rows("/models", limit=limit, role=wanted.role, state=sorted(wanted.states))
        return read(list[RegisteredModel], rows)

    def model(self, version: str) -> ModelDetail | None:
        return find(ModelDetail, self._api.find(f"/models/{quote(version, safe='')}"))

    def announcements(self, *, limit: int) -> Sequence[Announcement]:
        return read(list[Announcement], self._api.rows("/announcements", limit=limit))

    def estimates(self, signal: str) -> Sequence[LabelReport]:
        return read(list[LabelReport], self._api.get("/estimates", signal=signal))

    def agreement(self) -> AgreementReport:
        return read(AgreementReport, self._api.get("/review/agreement"))

    def probes(self) -> Sequence[SuiteReport]:
        return read(list[SuiteReport], self._api.rows("/probes", limit=ALL_ROWS))

    def signals(self) -> Sequence[SignalRow]:
        return read(list[SignalRow], self._api.rows("/signals", limit=ALL_ROWS))

    def reask(self, alarm_id: int) -> int:
        return read(int, self._api.post(f"/alarms/{alarm_id}/reask")["max_prompts"])

    def receivers(self) -> Sequence[ReceiverStatus]:
        return read(list[ReceiverStatus], self._api.rows("/notifications", limit=ALL_ROWS))

    def review_status(self) -> ReviewStatus:
        return read(ReviewStatus, self._api.get("/review/status"))

    def review_items(self, *, every: bool, limit: int) -> Sequence[Exported]:
        rows = self._api.rows("/review/items", limit=limit, all="true" if every else None)
        return msgspec.convert(rows, list[Exported])

    def take_answers(self, answers: Read) -> Imported:
        outcomes, refusals = Counter[Taken](), []
        readable = [one for one in answers if isinstance(one, Returned)]
        for unread in (one for one in answers if isinstance(one, Unread)):
            outcomes[Taken.REFUSED] += 1
            refusals.append(f"{unread.place}: {unread.reason}")
        for batch in _batches([msgspec.to_builtins(one) for one in readable]):
            told = read(Imported, self._api.post("/review/import", {"answers": batch}))
            outcomes.update(told.outcomes)
            refusals += told.refusals
        return Imported({outcome: outcomes[outcome] for outcome in Taken}, tuple(refusals))

    def make_gold(self, trace_id: str, kind: str, value: float) -> int:
        body = {"trace_id": trace_id, "kind": kind, "value": value}
        return read(int, self._api.post("/review/gold", body)["item_id"])

    def criteria(self) -> Sequence[KeptCriteria]:
        return read(list[KeptCriteria], self._api.rows("/review/criteria", limit=ALL_ROWS))

    def add_criteria(self, criteria: Criteria) -> None:
        self._api.post("/review/criteria", asdict(criteria))

    def activate_criteria(self, version: str) -> None:
        self._api.post("/review/criteria/activate", {"version": version})

    def preference_sets(self, *, limit: int) -> Sequence[StoredSet]:
        return read(list[StoredSet], self._api.rows("/preferences", limit=limit))

    def preference_set(self, sha256_start: str) -> StoredSet:
        return read(StoredSet, self._api.get(f"/preferences/{quote(sha256_start, safe='')}"))

    def export_preferences(self, file: Path, sha256_start: str | None) -> HashedFile:
        told = read(SetContent, self._api.get("/preferences/content", sha256=sha256_start))
        file.write_text(told.lines, encoding="utf-8", newline="")
        if told.card is not None:
            file.with_suffix(".card.json").write_text(told.card, encoding="utf-8", newline="")
        found = file_sha256(file)
        if found != told.sha256:
            raise InvalidInput(f"{file} hashes to {found}; the server exported {told.sha256}: export it again")
        return HashedFile(str(file.resolve()), told.sha256, told.rows)

    def create_token(self, name: str, role: Role, days: int | None) -> NewToken:
        return read(NewToken, self._api.post("/tokens", {"name": name, "role": role, "days": days}))

    def credentials(self, *, ended: bool, limit: int) -> Sequence[Credential]:
        return read(list[Credential], self._api.rows("/tokens", limit=limit, ended="true" if ended else None))

    def revoke(self, credential_id: int) -> None:
        self._api.post(f"/tokens/{credential_id}/revoke")

    def erase(self, subject: ErasureSubject, *, dry_run: bool) -> Erasure:
        body = {"kind": subject.kind, "name": subject.name, "dry_run": dry_run}
        return read(Erasure, self._api.post("/erasures", body))

    def erasures(self, *, limit: int) -> Sequence[Erasure]:
        return read(list[Erasure], self._api.rows("/erasures", limit=limit))


def _batches(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield *rows* in batches that one request may carry."""
    batch: list[Any] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row))
        if batch and (len(batch) == MOST_ANSWERS or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length + 2
    if batch:
        yield batch


def find(kind: type[_Told], answer: Any) -> _Told | None:
    """Return *answer* as a value of *kind*; None where there is none."""
    return None if answer is None else read(kind, answer)


def read(kind: type[_Told], answer: Any) -> _Told:
    """Return *answer* as a value of *kind*; raise `InvalidInput` where it is none."""
    try:
        return TypeAdapter(kind).validate_python(answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"the server's answer is not of this version: {where}: {first['msg']}; install the server's version here"
        ) from None


def _order(order: AlarmOrder, snooze: timedelta, note: str) -> dict[str, object]:
    return {"note": note} | ({"seconds": round(snooze.total_seconds())} if order is AlarmOrder.SNOOZE else {})


def _window(window: TraceWindow) -> dict[str, object]:
    given = {"last": window.last, "first": window.first, "stop": window.stop}
    return {name: value for name, value in given.items() if value is not None}
