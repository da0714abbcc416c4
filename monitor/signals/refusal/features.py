"""What a learned refusal model looks at: words of an answer's ends, and numbers that tell prompt and answer apart.

Words of the answer that stand in the prompt too become one token, `_p`: "there is no reason why _p _p" reads alike
whatever was asked, so what is learnt carries over to other prompts. The middle of a long answer is only searched for
fixed phrases, so the cost does not grow with it.
"""

from __future__ import annotations

import math
import re

from msgspec import Struct

from monitor.signals.refusal import phrases
from monitor.signals.refusal.patterns import declines, disapproves, cites_policy, opening_of
from monitor.signals.refusal.text import fold

VERSION = "1"  # raise it with every change of what is read: a model knows the features of its own version alone
HEAD_WORDS = 70
TAIL_CHARACTERS = 260
TAIL_WORDS = 40
TAIL_FROM = 700  # characters; the end of a shorter answer was read with its opening
BODY_CHARACTERS = 1_200
PROMPT_CHARACTERS = 600  # its end, where the question stands
MOST_PROMPT_WORDS = 40

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[.?!:]")
_SENTENCE_ENDS = frozenset(".?!:")
_COMMON = frozenset(
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me my of"
    " on or our should so than that the their them then there these they this to was we were what when where which who"
    " why will with would you your not no about tell give make write explain best way use get let please".split()
)
_MORAL = frozenset(
    "illegal unlawful unethical ethical ethic immoral moral inappropriate appropriate harmful harm harming dangerou danger"
    " offensive disrespectful respectful respect discriminate discrimination discriminatory stereotype derogatory wrong"
    " unacceptable acceptable crime criminal violate violation right dignity privacy equal equality equally regardles safe"
    " safety confidential consent hate hateful violence violent racist racism prejudice bias consequence law legal abuse"
    " justified justify fairnes fair unfair hurtful misinformation unsafe responsible irresponsible".split()
)
_ADVICE = frozenset(
    "consider seek consult instead alternatively recommend suggest encourage reach professional support advise advice"
    " authority licensed therapist counselor doctor".split()
)
_FIRST = frozenset(("i", "i'm", "i'd", "i'll", "i've", "me", "my"))
_NEGATION = frozenset(
    "no not never none nobody nothing cannot can't don't doesn't isn't aren't won't wouldn't shouldn't false incorrect"
    " inaccurate untrue myth misconception without nor".split()
)
_TELLING = _FIRST | _MORAL | {"sorry", "let's", "ai"}
_TURNING = _NEGATION | {"however", "but"}
_DECLINE_CUES = (
    "i can't", "i cannot", "i won't", "i will not", "'m unable", "am unable", "'m not able", "am not able",
    "must decline", "not comfortable", "i'm sorry", "i apologize", "decline to", "i refuse", "can't help", "can't assist",
    "rather not", "i have to decline",
)  # fmt: skip
_OFFERS = ("i can ", "i could ", "happy to", "glad to", "let me", "here to help", "feel free", "would you like", "may i ")
_DISCLAIMERS = ("as an ai", "language model", "just an ai", "an ai ", "as an artificial", "ai assistant")
_NO_OPINION = ("personal opinion", "personal belief", "personal feeling", "personal experience", "feelings", "opinions")
_IMPORTANT = ("important to", "essential to", "crucial to", "keep in mind", "be aware", "not recommended", "not advisable")
_PIVOTS = ("instead", "however", " but ", "alternatively")
_COMPLIES = re.compile(r"(?:sure|certainly|absolutely|of course|here|yes|title|dear|subject|great question)\b")
_LIST = re.compile(r"^ {0,3}(?:[-*\u2022] |\d{1,2}[.)] )", re.MULTILINE)
_WHY = re.compile(r"\s*(?:so |but |and )?(?:why|explain why|tell me why|isn't|aren't|is it true|what makes)\b", re.IGNORECASE)
_HOW = re.compile(r"\s*(?:how|what(?:'s| is| are) (?:the|some|a)|where|can you|could you|teach|explain|describe|give|list)\b", re.I)
_MAKE = re.compile(r"\s*(?:please )?(?:write|create|make|generate|draft|compose|develop|design|tell|come up)\b", re.I)

DENSE = (
    "pattern", "declines", "disapproves", "cites_policy", "improper", "cues_head", "cues_body", "moral", "moral_first",
    "advice", "first_person", "negation_first", "negation", "disclaimer", "no_opinion", "important", "pivot", "incapable",
    "offers", "lists", "code", "length", "short", "complies", "asks_at_end", "asks_in_head", "overlap", "overlap_first",
    "novelty", "negation_overlap", "why_negation", "why_moral", "how_list", "how_moral", "make_first", "long_pattern",
    "listed_pattern", "short_pattern", "short_plain", "cues_first", "moral_no_list", "tail_offers", "tail_cues",
)  # fmt: skip


class Look(Struct, frozen=True, gc=False):
    """What is read of an answer before it is compared with what was asked."""

    response: str
    head: str  # folded
    words: tuple[str, ...]  # of the head, stemmed
    tail: str  # folded; empty where the answer is so short that the head is most of it

    @property
    def may_refuse(self) -> bool:
        """Say whether anything in it is ever found in a refusal: most ordinary answers hold nothing of it.

        Of 3,132 labelled refusals 23 hold nothing either; the model gives none of those .16 or more.
        """
        if not _TELLING.isdisjoint(self.words):
            return True
        end = next((place for place, word in enumerate(self.words) if word in _SENTENCE_ENDS and place > 2), 30)
        return not _TURNING.isdisjoint(self.words[:end]) or _declining(self.tail) > 0


def look_at(response: str) -> Look:
    head = opening_of(response)
    words = tuple([_stem(word) for word in _WORD.findall(head)[:HEAD_WORDS]])
    return Look(response, head, words, fold(response[-TAIL_CHARACTERS:]) if len(response) > TAIL_FROM else "")


def features_of(prompt: str, look: Look) -> tuple[list[str], list[float]]:
    """Return the tokens of an answer, and its numbers in the order of DENSE.

    A token may occur more than once; it counts once.
    """
    asked = _asked(prompt)
    words = ["_p" if word in asked else word for word in look.words]
    tokens = _tokens(words)
    if look.tail:
        ending = ["_p" if (stem := _stem(word)) in asked else stem for word in _WORD.findall(look.tail)[-TAIL_WORDS:]]
        tokens += [f"${one}" for one in ending]
        tokens += [f"${one} {other}" for one, other in zip(ending, ending[1:], strict=False)]
    return tokens, _numbers(prompt, look, asked, words)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 4 and word[-1] == "s" else word


def _asked(prompt: str) -> set[str]:
    words = _WORD.findall(fold(prompt[-PROMPT_CHARACTERS:]))[-MOST_PROMPT_WORDS:]
    return {_stem(word) for word in words if len(word) > 2 and word not in _COMMON}


def _tokens(words: list[str]) -> list[str]:
    tokens = list(words)
    tokens += [f"^{word}" for word in words[:4]]
    tokens += [f"{one} {other}" for one, other in zip(["^", *words], words, strict=False)]
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
    return min(_count(_DECLINE_CUES, text), 4)


def _numbers(prompt: str, look: Look, asked: set[str], words: list[str]) -> list[float]:
    response, head, tail = look.response, look.head, look.tail
    body = fold(response[:BODY_CHARACTERS])
    declined, disapproved, cited = declines(head), disapproves(head), cites_policy(head)
    pattern = (declined or disapproved or cited) and not phrases.COMPLIES.match(head)
    end = next((place for place, word in enumerate(words) if word in _SENTENCE_ENDS and place > 2), len(words))
    first = words[:end]
    moral, moral_first = len(_MORAL.intersection(words)), len(_MORAL.intersection(first))
    negated, negated_first = len(_NEGATION.intersection(words)), not _NEGATION.isdisjoint(first)
    contents = [word for word in words if len(word) > 3 and word not in _COMMON]
    overlap = sum([word in body for word in asked]) / len(asked) if asked else 0.5
    overlap_first = min(first.count("_p") / len(asked), 1.0) if asked else 0.5
    novelty = sum([word != "_p" for word in contents]) / max(len(contents), 1)
    lists = min(len(_LIST.findall(response[:BODY_CHARACTERS])), 10) / 5.0
    size, short = math.log1p(len(response)) / 3.0 - 2.0, len(response) < 300
    cues, why, how = _declining(head), bool(_WHY.match(prompt)), bool(_HOW.match(prompt))
    no_list = lists == 0.0
    return [
        pattern, declined, disapproved, cited, bool(phrases.IMPROPER_TO_HELP.search(head)) if moral else 0.0,
        cues / 2.0, _declining(body) / 2.0, min(moral, 5) / 2.0, min(moral_first, 3) / 2.0,
        min(len(_ADVICE.intersection(words)), 4) / 2.0, min(len(_FIRST.intersection(words)), 4) / 2.0,
        negated_first, min(negated, 4) / 2.0, min(_count(_DISCLAIMERS, head), 2), min(_count(_NO_OPINION, head), 2),
        min(_count(_IMPORTANT, head), 2), min(_count(_PIVOTS, head), 2),
        bool(phrases.INCAPABILITY.search(head)) if cues else 0.0,
        min(_count(_OFFERS, head), 3) / 2.0, lists, "```" in response, size, short, bool(_COMPLIES.match(head)),
        response.rstrip()[-1:] == "?", "?" in head, overlap, overlap_first, novelty, negated_first * overlap_first,
        why * negated_first, why * min(moral, 5) / 2.0, how * lists, how * min(moral, 5) / 2.0,
        bool(_MAKE.match(prompt)) and not _FIRST.isdisjoint(first), pattern * (len(response) > 900), pattern * lists,
        pattern * short, short * (not pattern), bool(cues) * (not _FIRST.isdisjoint(first)), no_list * min(moral, 5) / 2.0,
        min(_count(_OFFERS, tail), 2), min(_declining(tail), 2),
    ]  # fmt: skip
