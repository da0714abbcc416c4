"""`web.idempotency.Keys` without a database."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.domain.kept_answer import KeptAnswer, KeyUse, Sent
from monitor.domain.order import Actor


@dataclass
class InMemoryKeys:
    taken: dict[tuple[Actor, str], tuple[bytes, KeptAnswer | None]] = field(default_factory=dict)

    def claim(self, actor: Actor, sent: Sent) -> KeyUse | KeptAnswer:
        digest, given = self.taken.setdefault((actor, sent.key), (sent.digest, None))
        if digest != sent.digest:
            return KeyUse.OTHER
        if digest is sent.digest and given is None:
            return KeyUse.FIRST
        return KeyUse.UNANSWERED if given is None else given

    def keep(self, actor: Actor, sent: Sent, given: KeptAnswer) -> None:
        self.taken[actor, sent.key] = (sent.digest, given)

    def release(self, actor: Actor, sent: Sent) -> None:
        self.taken.pop((actor, sent.key), None)
