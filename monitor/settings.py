"""Settings: `MONITOR_<PART>__<FIELD>` or one YAML file, read once, frozen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from monitor.domain.alarm import Severity
from monitor.domain.job import Action
from monitor.errors import InvalidSetting
from monitor.signals.table import SIGNALS

CONFIG_VARIABLE = "MONITOR_CONFIG"
DEFAULT_CONFIG = "monitor.yaml"
MIN_TOKEN_CHARACTERS = 16  # of a token that others than this machine can try


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RouteSettings(_Part):
    topic: str = Field(min_length=1, description="a topic beside those of trace_topics and preference_topic")
    carries: Literal["traces", "preferences"] = Field("traces", description="what its records are")
    format: str = Field("native", min_length=1, description="how they are written")


class KafkaSettings(_Part):
    bootstrap_servers: str = Field("127.0.0.1:9092", min_length=1, description="host:port, comma separated")
    trace_topics: tuple[str, ...] = Field(("traces",), min_length=1, description="topics that carry traces")
    preference_topic: str = Field("preferences", min_length=1, description="topic of preference events")
    routes: tuple[RouteSettings, ...] = Field(
        (), description="more topics, each with what it carries and its format; the two above are native"
    )
    dead_letter_topic: str = Field("traces.dead-letters", min_length=1, description="topic for rejected records")
    group_id: str = Field("rlhf-monitor", min_length=1, description="consumer group; workers share it")
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        "earliest",
        description="where a topic starts that was never read; a partition added later starts at its beginning",
    )
    replaced_log: Literal["stop", "continue"] = Field(
        "stop",
        description="what to do where a topic was created again or its log was cut and has grown anew:"
        " end with an error, or read the new log from its beginning",
    )
    api_version: tuple[int, int] | None = Field(
        None, description="pin the protocol, [2, 3] for librdkafka's mock broker; null asks the broker"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Kafka security protocol"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism, where the protocol is SASL_*"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password")
    ssl_cafile: Path | None = Field(None, description="certificate authority file for SSL")
    session_timeout_seconds: float = Field(
        30.0, ge=1, le=1800, description="silence after which a worker's partitions go to another"
    )
    max_poll_records: int = Field(2000, ge=1, le=50_000, description="records a poll returns at most")

    @model_validator(mode="after")
    def _topics_differ(self) -> KafkaSettings:
        """A worker that reads its own dead letters writes them again, without end."""
        named = [route.topic for route in self.routes]
        topics = (*self.trace_topics, self.preference_topic, self.dead_letter_topic, *named)
        twice = sorted({topic for topic in topics if topics.count(topic) > 1})
        if twice:
            raise ValueError(
                f"the topic {twice[0]!r} is named twice; traces, preferences and dead letters want their own"
            )
        return self


class PostgresSettings(_Part):
    url: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"), description="postgresql://user:password@host/db"
    )
    pool_size: int = Field(5, ge=2, le=100, description="connections a process keeps")


class IngestSettings(_Part):
    cohort_keys: tuple[str, ...] = Field((), description="trace labels that make the cohort, in order")
    max_cohorts: int = Field(50, ge=1, le=1000, description="cohorts kept apart; the rest go to 'other'")
    batch_max_traces: int = Field(1000, ge=1, le=50_000, description="traces a checkpoint holds at most")
    batch_max_seconds: float = Field(1.0, gt=0, le=60, description="age at which a batch is checkpointed")
    repeat_window_seconds: float = Field(
        3600.0, ge=0, description="one trace per conversation and per prompt in this window is observed"
    )
    max_response_characters: int = Field(1_000_000, ge=1, description="longer responses are dead letters")
    max_prompt_characters: int = Field(2_000_000, ge=1, description="longer prompts are dead letters")
    max_future_days: float = Field(366.0, gt=0, description="timestamps further ahead are dead letters")
    tokenizer: Path | None = Field(
        None, description="folder with tokenizer.json that counts output tokens where a producer does not"
    )
    max_bad_run: int = Field(10_000, ge=1, description="this many invalid records in a row stop the worker")
    max_bad_ratio: float = Field(
        0.9, gt=0, le=1, description="share of invalid records among the last 10,000 that stops the worker"
    )


class RewardEndpoint(_Part):
    url: str = Field(
        pattern=r"^https?://[^\s@]+$", description="of `serve-rewards` or of a vLLM server, without a path"
    )
    model: str | None = Field(None, description="the model's name there; null where it serves but one")


class RewardsSettings(_Part):
    backend: Literal["none", "huggingface", "http"] = Field("none", description="where rewards are computed")
    models: tuple[Path, ...] = Field(
        (),
        description="member folders, for `huggingface` and `serve-rewards`; the daemon prefers a registered champion",
    )
    endpoints: tuple[RewardEndpoint, ...] = Field(
        (), description="for `http`: the ensemble behind one `serve-rewards`, or one vLLM server for each member"
    )
    form: Literal["messages", "text"] = Field(
        "messages", description="for `http`: conversations for the server's chat template, or plain lines"
    )
    api_key: SecretStr | None = Field(None, description="for `http`: sent to every endpoint as a bearer token")
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="for `http`: time one request may take")
    attempts: int = Field(4, ge=1, le=20, description="for `http`: tries of a request before the worker waits")
    concurrency: int = Field(32, ge=1, le=256, description="for `http`: requests at once")
    rows_per_request: int = Field(32, ge=1, le=1024, description="for `http`: texts in a request of the form `text`")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda' or 'cuda:N'")
    max_tokens: int = Field(1024, ge=8, description="tokens of prompt and response a member reads")
    batch_tokens: int = Field(16_384, ge=64, description="padded tokens in one forward pass")
    lower_beta: float = Field(1.0, ge=0, description="standard deviations between the mean and the lower bound")

    @model_validator(mode="after")
    def _has_endpoints(self) -> RewardsSettings:
        if self.backend == "http" and not self.endpoints:
            raise ValueError("backend 'http' wants rewards.endpoints, at least one {url: http://host:port}")
        return self


class ServeSettings(_Part):
    host: str = Field("127.0.0.1", min_length=1, description="address `serve-rewards` listens on; it asks for no token")
    port: int = Field(8000, ge=0, le=65535, description="its port; 0 picks one")
    model: str = Field("reward", min_length=1, description="name of the whole ensemble, which answers with its mean")
    max_request_bytes: int = Field(8_388_608, ge=1024, description="longer requests are refused with 413")
    max_request_rows: int = Field(1024, ge=1, description="requests with more prompts are refused with 400")
    max_requests: int = Field(256, ge=1, description="requests taken and not answered; more are refused with 503")


class DriftSettings(_Part):
    average_run_length: float = Field(
        10_000.0, ge=10, description="A: observations between false alarms, on average at least, per stream"
    )
    baseline_traces: int = Field(
        2000, ge=0, description="freeze the first baseline from this many traces; 0 waits for an operator"
    )
    standard_errors: float = Field(1.0, ge=0, le=10, description="z: half-width of the roll-up's null interval")
    cohort_standard_errors: float = Field(2.0, ge=0, le=10, description="the same of a single cohort's")
    tolerance: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=dict, description="smallest shift anyone would act on, per signal, on the channel's 0..1"
    )
    fold_seconds: float = Field(1.0, gt=0, le=60, description="pause between two folds")
    recovery_observations: int = Field(
        2000, ge=1, description="an alert has recovered when so many observations did not bring it about again"
    )
    detectors: dict[str, str] = Field(
        default_factory=dict, description="what follows a signal, by name, from the next baseline on; e_detector"
    )

    @model_validator(mode="after")
    def _known_signals(self) -> DriftSettings:
        for field, names in (("tolerance", self.tolerance), ("detectors", self.detectors)):
            for name in names:
                if name not in SIGNALS:
                    raise ValueError(f"{field} names the signal {name!r}; known are {', '.join(SIGNALS)}")
        return self


class TriggerRule(_Part):
    signals: tuple[str, ...] = Field(min_length=1, description="signals whose alarms count")
    severity: Severity = Field(Severity.ALERT, description="least severity that counts")
    action: Action = Field(Action.REWARD_REFRESH, description="what is started; dpo is not available yet")
    approval: Literal["automatic", "manual"] = Field("manual", description="manual waits for an operator")
    cooldown_seconds: float = Field(6 * 3600.0, ge=0, description="least time between two jobs of the action")
    min_new_pairs: int = Field(500, ge=1, description="preference pairs since the champion's training")

    @model_validator(mode="after")
    def _known_signals(self) -> TriggerRule:
        for name in self.signals:
            if name not in SIGNALS:
                raise ValueError(f"signals names {name!r}; known are {', '.join(SIGNALS)}")
        return self


class GateSettings(_Part):
    accuracy_margin: float = Field(0.02, ge=0, le=1, description="held-out accuracy the candidate may lose")
    cohort_accuracy_margin: float = Field(0.10, ge=0, le=1, description="the same within one cohort")
    min_cohort_pairs: int = Field(30, ge=1, description="cohorts with fewer held-out pairs are not judged")
    length_balanced_margin: float = Field(0.05, ge=0, le=1, description="the same on length-balanced pairs")
    calibration_margin: float = Field(0.05, ge=0, le=1, description="expected calibration error it may add")
    min_held_out_pairs: int = Field(50, ge=1, description="fewer held-out pairs fail the gate")


class RetrainSettings(_Part):
    folder: Path = Field(Path("var/retrain"), description="where runs and candidates are kept")
    base_model: Path | None = Field(None, description="folder a new member is fine-tuned from; null: the champion's")
    recipe: Path | None = Field(None, description="YAML recipe; null takes the packaged reward recipe")
    lease_seconds: float = Field(60.0, ge=5, description="a launcher silent for longer loses its job")
    max_attempts: int = Field(3, ge=1, description="launches of one job before it fails")
    launcher: str = Field("local_process", description="how runs are started; `local_process`: beside the daemon")
    keep_candidates: int = Field(
        5, ge=0, description="candidates kept beside champion, the one before it and those that wait"
    )
    promotion: Literal["automatic", "manual"] = Field("automatic", description="what follows a passed gate")
    rules: tuple[TriggerRule, ...] = Field((), description="which alarms start which job")
    refresh_cron: str | None = Field(None, description="crontab of a periodic reward_refresh, UTC")
    gate: GateSettings = GateSettings()


class WebSettings(_Part):
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port of API, console and /metrics; 0 picks one")
    tokens: dict[str, Literal["viewer", "annotator", "operator"]] = Field(
        default_factory=dict,
        description="bearer token (16 characters or more unless on loopback) -> role; none: loopback alone is served",
    )

    @model_validator(mode="after")
    def _guarded(self) -> WebSettings:
        if self.host in {"127.0.0.1", "localhost", "::1"}:
            return self
        if not self.tokens:
            raise ValueError(f"host {self.host!r} is reachable from outside: set web.tokens first")
        for token, role in self.tokens.items():
            if len(token) < MIN_TOKEN_CHARACTERS:
                raise ValueError(
                    f"host {self.host!r} is reachable from outside, and a token of the role {role!r} is shorter than "
                    f"{MIN_TOKEN_CHARACTERS} characters: `openssl rand -hex 16` makes a good one"
                )
        return self


class RetentionSettings(_Part):
    """How long each kind of row is kept, in days since it was stored; 0 keeps it for ever."""

    text_days: int = Field(30, ge=0, le=36_500, description="prompts and responses; 0: for ever")
    trace_id_days: int = Field(
        400, ge=0, le=36_500, description="trace ids, by which a trace counts once, and its scores; 0: for ever"
    )
    log_days: int = Field(
        0, ge=0, le=36_500, description="observations from before the active baseline's window; 0: for ever"
    )

    @model_validator(mode="after")
    def _ids_outlive_texts(self) -> RetentionSettings:
        if self.trace_id_days and not 0 < self.text_days <= self.trace_id_days:
            raise ValueError(
                f"text_days = {self.text_days} outlives trace_id_days = {self.trace_id_days}: a text is found by its id"
            )
        return self


class LogSettings(_Part):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level written")
    format: Literal["json", "console"] = Field("json", description="json lines, or text for people")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="MONITOR_", env_nested_delimiter="__", frozen=True, extra="ignore", hide_input_in_errors=False
    )

    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    ingest: IngestSettings = IngestSettings()
    rewards: RewardsSettings = RewardsSettings()
    serve: ServeSettings = ServeSettings()
    drift: DriftSettings = DriftSettings()
    retrain: RetrainSettings = RetrainSettings()
    retention: RetentionSettings = RetentionSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    drain_seconds: float = Field(30.0, gt=0, description="time to leave in after SIGTERM")

    @property
    def repeat_window(self) -> timedelta:
        return timedelta(seconds=self.ingest.repeat_window_seconds)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        yaml = YamlConfigSettingsSource(settings_cls, yaml_file=config_file())
        return init_settings, env_settings, yaml


def config_file() -> Path | None:
    """Return the YAML file to read: $MONITOR_CONFIG, which must exist, or ./monitor.yaml if it does."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named is None:
        return Path(DEFAULT_CONFIG) if Path(DEFAULT_CONFIG).exists() else None
    if not Path(named).is_file():
        raise InvalidSetting(f"{CONFIG_VARIABLE}={named!r}: no such file; name a YAML file that is there")
    return Path(named)


def load_settings() -> Settings:
    """Read the settings; raise `InvalidSetting` naming each key, its value and what was wanted."""
    _refuse_unknown_variables()
    _refuse_unreadable_file()
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSetting("\n".join(_explain(item) for item in error.errors())) from None
    except SettingsError as error:
        raise InvalidSetting(_explain_unparsed(error)) from None


def _explain(item: object) -> str:
    assert isinstance(item, dict)
    loc = item["loc"][:2] if item["loc"][:2] == ("web", "tokens") else item["loc"]  # what follows is a token
    key = ".".join(str(part) for part in loc) or "settings"
    if item["type"] == "extra_forbidden":
        return f"{key}: no such setting; {_meant(str(loc[-1]), _fields_beside(loc))}"
    given = (
        "" if isinstance(item["input"], dict) or "password" in key or key.endswith("url") else f" = {item['input']!r}"
    )
    return f"{key}{given}: {item['msg'].removeprefix('Value error, ')}"


def _fields_beside(loc: tuple[str | int, ...]) -> Iterable[str]:
    """Return the names of the settings where one named *loc* would stand."""
    model: object = Settings
    for part in loc[:-1]:
        fields = getattr(model, "model_fields", {})
        model = fields[part].annotation if part in fields else None
    return getattr(model, "model_fields", {})


def _meant(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(names)}" if names else "docs/settings.md lists them all"


def _explain_unparsed(error: SettingsError) -> str:
    """Name the variable that should have held JSON; its value may be a secret."""
    text = getattr(error.__cause__, "doc", None)
    variables = [name for name, value in os.environ.items() if name.startswith("MONITOR_") and value == text]
    advice = 'write it as JSON, such as ["a", "b"] for a list'
    return f"{variables[0]}: {advice}" if variables else f"settings cannot be read: {error}; {advice}"


def _refuse_unreadable_file() -> None:
    """Name a file that holds no settings at all, and the parts in it that there are not."""
    file = config_file()
    if file is None:
        return
    try:
        content = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:  # its text may quote the file, and so a password
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = str(file) if line is None else f"{file}:{line + 1}"
        raise InvalidSetting(f"{place}: {getattr(error, 'problem', None) or error}; this is not YAML") from None
    parts = ", ".join(Settings.model_fields)
    if not isinstance(content, dict | None):
        raise InvalidSetting(f"{file}: holds a {type(content).__name__}; it must name the parts {parts}")
    for part in content or {}:
        if part not in Settings.model_fields:
            raise InvalidSetting(f"{file}: {part!r}: no such setting; {_meant(part, Settings.model_fields)}")


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored in silence; name it instead."""
    parts = list(Settings.model_fields)
    for variable in os.environ:
        if not variable.startswith("MONITOR_") or variable == CONFIG_VARIABLE:
            continue
        part = variable.removeprefix("MONITOR_").split("__")[0].lower()
        if part not in parts:
            raise InvalidSetting(f"{variable}: no such setting; {_meant(part, parts)} (MONITOR_<PART>__<FIELD>)")
