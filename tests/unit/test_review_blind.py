"""An item's number tells an annotator nothing, and finds the item again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from monitor.domain.review import drawing_key
from monitor.errors import InvalidInput
from monitor.review.blind import HALF_BITS, found_number, hidden_number
from monitor.review.exchange import item_of, token_of

KEY, OTHER = drawing_key("secret"), drawing_key("another")


def test_every_item_has_a_number_of_its_own_that_finds_it_and_follows_no_order() -> None:
    items = [*range(1, 2000), 2 ** (2 * HALF_BITS) - 1]
    numbers = [hidden_number(item, KEY) for item in items]
    assert [found_number(number, KEY) for number in numbers] == items
    assert len(set(numbers)) == len(items)
    rising = sum(later > earlier for earlier, later in pairwise(numbers))
    assert 900 < rising < 1100
    assert max(numbers) < 2**53
    assert [hidden_number(item, OTHER) for item in items] != numbers


@pytest.mark.parametrize("number", [0, -1, 2 ** (2 * HALF_BITS) + 1, 2**62])
def test_a_number_out_of_range_is_no_item_s(number: int) -> None:
    assert found_number(number, KEY) is None


@pytest.mark.parametrize("token", ["", "1", "-", "x-1", "٣-1", "9" * 40 + "-1", token_of(7, OTHER), "1-\ud800"])
def test_a_token_is_taken_from_nobody_but_its_maker(token: str) -> None:
    assert item_of(token_of(7, KEY), KEY) == 7
    with pytest.raises(InvalidInput):
        item_of(token, KEY)
