"""Partitions are merged by time, and none is waited for that has nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from monitor.ingest.order import MAX_HELD_BYTES, MAX_HELD_RECORDS, PATIENCE_SECONDS, TimeOrder
from monitor.ingest.record import Record

A, B, C = ("traces", 0), ("traces", 1), ("traces", 2)


@dataclass
class Clock:
    seconds: float = 1000.0
    order: TimeOrder = field(init=False)

    def __post_init__(self) -> None:
        self.order = TimeOrder(now=lambda: self.seconds, monotonic=lambda: self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def records(partition: tuple[str, int], *times_ms: int, first: int = 0, value: bytes = b"") -> list[Record]:
    return [Record(*partition, first + n, None, value, (), at) for n, at in enumerate(times_ms)]


def add(clock: Clock, *lanes: list[Record]) -> None:
    for lane in lanes:
        clock.order.add(lane[0].topic_partition, lane)


def given(taken: list[Record]) -> list[tuple[int, int]]:
    return [(record.partition, record.timestamp_ms) for record in taken]


def test_partitions_are_merged_by_time_and_each_keeps_the_order_of_its_offsets(clock: Clock) -> None:
    add(clock, records(A, 1, 5, 4, 9), records(B, 2, 3, 8))
    taken = clock.order.take(set(), 100)
    assert given(taken) == [(0, 1), (1, 2), (1, 3), (0, 5), (0, 4), (1, 8), (0, 9)]
    assert [record.offset for record in taken if record.partition == 0] == [0, 1, 2, 3]


def test_no_more_than_the_limit_is_given_out_and_the_rest_is_held(clock: Clock) -> None:
    add(clock, records(A, 1, 3), records(B, 2))
    assert given(clock.order.take(set(), 2)) == [(0, 1), (1, 2)]
    assert (clock.order.next_offset(A), clock.order.next_offset(B)) == (1, None)
    assert given(clock.order.take(set(), 2)) == [(0, 3)]


def test_a_partition_that_is_behind_is_waited_for_and_one_that_has_nothing_is_not(clock: Clock) -> None:
    add(clock, records(A, 10, 20))
    assert clock.order.take({B}, 100) == []
    add(clock, records(B, 5, 15))
    assert given(clock.order.take({B}, 100)) == [(1, 5), (0, 10), (1, 15)]  # its next may be older than 20
    assert given(clock.order.take(set(), 100)) == [(0, 20)]


def test_a_partition_that_is_behind_and_brings_nothing_is_waited_for_no_longer_than_its_patience(clock: Clock) -> None:
    add(clock, records(A, 10))
    assert clock.order.take({B}, 100) == []
    clock.seconds += PATIENCE_SECONDS
    assert given(clock.order.take({B}, 100)) == [(0, 10)]


def test_a_record_dated_ahead_counts_as_of_now_and_one_without_a_time_goes_with_the_one_before_it(clock: Clock) -> None:
    now_ms = round(clock.seconds * 1000)
    add(clock, records(A, 10**15, -1), records(B, now_ms - 1))
    clock.seconds += 1
    add(clock, records(C, now_ms + 500))
    assert [record.partition for record in clock.order.take(set(), 100)] == [1, 0, 0, 2]


@pytest.mark.parametrize(("count", "size"), [(MAX_HELD_RECORDS, 0), (8, MAX_HELD_BYTES // 8)], ids=["records", "bytes"])
def test_a_partition_that_is_ahead_is_full_until_half_of_it_is_given_out(clock: Clock, count: int, size: int) -> None:
    add(clock, records(A, *range(count - 1), value=b"x" * size))
    assert not clock.order.is_full(A)
    add(clock, records(A, count, value=b"x" * size))
    assert clock.order.is_full(A)
    clock.order.take(set(), count // 2 - 1)
    assert clock.order.is_full(A)
    clock.order.take(set(), 1)
    assert not clock.order.is_full(A)


def test_what_is_dropped_is_not_given_out(clock: Clock) -> None:
    add(clock, records(A, 1), records(B, 2))
    clock.order.drop([A])
    assert given(clock.order.take(set(), 100)) == [(1, 2)]


@pytest.mark.parametrize(
    ("held", "behind", "passed"),
    [([], {A}, True), ([], {A, B}, False), (records(B, 1), set(), False)],
    ids=["nothing else is to be read", "another partition is behind", "another partition's records are held"],
)
def test_records_go_on_at_once_where_nothing_else_is_to_be_read(
    clock: Clock, held: list[Record], behind: set[tuple[str, int]], passed: bool
) -> None:
    if held:
        add(clock, held)
    new = records(A, 5, 6)
    assert clock.order.pass_on(A, new, behind) == (new if passed else None)
