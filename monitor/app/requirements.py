"""What the settings ask of the machine that the daemon runs on."""

from __future__ import annotations

from monitor.app.notifying import receivers_of
from monitor.app.probes import require_probes
from monitor.app.rules import require_texts
from monitor.extra import require
from monitor.ingest.kafka_client import client_options
from monitor.ingest.redact import redaction_of
from monitor.retraining.schedule import periodic_rules
from monitor.settings.root import Settings


def require_extras(settings: Settings) -> None:
    """Raise `InvalidSetting` for what a setting asks of this process and is not there."""
    require_probes(settings.probes)
    require_texts(settings)
    receivers_of(settings)  # files of secrets and certificates
    redaction_of(settings.ingest.redaction)
    client_options(settings.kafka)  # certificates and their keys
    retrain = settings.retrain
    if settings.rewards.backend == "huggingface":
        require("gpu", "torch", "rewards.backend = 'huggingface'")
    if settings.ingest.embedding.backend == "huggingface":
        require("gpu", "torch", "ingest.embedding.backend = 'huggingface'")
    if settings.signals.refusal.is_folder:
        require("gpu", "torch", "signals.refusal.model, a folder,")
    if retrain.launcher == "local_process" and (retrain.rules or periodic_rules(retrain)):
        require("train", "trl", "retrain.rules, retrain.periodic or retrain.refresh_cron, with runs beside the daemon,")
