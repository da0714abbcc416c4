"""Erasing somebody's texts: from the disk, then from the database, which keeps the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from monitor.domain.erasure import Erasure, ErasureSubject
from monitor.domain.order import Actor
from monitor.errors import Conflict
from monitor.postgres.erasure import PostgresErasures
from monitor.retraining.erasing import RunFiles, quotes
from monitor.settings.retrain import RetrainSettings

FILES = "run_files"


@dataclass(frozen=True, slots=True)
class Erasing:
    """`web.routes.erasure.Erasures`, and the command's."""

    store: PostgresErasures
    files: RunFiles

    @classmethod
    def of(cls, engine: Engine, settings: RetrainSettings) -> Erasing:
        return cls(PostgresErasures(engine), RunFiles(settings.folder))

    def count(self, subject: ErasureSubject, *, actor: Actor) -> Erasure:
        """Return what would go; nothing is changed."""
        found = self.files.holding(self.store.texts_of(subject))
        told = self.store.count(subject, actor=actor, quotes=quotes)
        return replace(told, deleted={**told.deleted, FILES: sum(map(len, found.values()))})

    def erase(self, subject: ErasureSubject, *, actor: Actor) -> Erasure:
        """Erase; what broke off in the middle is found again by the same call.

        Raises `Conflict` while a run that was given the texts is going on, and deletes nothing then.
        """
        texts = self.store.texts_of(subject)
        found = self.files.holding(texts)
        self._require_ended(found)
        self.files.remove(found)
        files = sum(map(len, found.values()))
        done = self.store.erase(subject, actor=actor, quotes=quotes, beside={FILES: files})
        late = self.files.holding(texts)  # of a run that was given them in between; no later one finds any
        self._require_ended(late, told="; the database holds the texts no more")
        self.files.remove(late)
        return done

    def erasures(self, *, limit: int, before: int | None = None) -> Sequence[Erasure]:
        return self.store.erasures(limit=limit, before=before)

    def _require_ended(self, found: Mapping[int, Sequence[Path]], *, told: str = "") -> None:
        busy = sorted(found.keys() & self.store.live_jobs())
        if busy:
            folders = ", ".join(f"job-{job_id}" for job_id in busy)
            raise Conflict(
                f"a run that goes on was given these texts ({folders}): cancel it, or wait for its end{told}"
            )
