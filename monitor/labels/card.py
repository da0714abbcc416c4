"""What a set of preference pairs is written as: a line a pair, and the data card beside them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import NamedTuple

from monitor.domain.label import LabelSource
from monitor.labels.pairs import Pair, PairRules, PairSet


@dataclass(frozen=True, slots=True)
class PairText:
    """What was read and judged."""

    messages: Sequence[Mapping[str, str]]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCard:
    """What a set of pairs holds, where it comes from, and what was left out; counts of pairs unless it says otherwise.

    A pair that was judged in several ways counts in each of `by_source`.
    """

    sha256: str  # of the file
    pairs: int
    first_at: str | None  # when the oldest pair was first judged
    last_at: str | None  # when the newest judgement that counts was given
    by_source: Mapping[str, int]
    by_criteria: Mapping[str, int]
    by_cohort: Mapping[str, int]
    by_annotators: Mapping[str, int]  # how many annotators judged a pair -> pairs
    annotators: int  # different ones, over all pairs
    ai_pairs: int  # no person judged them
    judgements: int  # that were looked at
    corrected: int  # judgements that a later one took the place of
    merged: int  # events and traces that hold the same two answers as another
    without_text: int  # labelled traces whose text is gone or was never seen, or that have no reference response
    dropped: Mapping[str, int]  # by why: `labels.pairs.Dropped`
    overlapping: int  # that several annotators judged, dropped ones too
    raw_agreement: float | None  # of two annotators of one of them, how often they say the same
    min_agreement: float  # by which rules
    ai_ratio: float


@dataclass(frozen=True, slots=True)
class StoredSet:
    card: SetCard
    created_at: datetime
    jobs: tuple[int, ...]  # whose last run was given it


class SetPlace(NamedTuple):
    """Where a set stands in a listing; ascending as runs were given them."""

    created_at: datetime
    sha256: str

    @classmethod
    def of(cls, stored: StoredSet) -> SetPlace:
        return cls(stored.created_at, stored.card.sha256)


@dataclass(frozen=True, slots=True)
class SetContent:
    """What a run was given, or would be given now."""

    sha256: str  # of `lines` in UTF-8
    rows: int
    lines: str  # JSON Lines, a pair each
    card: str | None  # JSON; None for a set that a run was given, which keeps its own


def pair_line(pair: Pair, text: PairText) -> str:
    """Return the pair as `RunSpec.preferences` describes it; the same pair gives the same line.

    Annotators stand there by a hash of their name: a run must tell them apart, and needs nobody's name.
    """
    line = {
        "preference_id": sha256(pair.content).hexdigest(),
        "conversation_id": pair.oldest.conversation_id or conversation_of(text.messages),
        "messages": [{"role": message["role"], "content": message["content"]} for message in text.messages],
        "chosen": text.chosen,
        "rejected": text.rejected,
        "cohort": pair.oldest.cohort,
        "timestamp": pair.oldest.timestamp.astimezone(UTC).isoformat(),
        "by": pair.by,
        "criteria_version": pair.criteria_version,
        "annotators": [
            None if one.annotator_id is None else blake2b(one.annotator_id.encode(), digest_size=8).hexdigest()
            for one in pair.judgements
        ],
        "agreement": pair.agreement,
        "strength": pair.strength,
        "dimensions": pair.dimensions(),
        "judgements": [[one.source, one.judgement_id, one.digest.hex()] for one in pair.judgements],
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def conversation_of(messages: Sequence[Mapping[str, str]]) -> str:
    """Name the conversation by how it opens: everything up to the user's first message.

    A preference event carries no conversation id, and its pairs are split by
    conversation so that none is in training and held out at once. Two turns of
    one conversation share their opening; two conversations that open alike are
    kept together too, which costs nothing.
    """
    digest = blake2b(digest_size=16)
    for message in messages:
        digest.update(json.dumps([message["role"], message["content"]]).encode())
        if message["role"] == "user":
            break
    return digest.hexdigest()


def describe_set(found: PairSet, rules: PairRules, *, file_sha256: str, without_text: int) -> SetCard:
    counting = [one for pair in found.pairs for one in pair.judgements]
    last = max((one.timestamp for one in counting), default=None)
    return SetCard(
        sha256=file_sha256,
        pairs=len(found.pairs),
        first_at=found.pairs[0].oldest.timestamp.astimezone(UTC).isoformat() if found.pairs else None,
        last_at=last.astimezone(UTC).isoformat() if last is not None else None,
        by_source=_counts(source for pair in found.pairs for source in {one.source for one in pair.judgements}),
        by_criteria=_counts(pair.criteria_version or "" for pair in found.pairs),
        by_cohort=_counts(pair.oldest.cohort for pair in found.pairs),
        by_annotators=_counts(str(len(pair.judgements)) for pair in found.pairs),
        annotators=len({one.annotator for one in counting}),
        ai_pairs=sum(pair.by is LabelSource.AI for pair in found.pairs),
        judgements=found.judgements,
        corrected=found.corrected,
        merged=found.merged,
        without_text=without_text,
        dropped={str(reason): count for reason, count in sorted(found.dropped.items())},
        overlapping=found.overlapping,
        raw_agreement=found.raw_agreement,
        min_agreement=rules.min_agreement,
        ai_ratio=rules.ai_ratio,
    )


def _counts(names: Iterable[str]) -> dict[str, int]:
    return {str(name): count for name, count in sorted(Counter(names).items())}
