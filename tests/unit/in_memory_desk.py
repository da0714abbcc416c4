"""What only operators' commands ask for, without a database: the queue's files, sets of pairs, asking again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

from monitor.domain.order import Actor
from monitor.domain.review import Criteria, KeptCriteria, ReviewStatus
from monitor.domain.trace import Message
from monitor.errors import Conflict, InvalidSetting, NotFound
from monitor.ingest.letter import Letter, LetterFilter, Place, Replay
from monitor.labels.card import SetCard, SetContent, SetPlace, StoredSet
from monitor.review.exchange import Exported, Imported, ItemPlace, Read, Taken, Unread

MADE = datetime(2026, 11, 21, 5, tzinfo=UTC)


def a_set(number: int) -> StoredSet:
    lines = f'{{"preference_id": "p-{number}"}}\n'
    card = SetCard(
        sha256=sha256(lines.encode()).hexdigest(),
        pairs=1,
        first_at=None,
        last_at=None,
        by_source={},
        by_criteria={},
        by_cohort={},
        by_annotators={},
        annotators=1,
        ai_pairs=0,
        judgements=1,
        corrected=0,
        merged=0,
        without_text=0,
        dropped={},
        overlapping=0,
        raw_agreement=None,
        min_agreement=0.5,
        ai_ratio=0.5,
    )
    return StoredSet(card, MADE, (number,))


@dataclass
class InMemoryCriteria:
    kept: list[KeptCriteria] = field(default_factory=lambda: [KeptCriteria("1", "Which is better?", True, MADE, "ada")])

    def versions(self) -> Sequence[KeptCriteria]:
        return self.kept

    def add(self, criteria: Criteria, *, actor: Actor) -> None:
        if any(one.version == criteria.version for one in self.kept):
            raise Conflict(f"criteria {criteria.version} are there already")
        self.kept.append(KeptCriteria(criteria.version, criteria.text, False, MADE, actor.name))

    def activate(self, version: str, *, actor: Actor) -> None:
        if all(one.version != version for one in self.kept):
            raise NotFound(f"criteria {version}: no such version")
        self.kept = [replace(one, in_force=one.version == version) for one in self.kept]


@dataclass
class InMemoryDesk:
    items: list[Exported] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)  # the annotator, by an item's token
    kept_sets: list[StoredSet] = field(default_factory=list)
    criteria: InMemoryCriteria = field(default_factory=InMemoryCriteria)
    dead: list[Letter] = field(default_factory=list)
    askable: frozenset[int] = frozenset()  # alarms
    done: list[tuple[str, str]] = field(default_factory=list)  # by whom, and what

    def status(self) -> ReviewStatus:
        return ReviewStatus({"open": len(self.items)}, {"label": len(self.taken)}, None, 500)

    def export(
        self, *, every: bool, limit: int, actor: Actor, after: ItemPlace | None = None
    ) -> Sequence[tuple[ItemPlace, Exported]]:
        self.done.append((actor.name, "review.export"))
        numbered = [(ItemPlace(0.0, number), item) for number, item in enumerate(self.items)]
        wanted = [pair for pair in numbered if every or pair[1].token not in self.taken]
        return [pair for pair in wanted if after is None or pair[0] > after][:limit]

    def take_all(self, answers: Read, *, actor: Actor) -> Imported:
        self.done.append((actor.name, "review.import"))
        outcomes, refusals = dict.fromkeys(Taken, 0), []
        for answer in answers:
            if isinstance(answer, Unread) or all(item.token != answer.token for item in self.items):
                outcomes[Taken.REFUSED] += 1
                refusals.append(f"{answer.place}: no such item")
            else:
                outcomes[Taken.KNOWN if answer.token in self.taken else Taken.NEW] += 1
                self.taken[answer.token] = answer.annotator
        return Imported(outcomes, tuple(refusals))

    def make_gold(self, trace_id: str, kind: str, value: float, *, actor: Actor) -> int:
        if not trace_id.startswith("t-"):
            raise NotFound(f"trace {trace_id!r}: no text of it that a {kind} could be given to")
        self.done.append((actor.name, f"review.gold {value:g}"))
        return 7

    def sets(self, *, limit: int, before: SetPlace | None = None) -> Sequence[StoredSet]:
        newest = sorted(self.kept_sets, key=SetPlace.of, reverse=True)
        return [one for one in newest if before is None or SetPlace.of(one) < before][:limit]

    def find(self, sha256_start: str) -> StoredSet:
        for one in self.kept_sets:
            if one.card.sha256.startswith(sha256_start.lower()):
                return one
        raise NotFound(f"no run was given a set {sha256_start!r}")

    def content(self, sha256_start: str | None, *, actor: Actor) -> SetContent:
        self.done.append((actor.name, "preferences.export"))
        if sha256_start is None:
            return SetContent(sha256(b"").hexdigest(), 0, "", "{}")
        found = self.find(sha256_start)
        return SetContent(found.card.sha256, 1, f'{{"preference_id": "p-{found.jobs[0]}"}}\n', None)

    def letter(self, place: Place, *, actor: Actor) -> Letter:
        self.done.append((actor.name, "dead_letters.read"))
        found = next((one for one in self.dead if one.place == place), None)
        if found is None:
            raise NotFound(f"there is no letter {place}")
        return found

    def replay(
        self, wanted: LetterFilter, *, limit: int | None, most: int, actor: Actor, dry_run: bool = False
    ) -> Replay:
        chosen = [one for one in self.dead if wanted.admits(one)][:limit]
        if not dry_run:
            self.done.append((actor.name, "dead_letters.replay"))
        return Replay(Counter(one.source.topic for one in chosen), {}, 0 if dry_run else len(chosen))

    def reask(self, alarm_id: int, *, actor: Actor) -> int:
        if alarm_id not in self.askable:
            raise InvalidSetting("drift.reference.endpoint is not set: name a server of the released policy there")
        self.done.append((actor.name, "alarm.reask"))
        return 200


def an_item(number: int) -> Exported:
    return Exported(f"{number}-seal", "preference", (Message("user", "Where is it?"),), ("Here.", "There."), "1")
