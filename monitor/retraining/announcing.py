"""What is said about a policy that was promoted or rolled back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import msgspec

from monitor.domain.job import Verdict
from monitor.domain.release import Announcement
from monitor.domain.telling import EVENT_HEADER, ID_HEADER
from monitor.runs.artifact import Artifact
from monitor.runs.lineage import Lineage

PROMOTED, ROLLED_BACK = "policy.promoted", "policy.rolled_back"


def named_policy(artifact: Artifact, served_as: str | None) -> dict[str, Any]:
    """Return a policy as an announcement names it: what to serve it under, and where its files are."""
    place = {"path": artifact.path, "sha256": artifact.sha256}
    return {"version": artifact.version, "policy_model": served_as, "artifact": place}


def promotion_payload(
    *,
    serve: Mapping[str, Any],
    instead_of: Mapping[str, Any] | None,
    reason: str,
    by: str,
    verdict: Verdict | None = None,
    lineage: Lineage | None = None,
    card: str | None = None,
) -> dict[str, Any]:
    """Return what is told of a pointer that moved; of a roll-back there is no verdict, lineage or card."""
    return {
        "serve": dict(serve),
        "instead_of": None if instead_of is None else dict(instead_of),
        "reason": reason,
        "by": by,
        "verdict": msgspec.to_builtins(verdict),
        "lineage": msgspec.to_builtins(lineage),
        "card": card,
    }


def body_of(announcement: Announcement) -> bytes:
    """Return what is posted, the same bytes at each attempt."""
    head = {
        "id": announcement.announcement_id,
        "event": announcement.event,
        "at": announcement.created_at.astimezone(UTC).isoformat(),
        "job_id": announcement.job_id,
    }
    return json.dumps(head | dict(announcement.payload), ensure_ascii=False, sort_keys=True).encode()


def headers_of(announcement: Announcement) -> dict[str, str]:
    return {EVENT_HEADER: announcement.event, ID_HEADER: str(announcement.announcement_id)}
