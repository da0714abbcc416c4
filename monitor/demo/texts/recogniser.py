"""From a user's first message back to the question it was composed of."""

from __future__ import annotations

import re
from functools import cache
from random import Random

from monitor.demo.texts import PRODUCTS
from monitor.demo.texts.composer import Question
from monitor.demo.texts.topic import Intent, Product

_SLOT = re.compile(r"\\{(\w+)\\}")


def recognise(text: str) -> Question | None:
    """Return the question that *text* asks; what it does not name is filled in, the same for the same text."""
    for pattern, product, intent, index in _patterns():
        found = pattern.fullmatch(text)
        if found is None or any(value not in product.slots[name] for name, value in found.groupdict().items()):
            continue
        rng = Random(text)
        slots = {name: rng.choice(pool) for name, pool in product.slots.items()} | found.groupdict()
        return Question(product, intent, slots, text, intent.openings[index])
    return None


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Product, Intent, int], ...]:
    """Return a pattern for each prompt there is; the user may have added a sentence to it."""
    found = []
    for product in PRODUCTS:
        for intent in product.intents:
            for index, prompt in enumerate(intent.prompts):
                seen: set[str] = set()

                def named(match: re.Match[str], seen: set[str] = seen) -> str:
                    name = match[1]
                    group = f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
                    seen.add(name)
                    return group

                pattern = re.compile(_SLOT.sub(named, re.escape(prompt)) + r"(?: .+)?")
                found.append((pattern, product, intent, index))
    return tuple(found)
