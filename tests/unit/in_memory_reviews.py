"""The review queue without a database, for one annotator at a time; the same refusals."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.domain.label import PREFERENCE
from monitor.domain.review import AnswerGiven, Hand, Progress, ShownItem, ShownMessage, TakenBack
from monitor.errors import Conflict, NotFound
from monitor.review.criteria import DEFAULT
from monitor.review.queue import answer_of

BUDGET = 500


def shown_item(item_id: int = 1, *, kind: str = PREFERENCE, answers: tuple[str, ...] = ("One.", "Other.")) -> ShownItem:
    return ShownItem(item_id, kind, (ShownMessage("user", f"Question {item_id}?"),), answers, DEFAULT.version)


@dataclass
class InMemoryReviews:
    items: list[ShownItem] = field(default_factory=list)
    given: list[tuple[str, AnswerGiven]] = field(default_factory=list)  # by whom; what was taken back is not in it
    criteria = DEFAULT

    def next_items(self, annotator: str, *, limit: int) -> Hand:
        answered = {answer.item_id for _, answer in self.given}
        left = [item for item in self.items if item.item_id not in answered]
        return Hand(tuple(left[:limit]), self.criteria, self._progress(annotator), annotator)

    def answer(self, annotator: str, given: AnswerGiven) -> Progress:
        answer_of(given, None)
        if all(item.item_id != given.item_id for item in self.items):
            raise NotFound("there is no such item")
        known = [answer for _, answer in self.given if answer.item_id == given.item_id]
        if known and known[-1] != given:
            raise Conflict("this item is not before you: /api/v1/review/next tells what is")
        if not known:
            self.given.append((annotator, given))
        return self._progress(annotator)

    def undo(self, annotator: str, item_id: int | None = None) -> TakenBack:
        mine = [(who, answer) for who, answer in self.given if who == annotator and item_id in {None, answer.item_id}]
        if not mine:
            raise NotFound("there is no answer of yours to take back")
        self.given.remove(mine[-1])
        item = next(item for item in self.items if item.item_id == mine[-1][1].item_id)
        return TakenBack(item, self._progress(annotator))

    def _progress(self, annotator: str) -> Progress:
        mine = sum(who == annotator for who, _ in self.given)
        return Progress(mine, len(self.items) - len(self.given), BUDGET)
