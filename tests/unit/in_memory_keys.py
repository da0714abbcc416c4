"""`web.idempotency.Keys` without a database; no process ends here, so no key is taken over."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from monitor.domain.kept_answer import Claim, KeptAnswer, KeyUse, Sent
from monitor.domain.order import Actor


@dataclass
class InMemoryKeys:
    taken: dict[tuple[Actor, str], tuple[bytes, KeptAnswer | None]] = field(default_factory=dict)

    def claim(self, actor: Actor, sent: Sent) -> Claim | KeyUse | KeptAnswer:
        digest, given = self.taken.setdefault((actor, sent.key), (sent.digest, None))
        if digest != sent.digest:
            return KeyUse.OTHER
        if digest is sent.digest and given is None:
            return Claim(actor, sent, 1)
        return KeyUse.UNANSWERED if given is None else given

    def making(self, _claim: Claim) -> AbstractContextManager[None]:
        return nullcontext()

    def keep(self, claim: Claim, given: KeptAnswer) -> None:
        self.taken[claim.actor, claim.sent.key] = (claim.sent.digest, given)

    def release(self, claim: Claim) -> None:
        self.taken.pop((claim.actor, claim.sent.key), None)
