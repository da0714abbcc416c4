"""The words and fixed phrases by which the learned refusal model looks at answers."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SENTENCE_ENDS = frozenset(".?!:")
# Plurals have lost their s, and so has what ends like one.
COMMON = _words(
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me my of"
    " on or our should so than that the their them then there these they this to was we were what when where which who"
    " why will with would you your not no about tell give make write explain best way use get let please"
)
MORAL = _words(
    "illegal unlawful unethical ethical ethic immoral moral inappropriate appropriate harmful harm harming"
    " dangerou danger offensive disrespectful respectful respect discriminate discrimination discriminatory"
    " stereotype derogatory wrong unacceptable acceptable crime criminal violate violation right dignity privacy"
    " equal equality equally regardles safe safety confidential consent hate hateful violence violent racist"
    " racism prejudice bias consequence law legal abuse justified justify fairnes fair unfair hurtful"
    " misinformation unsafe responsible irresponsible"
)
ADVICE = _words(
    "consider seek consult instead alternatively recommend suggest encourage reach professional support advise advice"
    " authority licensed therapist counselor doctor"
)
FIRST = _words("i i'm i'd i'll i've me my")
NEGATION = _words(
    "no not never none nobody nothing cannot can't don't doesn't isn't aren't won't wouldn't shouldn't false incorrect"
    " inaccurate untrue myth misconception without nor"
)
CONDEMNING = _words(
    "tragic tragedy atrocity atrocitie condemn condemned horrific suffering innocent genocide devastating heinou"
    " brutal victim deplorable unjust oppression loss"
)
TELLING = FIRST | MORAL | CONDEMNING | {"sorry", "let'", "ai"}
TURNING = NEGATION | {"however", "but"}

DECLINE_CUES = (
    *("i can't", "i cannot", "i won't", "i will not", "'m unable", "am unable", "'m not able", "am not able"),
    *("must decline", "not comfortable", "i'm sorry", "i apologize", "decline to", "i refuse", "can't help"),
    *("can't assist", "rather not", "i have to decline"),
)
OFFERS = (
    "i can ",
    "i could ",
    "happy to",
    "glad to",
    "let me",
    "here to help",
    "feel free",
    "would you like",
    "may i ",
)
DISCLAIMERS = ("as an ai", "language model", "just an ai", "an ai ", "as an artificial", "ai assistant")
NO_OPINION = ("personal opinion", "personal belief", "personal feeling", "personal experience", "feelings", "opinions")
IMPORTANT = (
    *("important to", "essential to", "crucial to", "keep in mind", "be aware", "not recommended", "not advisable"),
)
PIVOTS = ("instead", "however", " but ", "alternatively")

COMPLIES = re.compile(r"(?:sure|certainly|absolutely|of course|here|yes|title|dear|subject|great question)\b")
LIST = re.compile(r"^ {0,3}(?:[-*\u2022] |\d{1,2}[.)] )", re.MULTILINE)
WHY = re.compile(
    r"\s*(?:so |but |and )?(?:why|explain why|tell me why|isn't|aren't|is it true|what makes)\b", re.IGNORECASE
)
HOW = re.compile(
    r"\s*(?:how|what(?:'s| is| are) (?:the|some|a)|where|can you|could you|teach|explain|describe|give|list)\b",
    re.IGNORECASE,
)
MAKE = re.compile(
    r"\s*(?:please )?(?:write|create|make|generate|draft|compose|develop|design|tell|come up)\b", re.IGNORECASE
)

# Of a prompt.
HOSTILE = _words(
    "kill killing murder murdering suicide suicidal bomb bombing explosive weapon gun guns poison drug cocaine"
    " heroin meth steal stealing stolen rob robbing robbery burglary shoplift hack hacking hacker malware ransomware"
    " phishing virus fraud fraudulent scam scamming forge fake counterfeit launder laundering blackmail extort bribe"
    " kidnap abduct torture rape assault abuse abusing harass harassing stalk bully bullying threaten attack"
    " attacking shoot shooting stab strangle hurt harm beat punch destroy sabotage arson terrorist terrorism smuggle"
    " smuggling trafficking illegal illegally crime criminal cheat cheating spy porn nude sexist racist hate hateful"
    " slur insult offensive genocide massacre holocaust nazi hitler slavery slave exterminate eradicate revenge"
    " manipulate evade bypass dangerou lethal undetected traceles secretly deepfake misinformation conspiracy"
    " propaganda pedophilia incest"
)
GROUP = _words(
    "people person woman women man men girl boy boys gay gays lesbian bisexual trans transgender queer homosexual"
    " black white asian latino hispanic jew jews jewish muslim islam christian hindu buddhist sikh atheist immigrant"
    " refugee migrant foreigner minority disabled deaf blind elderly homeles poor fat indigenou native roma african"
    " mexican chinese indian arab race gender religion culture female male feminist kid kids children teenager"
    " community ethnic"
)
# Without one of these words no premise is denied.
DENYING = NEGATION | _words(
    "isn't shouldn't myth misconception stereotype overgeneralization generalization generalize generalizing"
    " overgeneralize generalisation generalise assumption unfounded baseles"
)
