"""Every check in the order in which an operator would make them."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.app.doctor.database import check_database
from monitor.app.doctor.http import check_prometheus
from monitor.app.doctor.kafka import check_kafka
from monitor.app.doctor.loading import check_loading
from monitor.app.doctor.machine import check_disk, check_extras, check_tokens
from monitor.app.doctor.models import check_models
from monitor.domain.checkup import Finding, fail, ok
from monitor.errors import InvalidSetting, Unavailable
from monitor.postgres.checkup import read_offsets
from monitor.postgres.engine import create_engine_for
from monitor.postgres.registry import RewardRegistry
from monitor.runs.artifact import Artifact
from monitor.settings.load import load_settings
from monitor.settings.root import config_file


def all_findings(*, prometheus: str | None = None, loads: bool = True) -> Iterator[Finding]:
    """Yield what is found, a part after the other; a part that cannot be asked does not keep the others from it.

    Where *prometheus* is given, it takes the place of the settings' one; without *loads* no model is loaded.
    """
    try:
        settings = load_settings()
        file = config_file()
    except InvalidSetting as error:
        for line in str(error).splitlines():
            yield fail("settings", line, "mend it: docs/settings.md lists every setting")
        return
    yield ok("settings", "read from the environment alone" if file is None else f"read from {file} and the environment")
    yield from check_extras(settings)
    yield from check_tokens(settings.web)
    offsets: dict[tuple[str, int], int] = {}
    champion: Artifact | None = None
    try:
        engine = create_engine_for(settings.postgres.url.get_secret_value(), pool_size=2)
    except InvalidSetting as error:
        yield fail("database", str(error), "mend postgres.url")
    else:
        try:
            usable = yield from check_database(engine, settings)
            if usable:
                offsets = read_offsets(engine, settings.kafka.group_id)
                champion = RewardRegistry(engine).champion()
        except Unavailable as error:
            yield fail("database", str(error), "look at its log, and at postgres.url")
        finally:
            engine.dispose()
    yield from check_kafka(settings.kafka, offsets)
    url = prometheus or settings.web.prometheus_url
    if url is not None:
        yield from check_prometheus(url)
    yield from check_models(settings, champion)
    if loads:
        yield from check_loading(settings, champion)
    yield from check_disk(settings.retrain)
