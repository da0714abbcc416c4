"""Telling somebody outside: how the sender is proved, and when one who did not take it is told again."""

from __future__ import annotations

import hashlib
import hmac

from monitor.errors import InvalidInput

SIGNATURE_HEADER = "X-Rlhf-Monitor-Signature"
EVENT_HEADER = "X-Rlhf-Monitor-Event"
ID_HEADER = "X-Rlhf-Monitor-Id"
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 300.0
TOLERANCE_SECONDS = 300.0


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
