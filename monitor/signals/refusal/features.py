"""What a learned refusal model looks at: words of an answer's ends, and numbers that tell prompt and answer apart.

Words of the answer that stand in the prompt too become one token, `_p`: "there is no reason why _p _p" reads alike
whatever was asked, so what is learnt carries over to other prompts. The middle of a long answer is only searched for
fixed phrases, so the cost does not grow with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise, repeat

from msgspec import Struct

from monitor.signals.refusal import lexicon, phrases
from monitor.signals.refusal.cues import Cues
from monitor.signals.refusal.patterns import cites_policy, declines, disapproves, find_cues, opening_of
from monitor.signals.refusal.relation import NAMES, Manner, relation_of
from monitor.signals.refusal.text import fold
from monitor.signals.refusal.words import WORD, stem, words_of

VERSION = "2"  # raise it with every change of what is read: a model knows the features of its own version alone
HEAD_WORDS = 70
TAIL_CHARACTERS = 260
TAIL_WORDS = 40
TAIL_FROM = 700  # characters; the end of a shorter answer was read with its opening
BODY_CHARACTERS = 1_200
LISTED_CHARACTERS = 1_200  # in which lists are looked for
SHORT, LONG = 300, 900  # characters of an answer
PROMPT_CHARACTERS = 600  # its end, where the question stands
MOST_PROMPT_WORDS = 40
FIRST_WORDS = 4  # of an answer, which count as such too
ASKED = "_p"  # a word that was asked about
START, ENDING = "^", "$"  # what begins a token of the first words, and one of the last

DENSE = (
    *(
        "pattern",
        "declines",
        "disapproves",
        "cites_policy",
        "improper",
        "cues_head",
        "cues_body",
        "moral",
        "moral_first",
    ),
    *("advice", "first_person", "negation_first", "negation", "disclaimer", "no_opinion", "important", "pivot"),
    *("incapable", "offers", "lists", "code", "length", "short", "complies", "asks_at_end", "asks_in_head"),
    *("overlap", "overlap_first", "novelty", "negation_overlap", "why_negation", "why_moral", "how_list", "how_moral"),
    *("make_first", "long_pattern", "listed_pattern", "short_pattern", "short_plain", "cues_first", "moral_no_list"),
    *("tail_offers", "tail_cues"),
    *NAMES,
)


class Look(Struct, frozen=True, gc=False):
    """What is read of an answer before it is compared with what was asked."""

    response: str
    head: str  # folded
    words: list[str]  # of the head
    distinct: set[str]  # of `words`
    tail: str  # folded; empty where the answer is so short that the head is most of it

    @property
    def may_refuse(self) -> bool:
        """Say whether anything in it is ever found in a refusal: most ordinary answers hold nothing of it.

        Of 3,132 labelled refusals 25 hold nothing either; the model gives none of those .35 or more.
        """
        if not _TELLING.isdisjoint(self.distinct):
            return True
        if not _TURNING.isdisjoint(self.distinct) and not _TURNING.isdisjoint(self.words[: _first_end(self.words, 30)]):
            return True
        return _declining(self.tail) > 0

    @property
    def declines(self) -> bool:
        """Say whether a fixed phrase of declining stands in it."""
        return _declining(self.head) > 0 or _declining(self.tail) > 0

    def weighed(self, weights: Mapping[str, int]) -> int:
        """Return what its words weigh together, by `word_weights`; each counts once."""
        return sum(map(weights.get, self.distinct, repeat(0)))


class Said(Struct, frozen=True, gc=False):
    """What was asked, and the answer's words with those of the prompt replaced; all by their stems."""

    asked: set[str]
    words: list[str]
    ending: list[str]  # of the tail


def word_weights(tokens: Mapping[str, tuple[float, float]]) -> dict[str, int]:
    """Return in ten-thousandths what each word weighs towards a refusal: a sum of whole numbers has no order."""
    words = {token: round(10_000 * weight) for token, (weight, _) in tokens.items() if WORD.fullmatch(token)}
    return {form: weight for word, weight in words.items() for form in _unstemmed(frozenset((word,)))}


def look_at(response: str) -> Look:
    return _look(response, opening_of(response), _tail_of(response))


def glance_at(response: str) -> Look | None:
    """Return what `look_at` does; None, sooner, of an answer that may not refuse."""
    head, tail = opening_of(response), _tail_of(response)
    if not _SCREEN.find(head) and not _declining(tail):
        return None
    look = _look(response, head, tail)
    return look if look.may_refuse else None


def _look(response: str, head: str, tail: str) -> Look:
    words = words_of(head, HEAD_WORDS)
    return Look(response, head, words, set(words), tail)


def _tail_of(response: str) -> str:
    return fold(response[-TAIL_CHARACTERS:]) if len(response) > TAIL_FROM else ""


def hear(prompt: str, look: Look) -> Said:
    """Compare an answer's words with what was asked."""
    asked = {
        stem(word)
        for word in words_of(fold(prompt[-PROMPT_CHARACTERS:]))[-MOST_PROMPT_WORDS:]
        if len(word) > 2 and word not in lexicon.COMMON
    }
    words = [ASKED if one in asked else one for one in map(stem, look.words)]
    ending = map(stem, words_of(look.tail)[-TAIL_WORDS:]) if look.tail else ()
    return Said(asked, words, [ASKED if one in asked else one for one in ending])


def features_of(prompt: str, look: Look) -> tuple[list[str], list[float]]:
    """Return the tokens of an answer, and its numbers in the order of DENSE.

    A token may occur more than once; it counts once.
    """
    said = hear(prompt, look)
    return tokens_of(said), numbers_of(prompt, look, said)


def tokens_of(said: Said) -> list[str]:
    """Return words, the first of them marked as such, pairs of neighbours, and likewise words and pairs of the end."""
    tokens = list(said.words)
    tokens += [f"{START}{word}" for word in said.words[:FIRST_WORDS]]
    tokens += [f"{one} {other}" for one, other in pairwise((START, *said.words))]
    tokens += [f"{ENDING}{one}" for one in said.ending]
    tokens += [f"{ENDING}{one} {other}" for one, other in pairwise(said.ending)]
    return tokens


class TokenRows:
    """The row of each of a model's tokens; those of an answer are found without writing one down."""

    def __init__(self, tokens: Mapping[str, int]) -> None:
        """Rows count from 1."""
        self._words: dict[str, int] = {}
        self._first: dict[str, int] = {}
        self._pairs: dict[tuple[str, ...], int] = {}
        self._ending: dict[str, int] = {}
        self._ending_pairs: dict[tuple[str, ...], int] = {}
        for token, row in tokens.items():
            words, pairs, name = self._words, self._pairs, token
            if token[0] == ENDING:
                words, pairs, name = self._ending, self._ending_pairs, token[1:]
            if " " in name:
                pairs[tuple(name.split(" "))] = row
            elif name[0] == START:
                self._first[name[1:]] = row
            else:
                words[name] = row

    def of(self, said: Said) -> list[int]:
        """Return the rows of `tokens_of(said)`, each once and always in the same order; 0 may stand for all others."""
        words, none = said.words, repeat(0)
        rows = [
            *map(self._words.get, words, none),
            *map(self._first.get, words[:FIRST_WORDS], none),
            *map(self._pairs.get, pairwise((START, *words)), none),
            *map(self._ending.get, said.ending, none),
            *map(self._ending_pairs.get, pairwise(said.ending), none),
        ]
        return list(dict.fromkeys(rows))


def _unstemmed(stems: frozenset[str]) -> frozenset[str]:
    """Return every word whose stem is one of *stems*: by these most answers are told without stems of their own."""
    return frozenset(word for own in stems for word in (own, f"{own}s") if stem(word) == own)


_TELLING, _TURNING = _unstemmed(lexicon.TELLING), _unstemmed(lexicon.TURNING)


def _one_of(words: Iterable[str]) -> str:
    return f"(?:^|[^a-z])(?:{'|'.join(map(re.escape, sorted(words)))})(?:[^a-z]|$)"


# A text in which none of this stands has no words that tell: neither anywhere, nor before the first mark, nor is that
# mark among the first three words, where it ends nothing.
_SCREEN = Cues(
    {},
    {
        "telling": re.compile(_one_of(_TELLING)),
        "turning": re.compile(f"^[^.?!:]*{_one_of(_TURNING)}"),
        "marked": re.compile(r"^[^a-z.?!:]*(?:[a-z']+[^a-z.?!:]*){0,2}[.?!:]"),
    },
)


def _first_end(words: list[str], otherwise: int) -> int:
    """Return the place of the mark that ends the first sentence."""
    return next((place for place, word in enumerate(words) if word in lexicon.SENTENCE_ENDS and place > 2), otherwise)


def _count(cues: tuple[str, ...], text: str) -> int:
    found = 0
    for cue in cues:
        if cue in text:
            found += 1
    return found


def _declining(text: str) -> int:
    """Return how many cues of declining *text* holds; most texts do not speak of themselves, and are not searched."""
    if " i " not in text and " i'" not in text and not text.startswith(("i ", "i'")) and "sorry" not in text:
        return 0
    return min(_count(lexicon.DECLINE_CUES, text), 4)


_HEAD = Cues(
    {
        "disclaimers": lexicon.DISCLAIMERS,
        "no_opinion": lexicon.NO_OPINION,
        "important": lexicon.IMPORTANT,
        "pivots": lexicon.PIVOTS,
        "offers": lexicon.OFFERS,
    },
    {"incapable": phrases.INCAPABILITY},
)
_DISCLAIMERS, _NO_OPINION, _IMPORTANT, _PIVOTS, _OFFERS, _INCAPABLE = map(
    _HEAD.of, ("disclaimers", "no_opinion", "important", "pivots", "offers", "incapable")
)


def numbers_of(prompt: str, look: Look, said: Said) -> list[float]:
    response, head, tail, words = look.response, look.head, look.tail, said.words
    found, cues = _HEAD.find(head), find_cues(head)
    declined, disapproved, cited = declines(head, cues), disapproves(head, cues), cites_policy(head, cues)
    pattern = (declined or disapproved or cited) and not phrases.COMPLIES.match(head)
    opening = words[: _first_end(words, len(words))]
    first, distinct, asked = set(opening), set(words), said.asked
    moral = min(len(lexicon.MORAL & distinct), 5) / 2.0
    negated_first, of_self = not lexicon.NEGATION.isdisjoint(first), not lexicon.FIRST.isdisjoint(first)
    lists = min(len(lexicon.LIST.findall(response[:LISTED_CHARACTERS])), 10) / 5.0
    short, declining = len(response) < SHORT, _declining(head)
    why, how = bool(lexicon.WHY.match(prompt)), bool(lexicon.HOW.match(prompt))
    body = fold(response[:BODY_CHARACTERS])
    overlap = sum([word in body for word in asked]) / len(asked) if asked else 0.5
    overlap_first = min(opening.count(ASKED) / len(asked), 1.0) if asked else 0.5
    advice = min(len(lexicon.ADVICE & distinct), 4) / 2.0
    return [
        pattern, declined, disapproved, cited, bool(phrases.IMPROPER_TO_HELP.search(head)) if moral else 0.0,
        declining / 2.0, _declining(body) / 2.0, moral, min(len(lexicon.MORAL & first), 3) / 2.0,
        advice, min(len(lexicon.FIRST & distinct), 4) / 2.0,
        negated_first, min(len(lexicon.NEGATION & distinct), 4) / 2.0,
        min((found & _DISCLAIMERS).bit_count(), 2), min((found & _NO_OPINION).bit_count(), 2),
        min((found & _IMPORTANT).bit_count(), 2), min((found & _PIVOTS).bit_count(), 2),
        found & _INCAPABLE > 0 if declining else 0.0,
        min((found & _OFFERS).bit_count(), 3) / 2.0, lists, "```" in response, math.log1p(len(response)) / 3.0 - 2.0,
        short, bool(lexicon.COMPLIES.match(head)), response.rstrip()[-1:] == "?", "?" in head,
        overlap, overlap_first, _novelty(words), negated_first * overlap_first,
        why * negated_first, why * moral, how * lists, how * moral,
        bool(lexicon.MAKE.match(prompt)) and of_self, pattern * (len(response) > LONG), pattern * lists,
        pattern * short, short * (not pattern), bool(declining) * of_self, (lists == 0.0) * moral,
        min(_count(lexicon.OFFERS, tail), 2), min(_declining(tail), 2),
        *relation_of(prompt, head, asked=asked, words=distinct, manner=Manner(moral, advice, negated_first, lists)),
    ]  # fmt: skip


def _novelty(words: list[str]) -> float:
    """Return 1 where a word with a meaning was not asked about."""
    return float(any(len(word) > 3 and word not in lexicon.COMMON for word in words))
