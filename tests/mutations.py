"""Valid bytes made invalid, or nearly: flipped, cut, spliced, doubled."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

STRANGE = (
    b"\x00",
    b"\xff",
    b"\xff" * 10,
    b"\x80" * 9 + b"\x01",
    b'"',
    b"{",
    b"[" * 200,
    b"\\u0000",
    b"\\ud800",
    b"1e999",
)


def mutated(samples: Sequence[bytes], times: int, *, seed: int) -> Iterator[bytes]:
    """Yield *times* mutations of *samples*, the same for the same *seed*.

    Every other one has some bits flipped and is often still sound; the rest take one to three steps of any kind.
    """
    generator = random.Random(seed)
    for number in range(times):
        value = bytearray(generator.choice(samples))
        if number % 2:
            for _ in range(generator.randint(1, 4)):
                value[generator.randrange(len(value))] ^= 1 << generator.randrange(7)
        else:
            for _ in range(generator.randint(1, 3)):
                _mutate(value, samples, generator)
        yield bytes(value)


def _mutate(value: bytearray, samples: Sequence[bytes], generator: random.Random) -> None:
    start, stop = sorted(generator.randrange(len(value) + 1) for _ in range(2))
    kind = generator.randrange(7)
    if kind == 0:
        for _ in range(generator.randint(1, 8)):
            if value:
                value[generator.randrange(len(value))] ^= 1 << generator.randrange(8)
    elif kind == 1:
        del value[start:]
    elif kind == 2:
        del value[start : min(stop, start + 40)]
    elif kind == 3:
        value[start:start] = value[start : min(stop, start + 400)]
    elif kind == 4:
        other = generator.choice(samples)
        place = generator.randrange(len(other))
        value[start : min(stop, start + 100)] = other[place : place + generator.randint(1, 200)]
    elif kind == 5:
        value[start:start] = generator.choice(STRANGE)
    else:
        value[start : start + 4] = generator.randbytes(4)
