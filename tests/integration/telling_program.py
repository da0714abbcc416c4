"""A leader that posts what is due and never notes what became of it: it is killed there."""

from __future__ import annotations

import sys
import time

from monitor.domain.release import Channel
from monitor.postgres.announcements import AnnouncementLog
from monitor.postgres.engine import create_engine_for
from monitor.retraining.telling import Teller
from monitor.retraining.webhook import Webhook


def main(url: str, webhook: str) -> None:
    secret = "a secret of the two alone"
    posting = Webhook(webhook, secret=secret, timeout_seconds=5.0)
    Teller(Channel.WEBHOOK, AnnouncementLog(create_engine_for(url)), posting.deliver).turn()
    time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
