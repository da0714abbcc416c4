"""Notices as e-mail: one thread a subject."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from datetime import UTC
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

from monitor.domain.text import visible
from monitor.notify.http import Secret, without
from monitor.notify.notice import Failed, Notice, Taken

MAX_TOLD = 300  # characters of a refusal that are kept
PASSING = range(400, 500)  # SMTP's own word for "later"


@dataclass(frozen=True, slots=True)
class MailSender:
    """Sends a message for each notice; the certificate of the server is verified."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    recipients: tuple[str, ...]
    timeout_seconds: float
    user: str | None = None
    password: Secret | None = None
    ca: Path | None = None

    def deliver(self, notice: Notice, _handle: str | None) -> Taken | Failed:
        message = message_of(notice, sender=self.sender, recipients=self.recipients)
        secrets = [self.password] if self.password is not None else []
        try:
            with self._connected() as server:
                if self.user is not None and self.password is not None:
                    server.login(self.user, self.password())
                refused = server.send_message(message, self.sender, list(self.recipients))
        except smtplib.SMTPRecipientsRefused as error:
            number, first = next(iter(error.recipients.values()))
            told = f"no recipient was taken: SMTP {number} {first[:MAX_TOLD].decode(errors='replace')}"
            again = any(code in PASSING for code, _ in error.recipients.values())
            return Failed(without(told, secrets), again=again)
        except smtplib.SMTPResponseException as error:
            code, said = error.smtp_code, error.smtp_error
            words = said.decode(errors="replace") if isinstance(said, bytes) else said
            return Failed(without(f"SMTP {code} {words[:MAX_TOLD]}", secrets), again=code in PASSING)
        except smtplib.SMTPNotSupportedError as error:
            return Failed(without(f"{self.host}: {error}", secrets), again=False)
        except (smtplib.SMTPException, OSError) as error:
            return Failed(without(f"{type(error).__name__}: {error}", secrets), again=True)
        return Taken(f"the server took it for {len(self.recipients) - len(refused)} of {len(self.recipients)}")

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_seconds, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server


def message_of(notice: Notice, *, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """Return the message; what came from outside stands on lines of its own and never ends a header's."""
    domain = sender.rpartition("@")[2].rstrip("> ") or "rlhf-monitor"
    message = EmailMessage()
    message["Subject"] = visible(notice.title)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Date"] = format_datetime(notice.at.astimezone(UTC))
    message["Message-ID"] = f"<{notice.idempotency_key}@{domain}>"  # the same at each attempt
    message["References"] = f"<{notice.key}@{domain}>"  # one thread, whichever message was the first to come
    if notice.sequence > 1:
        message["In-Reply-To"] = f"<{notice.key}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    links = [] if notice.link is None else [f"console: {notice.link}"]
    lines = [notice.title, "", *notice.lines, "", *links, f"runbook: {notice.runbook}"]
    message.set_content("\n".join(map(visible, lines)) + "\n", charset="utf-8")
    return message
