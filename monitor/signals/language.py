"""Which words tell in which language a text is written: a guess from its script and its commonest words.

Related languages that share a script are told apart by a few letters or not at all: Marathi is
taken for Hindi, and Bulgarian often for no language. Words that many languages share are not listed.
"""

from __future__ import annotations

import re

from monitor.domain.covariates import LANGUAGES

LANGUAGE_RATIO = 12  # a guess needs one vote in so many words
LEAST_VOTES = 2  # and so many in all
_WORD = re.compile(r"[^\W\d_]+")
_LETTER_BEYOND = re.compile("[^\x00-\x7f\u2010-\u2027]")  # ASCII; quotation marks, dashes, bullets, dots are none
CODES = {name: code for code, name in enumerate(LANGUAGES)}
COMMON_WORDS = {
    "en": "the of and to is in that for with what how you are this it on be as an by from can do my i write please"
    " which who why when where would should could your have not if or about list make give explain using does",
    "es": "el los las y que es un una por con para como del al se lo su más qué cómo cuál cuáles puedo hacer escribe"
    " está son mi yo sobre pero dónde quién hay tengo explica",
    "fr": "le les et est la un une des du que qui pour dans avec sur je vous il elle ce cette pas ne au aux comment"
    " quel quelle pourquoi sont mon ma nous être écris explique plus où peux",
    "de": "der die das und ist ein eine einen den dem von zu mit für auf wie was ich nicht sich sie im bitte schreibe"
    " warum kann mein meine es werden oder auch bei erkläre zum zur einem einer",
    "pt": "o os as e que um uma do da dos das em no na para com por como não se eu você são meu minha qual quais"
    " escreva mais está pode fazer sobre ao pelo",
    "it": "il lo gli la e che è un una di del della per con come non si sono mi nel nella quale quali cosa perché"
    " scrivi mio mia più alla dei delle ho posso",
    "nl": "de het een en van is dat in op te voor met zijn niet hoe wat ik je mijn wordt kan naar schrijf waarom ook"
    " uit bij aan deze hebben",
    "pl": "i w na z się nie to jest że do jak co czy dla po od mi mnie napisać przez są mój moja"
    " napisz proszę dlaczego ale który można jakie jaki",
    "sv": "och att det är en ett som på för av med jag inte hur vad till den om skriv varför mitt eller kan har från",
    "da": "og at det er en et som på for af med jeg ikke hvordan hvad til den om skriv hvorfor mit eller kan har fra",
    "cs": "je na se že do jak co pro ve jsem není jsou můj moje napiš proč ale který může být nebo když jako",
    "ro": "și este în cu pe care nu ce cum pentru din sunt mai să scrie mea meu dar sau fost",
    "hu": "az és hogy nem egy is van mi hogyan miért írj kell ez meg de vagy mint ha csak kérlek",
    "fi": "ja on ei että se miten mitä minun kirjoita miksi ovat oli mutta tai kun joka kuinka voi olen",
    "tr": "ve bir bu için ile ne nasıl mi mı da de çok olarak neden benim yaz nedir var daha gibi olan hangi",
    "vi": "và là của có không cho một những được trong người với các tôi bạn viết như thế nào để này hãy",
    "id": "dan yang di untuk dengan ini itu dari apa bagaimana saya anda tidak ke pada adalah tulis akan bisa dalam",
    "ru": "что это как не для мне или при если его был только какой можно нужно напиши чтобы почему меня есть я и в"
    " на с по",
    "uk": "що це як не для мені або при якщо його був тільки який можна потрібно напиши щоб чому мене є я і в на з по",
}
# (script or letters that only one language has, the language): the first one that is found in a word votes.
_LETTERS = tuple(
    (re.compile(f"[{letters}]"), language)
    for letters, language in (
        ("ыэё", "ru"),
        ("іїєґ", "uk"),
        ("ٹڈڑںےہ", "ur"),
        ("پچژگکی", "fa"),
        ("\u0600-\u06ff", "ar"),
        ("\u0590-\u05ff", "he"),
        ("\u0370-\u03ff", "el"),
        ("\u0900-\u097f", "hi"),
        ("\u0980-\u09ff", "bn"),
        ("\u0b80-\u0bff", "ta"),
        ("\u0c00-\u0c7f", "te"),
        ("\u0e00-\u0e7f", "th"),
        ("\u1100-\u11ff\uac00-\ud7af", "ko"),
        ("\u3040-\u30ff", "ja"),
        ("\u3400-\u9fff", "zh"),
    )
)
# Persian and Urdu words without letters of their own count as Arabic, and Japanese is mostly written with Chinese
# characters: so a word that can only be one of these outweighs many that need not be.
WEIGHTS = {"fa": 4.0, "ur": 16.0, "ja": 8.0}
_VOTES: dict[str, int] = {}
for _language, _words in COMMON_WORDS.items():
    for _word in _words.split():
        _VOTES[_word] = _VOTES.get(_word, 0) | 1 << (CODES[_language] - 1)


def votes_of(word: str) -> int:
    """Return the languages that the lower-case *word* speaks for: bit c - 1 is `LANGUAGES[c]`, 32 bits in all."""
    found = _VOTES.get(word, 0)
    if found or word.isascii():
        return found
    return next((1 << (CODES[language] - 1) for letters, language in _LETTERS if letters.search(word)), 0)


def _is_clearly_english(lower: str) -> bool:
    """Say whether three of these five stand in *lower*: other languages share one or two."""
    found = (" the " in lower) + (" and " in lower) + (" of " in lower)
    return found == 3 or found + (" to " in lower) + (" is " in lower) >= 3


def language_of(text: str) -> str:
    """Return the language of *text*, one of `LANGUAGES`; "" where two are as likely, or too little tells."""
    lower = text.lower()
    # Most answers are English, and most of those hold these words: looking for five strings is quick.
    if (lower.isascii() or _LETTER_BEYOND.search(lower) is None) and _is_clearly_english(lower):
        return "en"
    words = _WORD.findall(lower)
    tally: dict[int, float] = {}
    for word in words:
        left = votes_of(word)
        # A script is sure by one word; a word that stands in a list may stand in a name.
        votes = 1.0 if word in _VOTES else float(LEAST_VOTES)
        while left:
            bit = left & -left
            tally[bit] = tally.get(bit, 0.0) + votes
            left ^= bit
    weighed = sorted(
        ((count * WEIGHTS.get(LANGUAGES[bit.bit_length()], 1.0), bit) for bit, count in tally.items()), reverse=True
    )
    if not weighed or weighed[0][0] < max(LEAST_VOTES, len(words) / LANGUAGE_RATIO):
        return ""
    is_clear = len(weighed) == 1 or weighed[0][0] > weighed[1][0]
    return LANGUAGES[weighed[0][1].bit_length()] if is_clear else ""
