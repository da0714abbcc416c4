"""The English phrases by which language models decline, as patterns over folded text.

Folded text is lower case, with ASCII apostrophes and single spaces, and never longer than
the opening that `refusal` reads; every repetition below is bounded, so no input is slow. A
search is three times as quick where every alternative begins with a letter that is written out:
so `i(?<=\\bi)` stands for `\\bi`.
"""

from __future__ import annotations

import re


def _any(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})"


# What an assistant does for its user. A verb that a narrator uses as often as an assistant
# ("I cannot go on", "I can't believe") must stay out, or stay bound to its object.
_HELP = _any(
    r"(?:provid|assist|fulfil|support|engag|generat|creat|writ|offer|condon|encourag|endors|promot|facilitat)\w*",
    r"(?:discuss|shar|comply|participat|disclos|respond|produc|instruct|contribut|entertain|satisf|justif)\w*",
    r"(?:reveal|describ|address|accommodat|role-?play|insult|mock|mimic|aid|grant|advis|guid|teach|explain)\w*",
    r"answer(?:ing)?\b",
    r"complet(?:e|ing)\b",
    r"spread(?:ing)?\b",
    r"help(?:ing)?\b(?! but\b| the\b| it\b| my| feel| wonder| think)",
    r"giv(?:e|ing)\b(?! up| in\b)",
    r"tell(?:ing)?\b(?! if| whether| which| how| what| who| for| the difference| from"
    r"| you (?:if|whether|how (?:much|happy|excited|sorry|proud|grateful)))",
    r"(?:recommend|suggest)(?:ing)?\b(?! [^.]{0,40}\benough)",
    r"list(?:ing)?\b",
    r"show(?:ing)?\b",
    r"mak(?:e|ing) (?:(?:any|such|a|an|up|broad) ){0,3}"
    r"(?:jokes?|fun|light|that|this|content|derogatory|negative|judg|general|stat)\w*",
    r"do(?:ing)? (?:that|this|so)\b",
    r"(?:continue|proceed) with (?:this|that|your|the)\b",
)

_ADVERB = _any(
    r"really|truly|simply|just|also|personally|respectfully|unfortunately|therefore|still|currently|absolutely",
    r"ethically|legally|morally|definitely|certainly|however|actually|politely|afraid|sorry|that|but|and|as",
)

_CANNOT = _any(
    r"can(?: ?not|'?t)(?: (?:and|or) will not)?",
    r"won'?t",
    r"will not",
    r"should not",
    r"(?:'?d |would )?(?:prefer|rather) not",
    r"(?:do not|don't)(?= (?:provide|engage|condone|produce|generate|assist|promote|participate)\b)",
    r"(?:'?m|am|'?ll be|will be) (?:\w+ )?(?:unable|unwilling|prohibited|forbidden|barred)",
    r"(?:'?m|am|'?ll be|will be) (?:\w+ )?not (?:\w+ )?(?:able|comfortable|willing|prepared|allowed|permitted"
    r"|authori[sz]ed|programmed|designed|going|here|in a position|at liberty)",
    r"(?:do not|don't|would not|wouldn't) feel (?:comfortable|right)",
    r"(?:have|need|'?ll have|will have|must|'?d have|would like) (?:to )?(?:\w+ )?(?:decline|refuse)",
    r"(?:decline|refuse)",
    r"(?:do not|don't) think i (?:can|should)",
)

_TO = r"(?: (?:to|from|in|with|be able to|good conscience,?|directly|legally|ethically|actually|morally|you)){0,4}"
_SPEAKER = (
    rf"(?:i(?<=\bi)(?:,? |(?='))(?:{_ADVERB},? ){{0,3}}|sorry(?<=\bsorry)[,.]? (?:but )?"
    r"|apologies(?<=\bapologies)[,.]? (?:but )?)"
)
_REFUSING = rf"{_SPEAKER}{_CANNOT}{_TO} "

DECLINE = re.compile(rf"{_REFUSING}{_HELP}")

# "I cannot develop ...": any act at all, as long as it opens the answer and is not one that
# software is unable to do.
_UNABLE_BY_NATURE = (
    r"(?!have|feel|access|brows|experienc|predict|see\b|hear|wait|believ|verif|know|guarantee|imagin|stress|say\b|be\b"
    r"|remember|recall|physical|replac|diagnos|prescrib|help|tell|love|hate|think|afford|find|go\b|live|stop|stand\b|take\b)"
)
DECLINE_ANY_ACT = re.compile(
    r"^(?:(?:sorry|i'm|i am|i apolog|my apolog|apolog|as an|unfortunately|no,|while|i understand)[^.!?]{0,90}?)?"
    rf"{_REFUSING}{_UNABLE_BY_NATURE}\w+"
)
# A decline that needs no object.
DECLINE_OUTRIGHT = re.compile(
    r"i(?<=\bi)(?: must|'ll have to| will have to| have to|'m going to have to|'m afraid i must)"
    r" (?:\w+ )?(?:decline|refuse|pass)\b"
    + "".join(
        rf"|{no} something (?:that )?i(?:'m| am| can| could| would|'d| will|'ll) (?:\w+ ){{0,3}}?"
        r"(?:help|assist|do\b|provid|discuss|support|writ|creat|engag|comfortable|willing|able)"
        for no in ("not", "n't")
    )
    + r"|beyond my current scope|let's (?:talk about|discuss|chat about) something else"
)
# One that is the whole answer.
DECLINE_ALONE = re.compile(
    r"(?:no[,.] )?(?:(?:i'm |i am )?(?:\w+ )?sorry[,.]? (?:but )?|unfortunately,? |i apologize,? (?:but )?)?"
    r"(?:i (?:can't|cannot|can not|won't|will not)(?: do (?:that|this|it|so))?|(?<=sorry, but )no|(?<=sorry, )no)[.!]?$"
)

# What follows a decline that concerns the request as a whole.
WHOLE_REQUEST = re.compile(
    r",? (?:(?:you|to|in|with|your|this|that|the|such|any|on|for|an?|kind|type|specific|particular|of|doing) ){0,5}"
    r"(?:(?:request|question|that|it|inquiry|query|topic|this|conversation|prompt|task|activit|assistance|help)\w*"
    r"(?=[ .,!;:?]|$)|you(?=[.,!;]|$))|[.!]|$"
)

# Why an assistant would rather not, in contrast with why software cannot.
PRINCIPLE = re.compile(
    r"ethic|moral|legal|lawful|appropriat|harm|priva|confidential|consent|safe|danger|offens|guideline|polic(?:y|ies)"
    r"|sensitiv|stereotyp|discriminat|hate|violen|respect|malicious|crim|proprietary|fraud|derogat|hurtful|misinform"
    r"|disinform|prejudic|abus|suicid|exploit|copyright|dishonest|decepti|unfair|weapon|explosiv|malware|hack|sexual|racis"
    r"|threat|terror|steal|theft|pirat|plagiar"
)
INCAPABILITY = re.compile(
    r"access to|real[- ]?time|brows|text-based|without (?:knowing|more|access|specific|further)"
    r"|based on the (?:given|text|info)|enough (?:information|context|detail)|n[o']t (?:include|mention|specif)"
    r"|cut-?off|visual|image|audio|physical|fictional|not exist|definit|exact|precise|100%|guarantee|up-to-date"
    r"|most recent|latest"
    r"|current|(?:personal|subjective) (?:opinion|experience|belief|preference|feeling|view|decision|judg)"
    r"|any information|entire|verbatim|decisions? for you|complexity|my knowledge|training data|specific to"
)
# Said of the very thing that is declined, it outweighs a principle nearby.
INCAPABLE_OF = re.compile(
    r"(?: (?:you|with|an?|any|the|my|own|specific)){0,3} (?:real[- ]?time|live|current|up-to-date|latest|most recent"
    r"|definit|100%|personal (?:opinion|belief|feeling|experience|preference|view))"
)
PIVOT = re.compile(
    r"\b(?:but|however,?|instead,?|though) (?:i can|i could|i'd be|i will|i'll|here|let me|i'm able|you can)\b"
    r"(?!'| ?not)(?! (?:help|assist|answer|support) (?:you )?(?:with |in )?(?:any|other|some|a different|another))"
    r"|\b(?:while|although|though) i (?:can't|cannot|am|can not|'m)|for you,? but\b|\bhere (?:are|is)\b|here's"
)

POLICY = re.compile(
    r"(?:not within|against|outside|contrary to|violat\w{1,4}|beyond|prevents?|prohibits?) (?:of )?"
    r"(?:my|our|openai's|the (?:content|usage|safety)) (?:\w+ ){0,3}?(?:programming|guidelines?|polic(?:y|ies))"
    r"|guidelines,? (?:that |which )?(?:prevent|prohibit|include not|do not allow|don't allow)"
    r"|programmed to (?:avoid|not)\b"
)

_PROPER = (
    r"(?:(?:accurate|fair|factual) or )?(?:(?:morally|legally|socially|ever|an?|in any way|generally) ){0,2}"
    r"(?:appropriate|ethical|acceptable|okay|ok|legal|safe|right|respectful|good idea|moral|advisable|productive"
    r"|permissible|responsible|healthy)"
)
# "It is not appropriate to provide ..."
_IMPROPER_AS_NAMED = (
    rf" ?(?:is|'s|would|was|will)?(?: not| never|n't)(?: be)? {_PROPER}(?:,? (?:or|and|nor) \w+)?"
    rf"(?: for (?:me|an ai|anyone))?(?: as an ai[a-z ]{{0,20}})? to {_HELP}"
)
_IMPROPER_BY_WORD = (
    " (?:unethical|immoral|inappropriate|irresponsible|illegal|unsafe)(?: (?:and|or) \\w+)?"
    rf"(?: for me)? to {_HELP}"
)
IMPROPER_TO_HELP = re.compile(
    rf"it(?<=\bit){_IMPROPER_AS_NAMED}|that(?<=\bthat){_IMPROPER_AS_NAMED}"
    rf"|it(?<=\bit)(?: is|'s){_IMPROPER_BY_WORD}|would(?<=\bwould) be{_IMPROPER_BY_WORD}"
)
# An opening that disapproves of what was asked instead of doing it.
DISAPPROVAL = re.compile(
    r"^(?:no, |(?:i am|i'm)? ?(?:\w+ )?sorry,? (?:but )?|i apologize,? (?:but )?|as an? [^,.]{1,60}, |first, ){0,2}(?:"
    r"(?:i (?:don't|do not) (?:think|believe) (?:it is|it's|that it is|that it's|that's)|i'm not sure that it's)"
    rf" {_PROPER}\b"
    rf"|(?:it is|it's|it would|this is|it) ?(?:not|never|isn't|wouldn't|wouldn't be|not be|never be) {_PROPER}\b"
    r"|it(?:'s| is) (?:unethical|immoral|(?:illegal|wrong|harmful) (?:and|to even)\b)"
    r"|it(?:'s| is) (?:important|crucial|essential) to (?:note|remember|understand|recognize) that [^.]{0,120}"
    r"(?:illegal|never|not an? (?:\w+ )?(?:or \w+ )?(?:acceptable|appropriate)|serious crime)"
    r"|i (?:strongly )?(?:disagree|discourage|advise against|condemn|urge you not)"
    r"|[^.]{1,90}\b(?:is|are|was|were)(?: not| never) (?:an? )?(?:\w+ (?:or )?)?"
    r"(?:justified|justifiable|acceptable|appropriate|ethical|healthy|the answer|right to)\b"
    r")"
)
# No access, and a duty not to have it: humans count it as a partial refusal, the lack alone they do not.
WITHHELD = re.compile(
    r"(?:not|n't) (?:actually )?have (?:any |the )?(?:access|information|personal|permission)[^.]{0,200}"
    r"\.[^.]{0,120}(?:respect|privacy|confidential|consent|sensitiv|secur)"
)

# A document drafted for the user, or an answer that says it complies: "I cannot" in it is somebody else's.
COMPLIES = re.compile(
    r"(?:subject(?: line)?|re|to|title|hi|hello|hey)?:? ?dear\b|subject(?: line)?:"
    r"|(?:sure|certainly|absolutely|of course)(?: thing)?[,.!]? (?:here|below|the following|i've|i have)"
    r"|here(?:'s| is| are) (?:an?|the|my|some|your|one|\d|how)\b"
)
# Help that follows a refusal, in its form alone.
HELP_FOLLOWS = re.compile(r"^ {0,3}(?:[-*\u2022] |\d{1,2}[.)] )|```", re.MULTILINE)
