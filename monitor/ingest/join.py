"""Calls that come in pieces: which are whole, which wait, and what ends without its partner."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct
from tokenizers import Tokenizer

from monitor.domain.trace import Trace
from monitor.errors import InvalidTrace
from monitor.ingest.decode import DecodeLimits, check_trace, count_output_tokens
from monitor.ingest.join_call import Call, Held, assemble, order_parts
from monitor.ingest.join_twice import merge_calls
from monitor.ingest.outcome import SkipReason
from monitor.ingest.part import Part, PartKind
from monitor.ingest.record import Position
from monitor.telemetry.intake import Missing

# Messages that come one by one do not say how many they are: this long after the last one no more are expected.
SETTLE_SECONDS = 2.0
CLOCK_SLACK_NS = 1_000_000_000  # between the clocks of the machines that a request passes


@dataclass(frozen=True, slots=True)
class JoinRules:
    limits: DecodeLimits
    patience_seconds: float = 30.0  # 0: nothing waits
    settle_seconds: float = SETTLE_SECONDS
    tokenizer: Tokenizer | None = None  # counts the tokens of answers whose producer does not


@dataclass(slots=True)
class Joined:
    """What became of each part: in a trace, waiting, known, skipped, or invalid."""

    traces: list[tuple[Trace, Position]] = field(default_factory=list)  # by time; at the record of their span
    waits: list[Held] = field(default_factory=list)  # that came just now, in their order
    done: list[int] = field(default_factory=list)  # rows that are over
    aliases: list[tuple[str, str]] = field(default_factory=list)  # of a span that is part of a stored call, its id
    duplicates: int = 0  # parts of calls that are stored already, and parts that came before
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    invalid: list[tuple[Held, InvalidTrace]] = field(default_factory=list)  # with the part that names the call
    incomplete: Counter[Missing] = field(default_factory=Counter)  # calls, by what they were taken without


def names_of(held: Iterable[Held]) -> set[str]:
    """Return the ids under which calls may be stored already that *held* belongs to."""
    names = set()
    for item in held:
        part = item.part
        if part.kind is not PartKind.CONTEXT:
            names.add(part.call_id)
        if part.parent is not None:
            names.add(f"{part.trace}-{part.parent}")
    return names


def join(
    held: Iterable[Held], rules: JoinRules, *, known: Collection[str], now: datetime, ended: Container[str] = ()
) -> Joined:
    """Say what becomes of each part of *held*, which holds all that is known of each request in it.

    *known* holds those of `names_of` that are stored already, and *ended* the requests
    whose parts wait no longer. The order of *held* decides nothing but the order of `waits`.
    """
    requests: defaultdict[str, list[Held]] = defaultdict(list)
    for item in held:
        requests[item.part.trace].append(item)
    joined = Joined()
    for trace, items in requests.items():
        patience = 0.0 if trace in ended else rules.patience_seconds
        _Request(items, known, joined).settle(rules, patience, now)
    joined.traces.sort(key=lambda found: (found[0].timestamp, found[0].trace_id))
    return joined


class _Chain(Struct, gc=False):
    """The spans above one, nearest first, as far as they are in hand."""

    above: list[str]
    is_whole: bool  # it ends at the root
    known: str | None  # the id of the stored call that it ends at
    is_circle: bool = False  # it ends nowhere


class _Request:
    """The parts of one request, that is of one OpenTelemetry trace."""

    def __init__(self, items: list[Held], known: Collection[str], joined: Joined) -> None:
        self._known = known
        self._joined = joined
        self._trace = items[0].part.trace
        self._calls: dict[str, list[Held]] = {}
        self._contents: dict[str, list[Held]] = {}
        self._contexts: dict[str, Held] = {}
        self._parents: dict[str, str | None] = {}
        self._stored: dict[str, str] = {}  # spans that are in a trace now, with its id
        self._kept: set[str] = set()  # contexts that a waiting call needs
        self._served: set[str] = set()  # contexts that came in one record with their calls' spans
        self._spread: set[str] = set()  # contexts of calls whose spans came in other records
        for item in sorted(items, key=_arrival) if len(items) > 1 else items:
            part = item.part
            if part.kind is PartKind.CONTEXT:
                if self._contexts.setdefault(part.span, item) is not item:
                    self._end(item, SkipReason.OTHER_SPAN)
                self._parents.setdefault(part.span, part.parent)
                continue
            own = (self._calls if part.kind is PartKind.CALL else self._contents).setdefault(part.span, [])
            if any(other.part == part for other in own):
                self._end(item)
                continue
            own.append(item)
            if part.kind is PartKind.CALL and self._parents.get(part.span) is None:
                self._parents[part.span] = part.parent

    def _take_strays(self) -> None:
        """Give answers that name a span around their call to the call itself, where only one can be meant.

        That is the one call right below the span that was going on then and has no answer.
        """
        strays = [
            item
            for span, items in self._contents.items()
            if span in self._contexts and span not in self._calls
            for item in items
            if item.part.response is not None or item.part.tool_calls
        ]
        placed = True
        while placed:  # an answer that found its call leaves fewer calls to the others, in whatever order they came
            meant = [(item, self._lacking(item.part)) for item in strays]
            single = Counter(found[0] for _, found in meant if len(found) == 1)
            placed = False
            for item, found in meant:
                if len(found) == 1 and single[found[0]] == 1:
                    self._contents[item.part.span].remove(item)
                    self._contents.setdefault(found[0], []).append(item)
                    strays.remove(item)
                    placed = True
        self._contents = {span: items for span, items in self._contents.items() if items}

    def _lacking(self, answer: Part) -> list[str]:
        """Return the calls below the span that *answer* names that were going on when it was told, and have none."""
        found = []
        for span, items in self._calls.items():
            if self._parents[span] != answer.span or f"{self._trace}-{span}" in self._known:
                continue
            own = [item.part for item in (*items, *self._contents.get(span, ()))]
            answered = any(part.response is not None or part.tool_calls or part.error is not None for part in own)
            during = any((part.start_ns or 0) <= (answer.end_ns or 0) <= (part.end_ns or 0) for part in own)
            if during and not answered:
                found.append(span)
        return found

    def settle(self, rules: JoinRules, patience: float, now: datetime) -> None:
        """Decide on every part."""
        joined, waiting = self._joined, []
        for call in self._gather():
            missing = call.missing
            age = max([item.age_seconds for item in call.parts])
            if age < patience and (missing or call.is_open(min(rules.settle_seconds, patience))):
                waiting.append(call)
                continue
            joined.done += [item.fragment_id for item in call.parts if item.fragment_id is not None]
            self._note_served(call.links, call.spans)
            trace = assemble(call, self._agreed, now)
            if isinstance(trace, Trace):
                invalid = check_trace(trace, rules.limits, now)
                if invalid is None:
                    counted = count_output_tokens(trace, rules.tokenizer)
                    joined.traces.append((counted, call.parts[0].position))
                    joined.incomplete.update(missing)
                    self._stored.update(dict.fromkeys(call.spans, trace.trace_id))
                    continue
                trace = invalid
            if isinstance(trace, SkipReason):
                joined.skipped[trace] += 1
            else:
                joined.invalid.append((call.parts[0], trace))
        for call in waiting:
            self._kept |= call.links
            for item in call.parts:
                self._keep(item)
        self._end_contexts([call for call in waiting if not call.is_whole], patience)
        names = ((f"{self._trace}-{span}", call) for span, call in self._stored.items())
        joined.aliases += [(name, call) for name, call in names if name != call]

    def _gather(self) -> list[Call]:
        """Return the calls that are not stored yet; of spans that are one call, the outermost names it."""
        self._take_strays()
        spans: dict[str, list[str]] = {}  # of calls whose span is in hand, by their outermost one
        chains = {}
        for span in (*self._calls, *(span for span in self._contents if span not in self._calls)):
            chain = chains[span] = self._chain(span)
            name = f"{self._trace}-{span}"
            if chain.known is not None or name in self._known:
                if chain.known is not None and name not in self._known:
                    self._joined.aliases.append((name, chain.known))
                parts = [*self._calls.get(span, ()), *self._contents.get(span, ())]
                self._note_served(chain.above, [span])
                for item in parts:
                    self._end(item)
                continue
            above = () if chain.is_circle else reversed(chain.above)
            outer = next((other for other in above if other in self._calls), span)
            spans.setdefault(outer, []).append(span)
        found = []
        for outer, own in spans.items():
            own.sort(key=lambda span: (span not in self._calls, len(chains[span].above), span))
            parts = order_parts([(self._calls.get(span, ()), self._contents.get(span, ())) for span in own])
            chain = chains[outer]
            contexts = [self._contexts[span] for span in chain.above if span in self._contexts]
            links = {link for span in own for link in chains[span].above}
            found.append(Call(outer, own, parts, links, bool(chain.above), chain.is_whole, contexts))
        return merge_calls(found) if len(found) > 1 else found

    def _chain(self, span: str) -> _Chain:
        above: dict[str, None] = {}
        # Texts whose call is not in hand may hang on a span of another kind: that one is above them.
        is_bare = span in self._contents and span not in self._calls
        node = span if is_bare else self._parents[span]
        while node is not None:
            if not (is_bare and node == span) and f"{self._trace}-{node}" in self._known:
                return _Chain(list(above), is_whole=False, known=f"{self._trace}-{node}")
            if node not in self._parents:
                return _Chain(list(above), is_whole=False, known=None)
            if node in above or (node == span and not is_bare):
                return _Chain(list(above), is_whole=True, known=None, is_circle=True)
            above[node] = None
            node = self._parents[node]
        return _Chain(list(above), is_whole=True, known=None)

    def _agreed(self, field_name: str) -> str | None:
        """Return what all spans of the request say, where they agree."""
        told = {getattr(item.part, field_name) for item in self._contexts.values()} - {None}
        return told.pop() if len(told) == 1 else None

    def _note_served(self, above: Iterable[str], spans: Iterable[str]) -> None:
        positions = {item.position for span in spans for item in self._calls.get(span, ())}
        for span in above:
            context = self._contexts.get(span)
            if context is not None:
                (self._served if positions == {context.position} else self._spread).add(span)

    def _end_contexts(self, gaps: list[Call], patience: float) -> None:
        """Keep the spans that waiting calls need, or may need for their *gaps*, and those that tell who asks.

        These wait for calls to come, unless they came in one record with the spans of their calls: such a request is
        taken for whole. A span below a stored call is remembered as part of it.
        """
        latest = max((call.start_ns for call in gaps), default=0) + CLOCK_SLACK_NS
        earliest = min((call.end_ns for call in gaps), default=0) - CLOCK_SLACK_NS
        for span, item in self._contexts.items():
            part = item.part
            names_asker = part.conversation_id is not None or part.user_id is not None
            is_served = span in self._served and span not in self._spread
            awaited = names_asker and not is_served and item.age_seconds < patience
            # An ancestor's time holds the call's.
            in_time = (part.start_ns or 0) <= latest and (part.end_ns is None or part.end_ns >= earliest)
            if awaited or span in self._kept or (gaps and in_time):
                self._keep(item)
                continue
            self._end(item, SkipReason.OTHER_SPAN)
            if part.parent is not None and (self._stored or self._known):
                chain = self._chain(span)
                inside = chain.known or next(
                    (self._stored[above] for above in chain.above if above in self._stored), None
                )
                if inside is not None:
                    self._stored[span] = inside

    def _keep(self, item: Held) -> None:
        if item.fragment_id is None:
            self._joined.waits.append(item)

    def _end(self, item: Held, reason: SkipReason | None = None) -> None:
        """Be done with a part that is in no trace: it is skipped for *reason*, or known."""
        if item.fragment_id is not None:
            self._joined.done.append(item.fragment_id)
        if reason is None:
            self._joined.duplicates += 1
        else:
            self._joined.skipped[reason] += 1


def _arrival(item: Held) -> tuple[bool, float, Position]:
    return item.fragment_id is None, -item.age_seconds, item.position
