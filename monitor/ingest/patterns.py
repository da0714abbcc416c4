"""The shipped patterns of what texts should not hold: mail addresses, phone and card numbers, keys.

Every pattern is linear in the text: what is repeated without a bound is possessive and starts where
its run starts, and everything else is bounded. What is found is replaced by its kind in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_MAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]++@[\w-]++(?:\.[\w-]++)++")
_TOP_DOMAIN = re.compile(r"\.(?:[^\W\d_]{2,63}|xn--[\w-]{2,59})$")

# A run of digits, or three or four groups as they are embossed.
_CARD = re.compile(
    r"\d(?<!\d\d)(?<!\d[.-]\d)(?:\d{12,18}+|\d{3}([ -])\d{4}\1\d{4}\1\d{4}|\d{3}([ -])\d{6}\2\d{4,5})(?!\d)(?!-\d)"
)
_ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|6(?:011|4[4-9]|5)|3(?:[47]|0[0-5]|[689]|5)|62|50|5[6-9]|6[0-9]")

# Digits with at most two separators between two of them: which of these are phone numbers, `_phone_or_text` says.
_PHONE = re.compile(
    r"[\d+(](?<![\w/=#&@.,:-][\d+(])(?<![\d+][\d+(])(?:(?<=\d)|\d)(?:[ ().\-/\u00a0\u2011]{0,2}\d){6,15}+"
    r"(?![\w@]|[.,:/-]\d)"
)
_DATE = re.compile(
    r"\d{1,2}([/.-])\d{1,2}\1(?:\d{4}|\d\d)(?!\1?\d)|\d{4}([/.-])\d\d?\2\d\d?(?!\d)"
    r"|(?:1\d|20)\d\d ?[/-] ?(?:1\d|20)\d\d(?!\d)"
)
_PHONE_SHAPES = re.compile(
    r"\+[1-9][\d ().\-/\u00a0\u2011]*"  # international
    r"|00[1-9]\d?[ \-/][\d ().\-/]*"
    r"|(?:1[ .-])?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}"  # North American
    r"|\(?0[1-9]\d{0,4}\)?[ \-/]{1,2}\d[\d \-/]{4,}"  # national, with its trunk zero
    r"|0[1-9](?:[ .]\d\d){4}"  # French
)
_PHONE_CUE = re.compile(r"(?:phone|\btel\b|mobile|\bcell|\bcall|\bfax|whats ?app|\bsms|\btext)[^\d\n]{0,24}$", re.I)
_CUE_CHARACTERS = 40
_LEAST_PHONE_DIGITS = 8

_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s\\,:]|-(?!----END))*+"
    r"(?:-----END [A-Z0-9 ]{0,60}-----)?"
    r"|(?<![A-Za-z0-9])(?:"
    r"(?:sk|rk|pk)-(?=[\w-]{0,40}\d)[\w-]{16,}+"  # OpenAI, Anthropic, OpenRouter
    r"|(?:sk|rk|pk)_(?:live|test)_\w{16,}+|whsec_\w{16,}+"  # Stripe
    r"|(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?![0-9A-Za-z])"  # AWS
    r"|gh[oprsu]_[A-Za-z0-9]{20,}+|github_pat_\w{20,}+|glpat-[\w-]{16,}+"
    r"|xox[abeprs]-[\w-]{10,}+|xapp-[\w-]{10,}+"  # Slack
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}+"  # Google
    r"|hf_[A-Za-z0-9]{24,}+|npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{32,}+|dop_v1_[a-f0-9]{32,}+"
    r"|gsk_[A-Za-z0-9]{20,}+|r8_[A-Za-z0-9]{30,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+"
    r"|eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+(?:\.[\w-]++)*+"  # JSON web tokens
    r")"
)
# What a key begins with, looked for by its rarest character: a quarter of the cost of the pattern above.
_KEY_CUE = re.compile(
    r"[-_.](?:(?<=[srp]k.)|(?<=whsec_)|(?<=gh[oprsu]_)|(?<=hub_pat_)|(?<=glpat-)|(?<=xox\w-)|(?<=xapp-)|(?<=ya29\.)"
    r"|(?<=hf_)|(?<=npm_)|(?<=pypi-)|(?<=dop_v1_)|(?<=gsk_)|(?<=r8_)|(?<=SG\.))"
)
_KEY_WORDS = ("PRIVATE KEY", "AKIA", "ASIA", "ABIA", "ACCA", "AIza", "eyJ")
_BEARER = re.compile(r"(?<!\w)(bearer\s{1,4})(?=[A-Za-z._~+/=-]{0,64}\d)[\w.~+/=-]{16,}+", re.I)
_ASSIGNED_CUE = re.compile(r"(?:key|token|secret)[\"']?\s{0,4}[:=]")
# A name and its value, as in settings and shells; the value is replaced.
_ASSIGNED = re.compile(
    r"((?:api|access|secret|private|auth|client|account)[_-]?(?:access[_-]?)?(?:key|token|secret)"
    r"[\"']?\s{0,4}[:=]\s{0,4}[\"']?)(?=[A-Za-z_+/=-]{0,64}\d)[\w+/=.-]{16,}+",
    re.I,
)


def replace_mails(text: str) -> str:
    if "@" not in text:
        return text
    return _MAIL.sub(lambda found: "[email]" if _TOP_DOMAIN.search(found[0]) else found[0], text)


def replace_cards(text: str) -> str:
    return _CARD.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)


def replace_phones(text: str) -> str:
    return _PHONE.sub(_phone_or_text, text)


def replace_keys(text: str) -> str:
    if _KEY_CUE.search(text) or any(word in text for word in _KEY_WORDS):
        text = _KEY.sub("[key]", text)
    lower = text.lower()
    if "bearer" in lower:
        text = _BEARER.sub(r"\1[key]", text)
    if ("key" in lower or "token" in lower or "secret" in lower) and _ASSIGNED_CUE.search(lower):
        text = _ASSIGNED.sub(r"\1[key]", text)
    return text


def _is_card(found: str) -> bool:
    """Say whether the digits are of an issuer's range and their last one is their check digit (Luhn)."""
    digits = [int(character) for character in found if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    checks = (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
    return checks and len(set(digits)) > 1 and _ISSUERS.match("".join(map(str, digits))) is not None


def _phone_or_text(found: re.Match[str]) -> str:
    number = found[0] if ")" in found[0] else found[0].lstrip("(")
    if _DATE.match(number):
        return found[0]
    digits = sum([character.isdigit() for character in number])
    before = found.string[max(0, found.start() - _CUE_CHARACTERS) : found.start()]
    if (digits >= _LEAST_PHONE_DIGITS and _PHONE_SHAPES.fullmatch(number)) or _PHONE_CUE.search(before):
        return found[0].removesuffix(number) + "[phone]"
    return found[0]


# In this order: a key may look like a number, and a card's number like a phone's.
PATTERNS: dict[str, Callable[[str], str]] = {
    "key": replace_keys,
    "email": replace_mails,
    "card": replace_cards,
    "phone": replace_phones,
}
