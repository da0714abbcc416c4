"""Mail addresses, phone numbers, card numbers and keys as people write them, drawn from a seed; none is anybody's."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from random import Random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits, hexdigits

PLACES = (
    "{}",
    "My {kind} is {}.",
    "please use {}, thanks",
    "({})",
    'he said "{}" twice',
    "- {kind}: {}\n- next",
    "| {} | x |",
    "<{}>",
    "{}\n",
    "Contact: {}!",
)


def written(seed: int, kind: str, count: int) -> Iterator[tuple[str, str]]:
    """Yield *count* secrets of *kind*, each with a text that holds it."""
    random = Random(seed)
    for _ in range(count):
        secret = random.choice(SHAPES[kind])(random)
        yield secret, random.choice(PLACES).replace("{kind}", kind).replace("{}", secret)


def _some(random: Random, letters: str, count: int) -> str:
    return "".join(random.choice(letters) for _ in range(count))


def _email(random: Random) -> str:
    local = random.choice(["jo.doe", "a_b", "user+tag", "x", "müller", "o-brien99", _some(random, ascii_lowercase, 12)])
    domain = random.choice(["example.com", "mail.example.co.uk", "exämple.de", "x-y.io", "sub.deep.example.museum"])
    return f"{local}@{domain}"


def _card(random: Random) -> str:
    prefix, length, groups = random.choice(
        [("4", 16, (4, 4, 4, 4)), ("52", 16, (4, 4, 4, 4)), ("37", 15, (4, 6, 5)), ("6011", 16, (4, 4, 4, 4))]
    )
    body = prefix + _some(random, digits, length - len(prefix) - 1)
    doubled = sum(int(d) * 2 - 9 * (int(d) > 4) for d in body[::-1][::2]) + sum(int(d) for d in body[::-1][1::2])
    number = body + str(-doubled % 10)
    between = random.choice(["", " ", "-"])
    starts = [sum(groups[:at]) for at in range(len(groups))]
    return between.join(number[start : start + size] for start, size in zip(starts, groups, strict=True))


def _phone(random: Random) -> str:
    def d(count: int) -> str:
        return _some(random, digits, count)

    shapes = (
        f"+1 {random.randint(2, 9)}{d(2)} {random.randint(2, 9)}{d(2)} {d(4)}",
        f"+1{random.randint(2, 9)}{d(2)}{random.randint(2, 9)}{d(6)}",
        f"({random.randint(2, 9)}{d(2)}) {random.randint(2, 9)}{d(2)}-{d(4)}",
        f"{random.randint(2, 9)}{d(2)}-{random.randint(2, 9)}{d(2)}-{d(4)}",
        f"{random.randint(2, 9)}{d(2)}.{random.randint(2, 9)}{d(2)}.{d(4)}",
        f"+44 20 {d(4)} {d(4)}",
        f"+44 (0)20 {d(4)} {d(4)}",
        f"+49 {random.randint(30, 99)} {d(7)}",
        f"+49-{random.randint(150, 179)}-{d(8)}",
        f"+33 {random.randint(1, 9)} {d(2)} {d(2)} {d(2)} {d(2)}",
        f"0{random.randint(1, 9)} {d(2)} {d(2)} {d(2)} {d(2)}",
        f"020 {random.randint(3, 8)}{d(3)} {d(4)}",
        f"07{d(3)} {d(6)}",
        f"0{random.randint(30, 99)}/{d(7)}",
        f"+91 {random.randint(7, 9)}{d(4)} {d(5)}",
        f"+86 138 {d(4)} {d(4)}",
        f"0044 20 {d(4)} {d(4)}",
    )
    return random.choice(shapes)


def _web_token(random: Random) -> str:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    claims = {"sub": _some(random, digits, 10), "iat": random.randint(10**9, 2 * 10**9)}
    signature = _some(random, ascii_letters + digits + "-_", 43)
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{signature}"


def _private_key(random: Random) -> str:
    name = random.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
    lines = "\n".join(_some(random, ascii_letters + digits + "+/", 64) for _ in range(random.randint(2, 8)))
    return f"-----BEGIN {name}-----\n{lines}==\n-----END {name}-----"


_TAILS: tuple[tuple[str, str, int], ...] = (
    ("sk-", ascii_letters + digits, 48),
    ("sk-proj-", ascii_letters + digits + "_-", 60),
    ("sk-ant-api03-", ascii_letters + digits + "_-", 80),
    ("sk_live_", ascii_letters + digits, 24),
    ("rk_test_", ascii_letters + digits, 24),
    ("AKIA", ascii_uppercase + digits, 16),
    ("ASIA", ascii_uppercase + digits, 16),
    ("ghp_", ascii_letters + digits, 36),
    ("gho_", ascii_letters + digits, 36),
    ("github_pat_", ascii_letters + digits + "_", 60),
    ("glpat-", ascii_letters + digits + "-_", 20),
    ("xoxb-", digits + ascii_lowercase, 40),
    ("AIza", ascii_letters + digits + "-_", 35),
    ("hf_", ascii_letters + digits, 34),
    ("npm_", ascii_letters + digits, 36),
    ("pypi-AgEI", ascii_letters + digits + "-_", 80),
    ("SG." + "a" * 22 + ".", ascii_letters + digits, 43),
)
SHAPES: dict[str, tuple[Callable[[Random], str], ...]] = {
    "email": (_email,),
    "card": (_card,),
    "phone": (_phone,),
    "key": (
        *(
            lambda random, start=start, letters=letters, count=count: start + _some(random, letters, count)
            for start, letters, count in _TAILS
        ),
        _web_token,
        _private_key,
        lambda random: "Authorization: Bearer " + _some(random, hexdigits, 40),
        lambda random: "api_key = '" + _some(random, ascii_letters + digits, 32),
        lambda random: "AWS_SECRET_ACCESS_KEY=" + _some(random, ascii_letters + digits + "/+", 40),
    ),
}
