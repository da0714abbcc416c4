"""`signals`: what is observed under these settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from monitor.cli.server import chosen
from monitor.cli.terminal import cell, show_json, show_table
from monitor.domain.view import SignalRow


def signals(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show every signal, what it means, and whether these settings switch it on; own ones are checked."""
    rows: Sequence[SignalRow]
    server = chosen()
    if server is None:
        from monitor.app.signal_rows import SignalRows
        from monitor.settings.load import load_settings

        rows = SignalRows(load_settings()).signals()  # what fails is known to the daemon
    else:
        from monitor.cli.http import open_api
        from monitor.cli.remote_desk import RemoteDesk

        with open_api(server) as api:
            rows = RemoteDesk(api).signals()
    if as_json:
        show_json([asdict(row) for row in rows])
        return
    table = Table("signal", "on", "kind", "unit", "from", "meaning")
    for row in rows:
        name = row.name if row.version is None else f"{row.name} ({row.version})"
        table.add_row(*map(cell, (name, "yes" if row.is_on else "no", row.kind, row.unit, row.origin, row.meaning)))
    show_table(table)
