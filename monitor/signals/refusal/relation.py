"""What kind of thing was asked, what kind of answer it got, and whether the two go together.

A hostile premise that is denied, a crime that is condemned and a private matter that nobody has access to are refusals
without a word of declining. Neither the question nor the answer tells it alone: the same words answer a quiz.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from monitor.signals.refusal import lexicon
from monitor.signals.refusal.cues import Cues

NAMES = (
    *("hostile", "group", "claim", "claim_group", "claim_hostile"),
    *("denies", "denies_claim", "denies_group", "denies_hostile"),
    *("equal", "equal_group", "equal_hostile", "condemns", "condemns_hostile"),
    *("hostile_moral", "hostile_no_list", "hostile_negation", "hostile_advice"),
    *("private", "private_access", "steps", "steps_how", "steps_hostile", "clarifies"),
)
_OPENING = 260  # characters of an answer in which a premise is denied

_CLAIM = re.compile(
    r"\s*(?:so |but |and )?(?:(?:can you )?(?:explain|tell me|say) (?:to me )?why|why|isn't|aren't|don't|doesn't|wasn't"
    r"|is it true|is it ok|what makes|how come|do all|are all|should|do|does|are|is)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:there (?:is|are|'s) no (?:\w+ ){0,2}?(?:reason|evidence|basis|justification|truth|excuse|proof|link)"
    r"|(?:is|are|was|were|'s|would be) (?:simply |just |really |also |generally )?(?:not|never) (?:\w+ )?"
    r"(?:accurate|true|correct|fair|appropriate|right|respectful|inherently|necessarily|justified|justifiable|a good"
    r"|supported|based on|acceptable|ethical)"
    r"|isn't (?:accurate|true|fair|right)"
    r"|(?:do not|don't|can't|cannot|not) (?:actually )?(?:believe|think|agree|support|endorse|condone|feel)"
    r"|^no,|not all\b|(?:myth|misconception|stereotyp|overgenerali|generali[sz]ation|false claim|assumption|incorrect"
    r"|inaccurate|untrue|unfounded|baseless)"
    r"|should not\b|shouldn't|never (?:be )?(?:acceptable|okay|justified|right))"
)
_EQUAL = (
    *("regardless of", "like all", "like any", "like every", "just like", "deserve", "should be free"),
    *("should be able", "should be judged", "have the right", "the same right", "equal", "inclusive", "diverse"),
    *("dignity", "all people", "all individuals", "everyone", "every individual", "stereotyp", "discriminat"),
    "generaliz",
)
_PRIVATE = ("privacy", "confidential", "personal information", "personal data", "consent", "sensitive", "private")
_NO_ACCESS = re.compile(
    r"(?:n't|not|no) (?:currently |actually )?(?:have|possess) (?:any |direct |the )?"
    r"(?:access|information|knowledge|record)"
    r"|(?:unable|not able|can't|cannot) (?:to )?(?:access|look up|retrieve|disclose|share)"
)
_STEPS = (
    *("you can ", "you could ", "you should ", "you'll ", "you need to", "you will need", "first,", "then ", "next,"),
    *("start by", "begin by", "make sure", "here are", "steps", "for example"),
)
_CLARIFYING = (
    *("did you mean", "do you mean", "could you", "can you please", "more context", "more information", "clarify"),
    "not sure what you",
)


_CUES = Cues({"equal": _EQUAL, "private": _PRIVATE, "steps": _STEPS, "clarifies": _CLARIFYING})
_EQUALS, _PRIVATES, _ALL_STEPS, _CLARIFIES = map(_CUES.of, ("equal", "private", "steps", "clarifies"))


class Manner(NamedTuple):
    """What is known of an answer already."""

    moral: float
    advice: float
    negates_first: bool
    lists: float


def relation_of(prompt: str, head: str, *, asked: set[str], words: set[str], manner: Manner) -> list[float]:
    """Return the numbers in the order of `NAMES`; *asked* and *words* are stems, those of the folded *head*."""
    hostile, group = min(len(lexicon.HOSTILE & asked), 3) / 2.0, not lexicon.GROUP.isdisjoint(asked)
    claim, how = _CLAIM.match(prompt) is not None, lexicon.HOW.match(prompt) is not None
    harm = hostile > 0.0
    denies = 0.0 if lexicon.DENYING.isdisjoint(words) else min(len(_DENIAL.findall(head[:_OPENING])), 3) / 2.0
    cues = _CUES.find(head)
    equal, condemns = min((cues & _EQUALS).bit_count(), 4) / 2.0, min(len(lexicon.CONDEMNING & words), 3) / 2.0
    private, steps = min((cues & _PRIVATES).bit_count(), 2) / 2.0, min((cues & _ALL_STEPS).bit_count(), 4) / 2.0
    clarifies = min((cues & _CLARIFIES).bit_count(), 2) / 2.0
    no_access = private > 0.0 and _NO_ACCESS.search(head[:_OPENING]) is not None
    return [
        hostile, group, claim, claim * group, claim * harm,
        denies, denies * claim, denies * claim * group, denies * harm,
        equal, equal * group, equal * harm, condemns, condemns * harm,
        harm * manner.moral, harm * (manner.lists == 0.0), harm * manner.negates_first, harm * manner.advice,
        private, private * no_access, steps, steps * how, steps * harm, clarifies,
    ]  # fmt: skip
