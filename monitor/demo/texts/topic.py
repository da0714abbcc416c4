"""The shape of topic material, and the slots every product shares.

Texts are `str.format` templates; a name in braces is filled from the product's
slots, with one value for the whole conversation, so an answer speaks of the same
date and amount as its question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
DATES = tuple(f"{day} {month}" for month in MONTHS for day in range(1, 29))
AMOUNTS = tuple(f"${dollars}.{cents:02d}" for dollars in range(6, 190) for cents in (0, 15, 49, 90, 99))
NUMBERS = tuple(str(number) for number in range(11, 9_800, 7))


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing users want, and everything a good answer to it can draw on."""

    prompts: tuple[str, ...]
    openings: tuple[str, ...]  # the direct answer to the prompt of the same index
    steps: tuple[str, ...]  # in the order in which they are to be done
    details: tuple[str, ...]  # in any order
    follow_ups: tuple[str, ...]  # what the user asks next


@dataclass(frozen=True, slots=True)
class Product:
    """A cohort of the traffic: the value of the label `product`."""

    name: str
    weight: float  # share of the conversations
    length_ratio: float  # its answers' length over that of the whole traffic
    list_ratio: float  # share of its answers that number their steps
    slots: Mapping[str, tuple[str, ...]]
    contexts: tuple[str, ...]  # a second sentence many users add
    background: tuple[str, ...]  # on topic for every intent of the product
    intents: tuple[Intent, ...]
