"""A database in which blocks of labels are settled, without a daemon: what estimates are made of."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Connection, insert, text

from monitor.labels.estimate import DaySums, LabelItem
from monitor.postgres import schema

DAY = timedelta(days=1)
BLOCK = 64


def evidence(
    *,
    rate: float = 0.4,
    days: int = 14,
    traces: int = 300,
    share: float = 0.1,
    cohort: str = "dataset=koala",
    until: datetime | None = None,
    seed: int = 0,
) -> tuple[list[LabelItem], list[DaySums]]:
    """Return *traces* a day up to *until*, a *share* of them labelled; opinions agree with three verdicts in four."""
    random, until = np.random.default_rng(seed), until or datetime.now(UTC)
    items, sums = [], []
    for number in range(days):
        day = (until - (days - 1 - number) * DAY).date()
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        values = (random.random(traces) < rate).astype(float)
        said = np.where(random.random(traces) < 0.75, values, 1.0 - values)
        cheap = np.clip(0.3 + 0.4 * said + random.normal(0.0, 0.1, traces), 0.0, 1.0)
        predicted = np.clip(rate + (cheap - cheap.mean()), 0.1, 0.9)
        gap = random.normal(0.1, 0.4, traces)
        for row in np.flatnonzero(random.random(traces) < share):
            items.append(
                LabelItem(
                    estimand="win_rate",
                    trace_id=f"{cohort}-{number}-{row}",
                    number=1 + (number * traces + int(row)) // BLOCK,
                    timestamp=at + timedelta(minutes=int(row)),
                    policy_model="chat-2",
                    cohort=cohort,
                    scorer_version="e-1",
                    criteria_version="c-1",
                    cheap=float(cheap[row]),
                    prediction=float(predicted[row]),
                    probability=share,
                    length_gap=float(gap[row]),
                    value=float(values[row]),
                    annotators=1,
                    labelled_at=at + timedelta(hours=3),
                )
            )
        sums.append(
            DaySums(
                estimand="win_rate",
                day=day,
                policy_model="chat-2",
                cohort=cohort,
                criteria_version="c-1",
                scorer_version="e-1",
                items=traces,
                cheap_sum=float(cheap.sum()),
                cheap_square_sum=float((cheap**2).sum()),
                prediction_sum=float(predicted.sum()),
                prediction_square_sum=float((predicted**2).sum()),
                gap_sum=float(np.tanh(gap).sum()),
                least_probability=share,
            )
        )
    return items, sums


def settle(connection: Connection, items: list[LabelItem], sums: list[DaySums]) -> None:
    """Store blocks of BLOCK places that are settled, with what is known of them."""
    connection.execute(insert(schema.label_item), [asdict(item) for item in items])
    connection.execute(insert(schema.estimate_day), [asdict(row) for row in sums])
    last = max(item.number for item in items)
    connection.execute(
        text(
            "insert into label_block (estimand, number, first_place, stop_place, cut_at, criteria_version, outcome,"
            " items, labelled, missing, settled_at) select 'win_rate', i, (i - 1) * :block, i * :block, now(), 'c-1',"
            " 'matured', :block, 5, 0, now() - interval '1 hour' from generate_series(1, :last) i"
        ),
        {"block": BLOCK, "last": last},
    )
    connection.execute(
        text(
            "insert into label (label_id, digest, timestamp, trace_id, annotator_id, kind, value, criteria_version,"
            " dimensions, source, received_at) select 'l-' || trace_id, '', labelled_at, trace_id, 'ada', 'preference',"
            " value, 'c-1', '{}', 'human', now() - interval '2 hours' from label_item where value is not null"
        )
    )
