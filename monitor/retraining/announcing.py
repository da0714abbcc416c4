"""What is said about a policy that was promoted or rolled back, and how its sender is proved."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import msgspec

from monitor.domain.job import Verdict
from monitor.domain.release import Announcement
from monitor.errors import InvalidInput
from monitor.runs.artifact import Artifact
from monitor.runs.lineage import Lineage

PROMOTED, ROLLED_BACK = "policy.promoted", "policy.rolled_back"
SIGNATURE_HEADER = "X-Rlhf-Monitor-Signature"
EVENT_HEADER = "X-Rlhf-Monitor-Event"
ID_HEADER = "X-Rlhf-Monitor-Id"
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 300.0
TOLERANCE_SECONDS = 300.0


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


def sign(secret: str, body: bytes, *, at: int) -> str:
    """Return the signature's header: seconds since the epoch, and the HMAC-SHA256 over them and the body."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def verify(
    secret: str, body: bytes, signature: str, *, now: float, tolerance_seconds: float = TOLERANCE_SECONDS
) -> None:
    """Raise `InvalidInput` unless whoever knows *secret* signed these bytes within *tolerance_seconds* of *now*."""
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    try:
        at = int(parts["t"])
        claimed = parts["v1"].encode()
    except (KeyError, ValueError):
        raise InvalidInput(f"{SIGNATURE_HEADER}: {signature!r}; wanted t=SECONDS,v1=HEX") from None
    wanted = sign(secret, body, at=at).rpartition("=")[2].encode()
    if not hmac.compare_digest(wanted, claimed):
        raise InvalidInput(f"{SIGNATURE_HEADER}: not signed with this secret, or the body was changed")
    if abs(now - at) > tolerance_seconds:
        raise InvalidInput(f"{SIGNATURE_HEADER}: signed {now - at:.0f} s ago; wanted at most {tolerance_seconds:.0f} s")


def retry_seconds(attempts: int) -> float:
    """Return how long to wait after the last of *attempts* that failed in a row."""
    return float(min(FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 30), LONGEST_RETRY_SECONDS))
