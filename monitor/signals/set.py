"""Which signals are on: made once, from the settings, and given to all who observe, freeze, watch or show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitor.domain.signal import Observation, Signal
from monitor.domain.trace import Trace
from monitor.signals.cost import COST, Price, cost_observer, version_of
from monitor.signals.estimand import LABEL_SIGNALS
from monitor.signals.probe import PROBE_SIGNALS
from monitor.signals.table import OPTIONAL_SIGNALS, OTHER_SIGNALS, TRACE_SIGNALS, Batched, Observer
from monitor.signals.user_feedback import FEEDBACK_SIGNALS

BatchObserver = Callable[[Sequence[Trace]], Sequence[Observation | None]]
LATE = frozenset(signal.name for signal in (*LABEL_SIGNALS, *PROBE_SIGNALS, *FEEDBACK_SIGNALS))


@dataclass(frozen=True, slots=True)
class SignalSet:
    """The signals that are on.

    The log may hold values of others: of one that was switched off, that another release knows, or under a
    definition of yesterday. Whoever reads it passes over them, so that their streams just end.
    """

    observers: Mapping[Signal, BatchObserver]  # of traces, in the order in which they are read
    versions: Mapping[str, str] = field(default_factory=dict)  # of signals of which the settings say the version
    closers: tuple[Callable[[], None], ...] = ()  # of what observers hold open
    beginners: tuple[Callable[[Sequence[Trace]], None], ...] = ()  # of what can be read while other things are done
    known: Mapping[str, Signal] = field(init=False)  # by name: those of `observers`, and those of other sources

    def __post_init__(self) -> None:
        known = {signal.name: signal for signal in (*self.observers, *OTHER_SIGNALS)}
        object.__setattr__(self, "known", known)

    @property
    def of_traces(self) -> frozenset[str]:
        """Names of what is observed on traces by themselves."""
        return frozenset(signal.name for signal in self.observers)

    @property
    def at_once(self) -> frozenset[str]:
        """Names of what is known as soon as a trace is; labels and probes tell later."""
        return frozenset(self.known.keys() - LATE)

    def holds(self, signal: str, scorer_version: str) -> bool:
        """Say whether a series is followed: its signal is on, and its version is the one of now."""
        return signal in self.known and self.versions.get(signal, scorer_version) == scorer_version

    def close(self) -> None:
        """Let go of what was opened to observe; nothing is observed after it."""
        for close in self.closers:
            close()

    def begin(self, traces: Sequence[Trace]) -> None:
        """Begin to read *traces*, where that goes on by itself; `read` of the same ones, in this thread, ends it."""
        for begin in self.beginners:
            begin(traces)

    def only(self, names: Collection[str]) -> SignalSet:
        """Return the set that observes those of *names* alone."""
        kept = {signal: observe for signal, observe in self.observers.items() if signal.name in names}
        return replace(self, observers=kept)

    def rows(self, traces: Sequence[Trace]) -> list[list[Observation]]:
        """Return what is observed on each of *traces*."""
        columns = list(self.read(traces))
        return [[seen for column in columns if (seen := column[row]) is not None] for row in range(len(traces))]

    def read(self, traces: Sequence[Trace]) -> Iterator[Sequence[Observation | None]]:
        """Yield what each observer says of *traces*, an answer a trace; raise `ValueError` for another number."""
        for signal, observe in self.observers.items():
            seen = observe(traces)
            if len(seen) != len(traces):
                raise ValueError(f"{signal.name}: {len(seen)} answers on {len(traces)} traces; wanted one each")
            yield seen


def choose(
    on: Collection[str] = (),
    off: Collection[str] = (),
    *,
    prices: Sequence[Price] = (),
    unknown_model: Callable[[str], None] = lambda model: None,
) -> SignalSet:
    """Return the default signals but those of *off*, and the optional ones of *on*.

    `cost` is read by *prices*; *unknown_model* is told of a model that has none.
    """
    default = {signal: read for signal, read in TRACE_SIGNALS.items() if signal.name not in off}
    chosen = {signal: read for signal, read in OPTIONAL_SIGNALS.items() if signal.name in on}
    versions = {}
    if COST in chosen:
        chosen[COST] = cost_observer(prices, unknown_model)
        versions[COST.name] = version_of(prices)
    return SignalSet({signal: batch_observer(read) for signal, read in (default | chosen).items()}, versions)


def batch_observer(observe: Observer | Batched) -> BatchObserver:
    """Return *observe* as a function of many traces."""
    if isinstance(observe, Batched):
        return observe.observe
    return lambda traces: list(map(observe, traces))


DEFAULT = choose()
