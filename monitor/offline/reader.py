"""Traces from files of any known format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tokenizers import Tokenizer

from monitor.domain.trace import Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, count_output_tokens
from monitor.ingest.join import Joined, JoinRules
from monitor.ingest.join_memory import MemoryJoin
from monitor.ingest.outcome import Carries, Outcome, Skipped, SkipReason
from monitor.ingest.part import Part
from monitor.ingest.route import Route, decoder_of
from monitor.offline.capture import read_records
from monitor.telemetry.intake import Missing


@dataclass(slots=True)
class FileReader:
    """Reads good traces; bad records and duplicates are reported and counted.

    A trace id seen before is a duplicate: as in the daemon, the first one counts. Traces
    that are whole come in the order of the files; those of calls that several spans and
    log records tell of come after the last file, by time, since any may hold their partner.
    """

    limits: DecodeLimits
    now: datetime
    report: Callable[[str], None]  # takes "FILE:LINE: reason: detail"
    tokenizer: Tokenizer | None = None
    progress: Callable[[int], None] = lambda _bytes: None  # takes the bytes read since the last call
    format: str = "auto"
    good: int = 0
    bad: int = 0
    duplicates: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    incomplete: Counter[Missing] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def read(self, paths: Iterable[Path]) -> Iterator[Trace]:
        """Raise `InvalidSetting` for a format that is not known."""
        waiting = MemoryJoin(JoinRules(self.limits, tokenizer=self.tokenizer), self.now)
        for path, number, outcome in self._outcomes(paths):
            if not isinstance(outcome, Part):
                yield from self._take(f"{path}:{number}", outcome)
            elif (ended := waiting.add(outcome, (str(path), 0, number))) is not None:
                yield from self._joined(ended)
        yield from self._joined(waiting.flush())

    def _outcomes(self, paths: Iterable[Path]) -> Iterator[tuple[Path, int, Outcome]]:
        decode = decoder_of(Route("--format", Carries.TRACES, self.format))
        for path in paths:
            for number, record in read_records(path, self.progress):
                if isinstance(record, InvalidTrace):
                    yield path, number, record
                    continue
                yield from ((path, number, outcome) for outcome in decode(record, self.limits, self.now))

    def _joined(self, joined: Joined) -> Iterator[Trace]:
        self.duplicates += joined.duplicates
        self.skipped.update(joined.skipped)
        self.incomplete.update(joined.incomplete)
        for held, invalid in joined.invalid:
            yield from self._take(f"{held.position[0]}:{held.position[2]}", invalid)
        for trace, (file, _, number) in joined.traces:
            yield from self._take(f"{file}:{number}", trace)

    def _take(self, place: str, outcome: Outcome) -> Iterator[Trace]:
        if isinstance(outcome, InvalidTrace):
            self.bad += 1
            self.report(f"{place}: {outcome.reason}: {outcome.detail}")
        elif not isinstance(outcome, Trace):
            self.skipped[outcome.reason if isinstance(outcome, Skipped) else SkipReason.OTHER_SIGNAL] += 1
        elif outcome.trace_id in self._seen:
            self.duplicates += 1
            self.report(f"{place}: duplicate: trace_id {outcome.trace_id[:80]!r} stands above; the first one counts")
        else:
            self._seen.add(outcome.trace_id)
            self.good += 1
            yield count_output_tokens(outcome, self.tokenizer)
