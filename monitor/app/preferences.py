"""The sets of preference pairs that runs were given, and the one that the next run would be given."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from monitor.app.retraining import pair_rules_of
from monitor.domain.order import Actor
from monitor.labels.card import SetContent
from monitor.postgres.audit import PostgresAudit
from monitor.postgres.engine import transaction
from monitor.postgres.preference_sets import PostgresPreferenceSets
from monitor.postgres.preferences import PostgresPreferences
from monitor.retraining.records import Author
from monitor.runs.artifact import HashedFile
from monitor.settings.root import Settings


class PreferenceSets:
    """`web.routes.preference.Preferences`, and the commands'."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._kept = PostgresPreferenceSets(engine)
        self.sets, self.find = self._kept.sets, self._kept.find
        self._rules = pair_rules_of(settings)

    def export(self, file: Path, sha256_start: str | None) -> HashedFile:
        """Write a set's file again, or without a hash what a run would be given now, with its card beside it."""
        if sha256_start is not None:
            return self._kept.write(self.find(sha256_start), file)
        return PostgresPreferences(self._engine, self._rules).export(file, file.with_suffix(".card.json"))

    def content(self, sha256_start: str | None, *, actor: Actor) -> SetContent:
        """Return what `export` writes; the audit keeps who read it."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "pairs.jsonl"
            written = self.export(file, sha256_start)
            card = file.with_suffix(".card.json")
            told = card.read_text(encoding="utf-8") if card.exists() else None
            found = SetContent(written.sha256, written.rows, file.read_bytes().decode(), told)
        with transaction(self._engine) as connection:
            by = Author(actor.name, actor.role)
            detail = {"pairs": found.rows, "kept": sha256_start is not None}
            PostgresAudit(connection).record("preferences.export", f"preferences {found.sha256}", by=by, detail=detail)
        return found
