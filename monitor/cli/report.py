"""`jobs report`: the page of a gate's verdict, and whether what it rests on is still what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.open_desk import open_desk
from monitor.cli.operate import JobNumber
from monitor.cli.server import refuse_remote
from monitor.cli.terminal import say
from monitor.errors import InvalidInput, NotFound


def jobs_report(
    job_id: JobNumber,
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file; job-N-report.html by default.")] = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Hash the files it names again instead.")] = False,
) -> None:
    """Write the report of a job's verdict, or check the evidence that it names; it shows prompts and answers."""
    if check:
        refuse_remote("--check hashes files beside the daemon")
    with open_desk() as desk:
        page = desk.report(job_id)
    if page is None:
        raise NotFound(
            f"job {job_id} has no report: it was not judged yet, or `jobs show {job_id}` says what went wrong"
        )
    if check:
        _check(page)
        return
    path = out if out is not None else Path(f"job-{job_id}-report.html")
    try:
        path.write_bytes(page)
    except OSError as error:
        raise InvalidInput(f"--out {path}: {error.strerror}; name a file that can be written") from None
    say(f"{path}: the report of job {job_id}")


def _check(page: bytes) -> None:
    """Tell of each file whether it is the same; exit 1 where one is not. One that is gone proves nothing."""
    from monitor.retraining.report.files import check_files

    states = check_files(page.decode())
    for found in states:
        told = found.state if found.state in {"same", "gone"} else f"changed: it hashes to {found.state}"
        say(f"{found.file.purpose}, {found.file.path}: {told}")
    changed = [found for found in states if found.state not in {"same", "gone"}]
    if changed:
        say(f"{len(changed)} of {len(states)} are not what the verdict was reached on")
        raise typer.Exit(1)
