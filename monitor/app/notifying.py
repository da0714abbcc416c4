"""Notifications from the settings: the receivers, the leader's duty, and what people see of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine

from monitor.app.explaining import AlarmPages
from monitor.app.leader import Duty
from monitor.app.rules import controller_rules_of, wait_of
from monitor.domain.alarm import Severity
from monitor.domain.incident import told_by
from monitor.errors import InvalidSetting
from monitor.notify.compose import Composer
from monitor.notify.decide import Rules
from monitor.notify.http import Secret
from monitor.notify.notice import Deliver, Event, Failed, ReceiverStatus, Taken
from monitor.notify.pagerduty import PagerDutySender
from monitor.notify.slack import SlackBotSender, SlackWebhookSender
from monitor.notify.smtp import MailSender
from monitor.notify.telling import Receiver, Teller, waiting_of
from monitor.notify.webhook import WebhookSender
from monitor.postgres.incidents import PostgresIncidents
from monitor.postgres.notifications import PostgresNotifications
from monitor.settings.notify import MailReceiver, ReceiverSettings, SlackReceiver
from monitor.settings.root import Settings
from monitor.telemetry.notify import NotifyMetrics

NOTIFY_SECONDS = 1.0
BOT_UPDATE_SECONDS, POSTING_UPDATE_SECONDS = 30.0, 3600.0
EVERYTHING = frozenset(Event)
POSTED = EVERYTHING - {Event.QUIETED}  # where each word is a message of its own, nobody is told that somebody has it


def receivers_of(settings: Settings) -> list[Receiver]:
    """Return who is told of incidents, in the order of the settings; raise `InvalidSetting` for a file of none."""
    return list(_receivers(settings))


def _receivers(settings: Settings) -> Iterator[Receiver]:
    notify = settings.notify
    for name, hook in notify.webhook.items():
        key = f"notify.webhook.{name}"
        url = secret_of(f"{key}.url", hook.url, hook.url_file)
        signing = secret_of(f"{key}.secret", hook.secret, hook.secret_file)
        posting = WebhookSender(url, signing, hook.timeout_seconds, _ca(key, hook))
        yield _receiver(name, "webhook", hook, posting.deliver, update=hook.update_seconds)
    for name, slack in notify.slack.items():
        sender, update = _slack(f"notify.slack.{name}", slack), slack.update_seconds
        if update is None:
            update = BOT_UPDATE_SECONDS if slack.is_bot else POSTING_UPDATE_SECONDS
        told = _receiver(
            name, "slack", slack, sender.deliver, update=update, hears=EVERYTHING if slack.is_bot else POSTED
        )
        yield replace(told, find=sender.find) if isinstance(sender, SlackBotSender) else told
    for name, pager in notify.pagerduty.items():
        key = f"notify.pagerduty.{name}"
        routing_key = secret_of(f"{key}.routing_key", pager.routing_key, pager.routing_key_file)
        paging = PagerDutySender(pager.api, routing_key, pager.timeout_seconds, _ca(key, pager))
        yield _receiver(name, "pagerduty", pager, paging.deliver, update=pager.update_seconds)
    for name, mail in notify.email.items():
        sending = _mail(f"notify.email.{name}", mail)
        yield _receiver(name, "email", mail, sending.deliver, update=mail.update_seconds, hears=POSTED)


def _receiver(
    name: str,
    kind: str,
    given: ReceiverSettings,
    deliver: Deliver,
    *,
    update: float,
    hears: frozenset[Event] = EVERYTHING,
) -> Receiver:
    hours = given.renotify_hours
    rules = Rules(
        severity=Severity(given.severity),
        renotify=None if hours is None else timedelta(hours=hours),
        update=timedelta(seconds=update),
        hears=hears,
        per_hour=given.per_hour,
    )
    return Receiver(name, kind, rules, deliver, given.timeout_seconds)


def _slack(key: str, given: SlackReceiver) -> SlackWebhookSender | SlackBotSender:
    if given.channel is None:
        url = secret_of(f"{key}.url", given.url, given.url_file)
        return SlackWebhookSender(url, given.timeout_seconds, _ca(key, given))
    token = secret_of(f"{key}.token", given.token, given.token_file)
    return SlackBotSender(token, given.channel, given.timeout_seconds, given.api, _ca(key, given))


def _mail(key: str, given: MailReceiver) -> MailSender:
    known = given.user is not None
    return MailSender(
        host=given.host,
        port=given.port,
        security=given.security,
        sender=given.sender,
        recipients=given.to,
        timeout_seconds=given.timeout_seconds,
        user=given.user,
        password=secret_of(f"{key}.password", given.password, given.password_file) if known else None,
        ca=_ca(key, given),
    )


def secret_of(key: str, given: SecretStr | None, file: Path | None) -> Secret:
    """Return what reads a secret: a file is read for each message, so that it may be replaced; once now, as a check."""
    if given is not None:
        return given.get_secret_value
    assert file is not None

    def read() -> str:
        return file.read_text(encoding="utf-8").strip()

    try:
        found = read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidSetting(f"{key}_file = {str(file)!r}: {reason}; name a file that can be read") from None
    if not found:
        raise InvalidSetting(f"{key}_file = {str(file)!r}: it is empty; wanted the secret in it")
    return read


def _ca(key: str, given: ReceiverSettings) -> Path | None:
    if given.ca_file is not None and not given.ca_file.is_file():
        raise InvalidSetting(f"{key}.ca_file = {str(given.ca_file)!r}: no such file; name a PEM file that is there")
    return given.ca_file


def composer_of(settings: Settings, engine: Engine) -> Composer:
    incidents, pages = PostgresIncidents(engine), AlarmPages(engine, controller_rules_of(settings).fold)

    def sentence(incident_id: int) -> str | None:
        found = incidents.incident(incident_id)
        leading = told_by(found.alarms) if found is not None else {}
        return pages.sentence(leading[incident_id]) if incident_id in leading else None

    return Composer(sentence, settings.web.public_url, settings.notify.runbooks)


def notify_duties(settings: Settings, metrics: NotifyMetrics, fenced: Engine) -> list[Duty]:
    """Return what the leader does to tell of incidents, where anybody is to be told; it writes through *fenced*."""
    receivers = receivers_of(settings)
    if not receivers:
        return []
    names = [receiver.name for receiver in receivers]
    metrics.expect(names)
    store, composer = PostgresNotifications(fenced, wait_of(settings)), composer_of(settings, fenced)
    tellers = [
        Teller(one, store, composer, metrics.count, others=[name for name in names if name != one.name])
        for one in receivers
    ]

    def tell() -> bool:
        snapshot = store.read(names)
        metrics.show_waiting({name: waiting_of(snapshot, name)[1] for name in names})
        noted = [teller.turn(snapshot) for teller in tellers]
        return any(noted)

    return [Duty("notify", NOTIFY_SECONDS, tell)]


@dataclass(frozen=True, slots=True)
class Notified:
    """How telling goes, as people see it: the web package's port."""

    store: PostgresNotifications
    receivers: tuple[tuple[str, str, str], ...]  # name, kind, severity

    @classmethod
    def of(cls, engine: Engine, settings: Settings) -> Notified:
        notify = settings.notify
        by_kind: dict[str, Mapping[str, ReceiverSettings]] = {
            "webhook": notify.webhook,
            "slack": notify.slack,
            "pagerduty": notify.pagerduty,
            "email": notify.email,
        }
        told = [(name, kind, given.severity) for kind, named in by_kind.items() for name, given in named.items()]
        return cls(PostgresNotifications(engine, wait_of(settings)), tuple(told))

    def receivers_told(self) -> list[ReceiverStatus]:
        return self.store.status(self.receivers)


def send_test(settings: Settings, name: str | None) -> Mapping[str, Taken | Failed]:
    """Send a test message to the receiver *name*, or to all, and return what came back."""
    composer = Composer(lambda _: None, settings.web.public_url, settings.notify.runbooks)
    chosen = [one for one in receivers_of(settings) if name in {None, one.name}]
    return {one.name: one.deliver(composer.test(datetime.now(UTC)), None) for one in chosen}
