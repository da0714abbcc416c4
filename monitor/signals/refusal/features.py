"""What a learned refusal model looks at: words of an answer's ends, and numbers that tell prompt and answer apart.

Words of the answer that stand in the prompt too become one token, `_p`: "there is no reason why _p _p" reads alike
whatever was asked, so what is learnt carries over to other prompts. The middle of a long answer is only searched for
fixed phrases, so the cost does not grow with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from msgspec import Struct

from monitor.signals.refusal import lexicon, phrases
from monitor.signals.refusal.patterns import cites_policy, declines, disapproves, opening_of
from monitor.signals.refusal.relation import NAMES, Manner, relation_of
from monitor.signals.refusal.text import fold

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
    tail: str  # folded; empty where the answer is so short that the head is most of it

    @property
    def may_refuse(self) -> bool:
        """Say whether anything in it is ever found in a refusal: most ordinary answers hold nothing of it.

        Of 3,132 labelled refusals 25 hold nothing either; the model gives none of those .35 or more.
        """
        if not _TELLING.isdisjoint(self.words):
            return True
        end = next((place for place, word in enumerate(self.words) if word in lexicon.SENTENCE_ENDS and place > 2), 30)
        return not _TURNING.isdisjoint(self.words[:end]) or _declining(self.tail) > 0

    @property
    def declines(self) -> bool:
        """Say whether a fixed phrase of declining stands in it."""
        return _declining(self.head) > 0 or _declining(self.tail) > 0

    def weighed(self, weights: Mapping[str, int]) -> int:
        """Return what its words weigh together, by `word_weights`; each counts once."""
        return sum(weight for weight in map(weights.get, set(self.words)) if weight is not None)


def word_weights(tokens: Mapping[str, tuple[float, float]]) -> dict[str, int]:
    """Return in ten-thousandths what each word weighs towards a refusal: a sum of whole numbers has no order."""
    words = {token: round(10_000 * weight) for token, (weight, _) in tokens.items() if lexicon.WORD.fullmatch(token)}
    return {form: weight for word, weight in words.items() for form in _unstemmed(frozenset((word,)))}


def look_at(response: str) -> Look:
    head = opening_of(response)
    return Look(
        response,
        head,
        lexicon.WORD.findall(head)[:HEAD_WORDS],
        fold(response[-TAIL_CHARACTERS:]) if len(response) > TAIL_FROM else "",
    )


def features_of(prompt: str, look: Look) -> tuple[list[str], list[float]]:
    """Return the tokens of an answer, and its numbers in the order of DENSE.

    A token may occur more than once; it counts once.
    """
    asked = _asked(prompt)
    words = ["_p" if (stem := _stem(word)) in asked else stem for word in look.words]
    tokens = _tokens(words)
    if look.tail:
        ending = [
            "_p" if (stem := _stem(word)) in asked else stem for word in lexicon.WORD.findall(look.tail)[-TAIL_WORDS:]
        ]
        tokens += [f"${one}" for one in ending]
        tokens += [f"${one} {other}" for one, other in pairwise(ending)]
    return tokens, _numbers(prompt, look, asked, words)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 4 and word[-1] == "s" else word


def _unstemmed(stems: frozenset[str]) -> frozenset[str]:
    """Return every word whose stem is one of *stems*: by these most answers are told without stems of their own."""
    return frozenset(word for stem in stems for word in (stem, f"{stem}s") if _stem(word) == stem)


_TELLING, _TURNING = _unstemmed(lexicon.TELLING), _unstemmed(lexicon.TURNING)


def _asked(prompt: str) -> set[str]:
    words = lexicon.WORD.findall(fold(prompt[-PROMPT_CHARACTERS:]))[-MOST_PROMPT_WORDS:]
    return {_stem(word) for word in words if len(word) > 2 and word not in lexicon.COMMON}


def _tokens(words: list[str]) -> list[str]:
    tokens = list(words)
    tokens += [f"^{word}" for word in words[:4]]
    tokens += [f"{one} {other}" for one, other in pairwise(["^", *words])]
    return tokens


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


def _numbers(prompt: str, look: Look, asked: set[str], words: list[str]) -> list[float]:
    response, head, tail = look.response, look.head, look.tail
    declined, disapproved, cited = declines(head), disapproves(head), cites_policy(head)
    pattern = (declined or disapproved or cited) and not phrases.COMPLIES.match(head)
    end = next((place for place, word in enumerate(words) if word in lexicon.SENTENCE_ENDS and place > 2), len(words))
    first = words[:end]
    moral = min(len(lexicon.MORAL.intersection(words)), 5) / 2.0
    negated_first, of_self = not lexicon.NEGATION.isdisjoint(first), not lexicon.FIRST.isdisjoint(first)
    lists = min(len(lexicon.LIST.findall(response[:LISTED_CHARACTERS])), 10) / 5.0
    short, cues = len(response) < SHORT, _declining(head)
    why, how = bool(lexicon.WHY.match(prompt)), bool(lexicon.HOW.match(prompt))
    body = fold(response[:BODY_CHARACTERS])
    overlap = sum([word in body for word in asked]) / len(asked) if asked else 0.5
    overlap_first = min(first.count("_p") / len(asked), 1.0) if asked else 0.5
    advice = min(len(lexicon.ADVICE.intersection(words)), 4) / 2.0
    return [
        pattern, declined, disapproved, cited, bool(phrases.IMPROPER_TO_HELP.search(head)) if moral else 0.0,
        cues / 2.0, _declining(body) / 2.0, moral, min(len(lexicon.MORAL.intersection(first)), 3) / 2.0,
        advice, min(len(lexicon.FIRST.intersection(words)), 4) / 2.0,
        negated_first, min(len(lexicon.NEGATION.intersection(words)), 4) / 2.0,
        min(_count(lexicon.DISCLAIMERS, head), 2), min(_count(lexicon.NO_OPINION, head), 2),
        min(_count(lexicon.IMPORTANT, head), 2), min(_count(lexicon.PIVOTS, head), 2),
        bool(phrases.INCAPABILITY.search(head)) if cues else 0.0,
        min(_count(lexicon.OFFERS, head), 3) / 2.0, lists, "```" in response, math.log1p(len(response)) / 3.0 - 2.0,
        short, bool(lexicon.COMPLIES.match(head)), response.rstrip()[-1:] == "?", "?" in head,
        overlap, overlap_first, _novelty(words), negated_first * overlap_first,
        why * negated_first, why * moral, how * lists, how * moral,
        bool(lexicon.MAKE.match(prompt)) and of_self, pattern * (len(response) > LONG), pattern * lists,
        pattern * short, short * (not pattern), bool(cues) * of_self, (lists == 0.0) * moral,
        min(_count(lexicon.OFFERS, tail), 2), min(_declining(tail), 2),
        *relation_of(prompt, head, asked=asked, words=words, manner=Manner(moral, advice, negated_first, lists)),
    ]  # fmt: skip


def _novelty(words: list[str]) -> float:
    """Return the share of the words with a meaning that were not asked about."""
    contents = [word for word in words if len(word) > 3 and word not in lexicon.COMMON]
    return (len(contents) - contents.count("_p")) / max(len(contents), 1)
