"""`serve-rewards`: the reward ensemble behind HTTP."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import structlog
import typer

from monitor.cli.daemon import stop_on_signals
from monitor.errors import InvalidSetting
from monitor.settings.load import load_settings
from monitor.settings.root import Settings

log = structlog.get_logger(__name__)
Folders = Annotated[
    list[Path] | None, typer.Argument(help="Folders of reward models; those of rewards.models where none is given.")
]


def serve_rewards(folders: Folders = None) -> None:
    """Serve an ensemble of reward models over HTTP, in vLLM's protocol (POST /classify)."""
    from monitor.telemetry.logs import configure_logging

    settings = load_settings()
    configure_logging(level=settings.log.level, style=settings.log.format)
    stop = stop_on_signals(settings)
    RewardService(settings, folders or settings.rewards.models).run(stop)


class RewardService:
    """An ensemble, the thread that scores with it, and the server that answers.

    Raises `InvalidSetting` or `InvalidInput` from the constructor where it cannot start.
    """

    def __init__(self, settings: Settings, folders: Sequence[Path]) -> None:
        from monitor.app.rewards import load_rewards
        from monitor.rewards.folders import member_hashes
        from monitor.rewards.scoring import PART, ScoringThread
        from monitor.rewards.served import ServedEnsemble
        from monitor.telemetry.health import Health
        from monitor.telemetry.serving import ServingMetrics

        if not folders:
            raise InvalidSetting("no reward model is named: give folders as arguments, or in rewards.models")
        self.settings = settings
        self.port = 0
        self.health = Health((PART, "web"))
        self._metrics = ServingMetrics()
        ensemble = load_rewards(settings.rewards, folders)
        hashes = [sha256 for folder in folders for sha256 in member_hashes(folder)]
        self._served = ServedEnsemble(ensemble, name=settings.serve.model, member_sha256=hashes)
        self._thread = ScoringThread(self._served, health=self.health, metrics=self._metrics)

    def run(self, stop: threading.Event) -> None:
        """Serve until *stop* or the first failure; raises that failure after closing."""
        with ExitStack() as leaving:
            self._thread.start()
            leaving.callback(self._thread.stop)
            self._listen(leaving)
            while not stop.is_set() and self.health.failure is None:
                self.health.wait(0.2)
        if self.health.failure is not None:
            raise self.health.failure.exception

    def _listen(self, leaving: ExitStack) -> None:
        from monitor.rewards.server import BODY_SECONDS, RequestLimits, create_app
        from monitor.web.connection import ConnectionLimits
        from monitor.web.server import WebServer

        serve = self.settings.serve
        limits = RequestLimits(serve.max_request_bytes, serve.max_request_rows, serve.max_requests)
        app = create_app(self._served, self._thread, health=self.health, metrics=self._metrics, limits=limits)
        bounds = ConnectionLimits(
            body_seconds=1.5 * BODY_SECONDS,  # the application is first to say so, in its protocol's words
            connections=max(512, 4 * serve.max_requests),
            connections_each=max(256, 2 * serve.max_requests),
        )
        server = WebServer(
            app, host=serve.host, port=serve.port, health=self.health, settings_part="serve", limits=bounds
        )
        self.port = server.start()
        leaving.callback(server.stop)
        names = [model.id for model in self._served.models]
        log.info("serving_rewards", host=serve.host, port=self.port, models=names)
