"""All parts together, and the sources they are read from."""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from monitor.errors import InvalidSetting
from monitor.settings.drift import DriftSettings
from monitor.settings.ingest import IngestSettings
from monitor.settings.kafka import KafkaSettings
from monitor.settings.labels import LabelsSettings, ReviewSettings
from monitor.settings.log import LogSettings
from monitor.settings.notify import NotifySettings
from monitor.settings.probes import ProbeSettings
from monitor.settings.retrain import RetrainSettings
from monitor.settings.rewards import RewardsSettings, ServeSettings
from monitor.settings.signals import SignalSettings
from monitor.settings.store import PostgresSettings, RetentionSettings
from monitor.settings.web import WebSettings
from monitor.signals.input_shift import INPUT_SHIFT
from monitor.signals.table import SIGNALS

CONFIG_VARIABLE = "MONITOR_CONFIG"
DEFAULT_CONFIG = "monitor.yaml"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="MONITOR_", env_nested_delimiter="__", frozen=True, extra="ignore", hide_input_in_errors=False
    )

    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    ingest: IngestSettings = IngestSettings()
    rewards: RewardsSettings = RewardsSettings()
    serve: ServeSettings = ServeSettings()
    signals: SignalSettings = SignalSettings()
    drift: DriftSettings = DriftSettings()
    labels: LabelsSettings = LabelsSettings()
    review: ReviewSettings = ReviewSettings()
    retrain: RetrainSettings = RetrainSettings()
    probes: ProbeSettings = ProbeSettings()
    retention: RetentionSettings = RetentionSettings()
    web: WebSettings = WebSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()
    drain_seconds: float = Field(30.0, gt=0, description="time to leave in after SIGTERM")

    @property
    def repeat_window(self) -> timedelta:
        return timedelta(seconds=self.ingest.repeat_window_seconds)

    @model_validator(mode="after")
    def _known_signals(self) -> Settings:
        """Refuse a name that no signal has; one that is off may be named, so that it can be switched."""
        every = [*SIGNALS, *(own.name for own in self.signals.own)]
        judged = [name for name in every if name != INPUT_SHIFT.name]  # by laws; the mix of prompts has none
        known = {"drift.tolerance": judged, "drift.detectors": judged}
        named: dict[str, Collection[str]] = {
            "drift.tolerance": self.drift.tolerance,
            "drift.detectors": self.drift.detectors,
        }
        named |= {f"retrain.rules.{number}": rule.signals for number, rule in enumerate(self.retrain.rules)}
        for field, names in named.items():
            for name in names:
                if name not in (wanted := known.get(field, every)):
                    raise ValueError(f"{field} names the signal {name!r}; known are {', '.join(wanted)}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        yaml = YamlSource(settings_cls, yaml_file=config_file())
        return init_settings, env_settings, yaml


class YamlSource(YamlConfigSettingsSource):
    """A YAML file in which `on:` and `off:` are names, as they look; YAML 1.1 reads them as true and false."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        found: dict[str, Any] = named(super()._read_file(file_path))
        return found


def named(value: Any) -> Any:
    """Return *value* with the keys true and false, at any depth, as the words that they were."""
    if isinstance(value, dict):
        words = {True: "on", False: "off"}
        return {words.get(key, key) if isinstance(key, bool) else key: named(each) for key, each in value.items()}
    return [named(each) for each in value] if isinstance(value, list) else value


def config_file() -> Path | None:
    """Return the YAML file to read: $MONITOR_CONFIG, which must exist, or ./monitor.yaml if it does."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named is None:
        return Path(DEFAULT_CONFIG) if Path(DEFAULT_CONFIG).exists() else None
    if not Path(named).is_file():
        raise InvalidSetting(f"{CONFIG_VARIABLE}={named!r}: no such file; name a YAML file that is there")
    return Path(named)
