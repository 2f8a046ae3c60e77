"""One look at everything, or one every so often, in a process of its own: storing batches never waits for it."""

import logging
import signal
from collections.abc import Callable
from threading import Event

from collector.alarms import conditions
from collector.alarms.book import Book, Change
from collector.alarms.rules import Rules
from collector.alarms.webhook import Hook
from collector.errors import DatabaseBusy
from collector.tables.database import Database

logger = logging.getLogger(__name__)


class Watch:
    """Finds, enters and tells."""

    def __init__(self, database: Database, rules: Rules, now_ms: Callable[[], int]) -> None:
        """Raise RulesFault or FileFault for a webhook that cannot be used."""
        self._database = database
        self._rules = rules
        self._now_ms = now_ms
        self._book = Book(database, tell=rules.webhook is not None)
        self._hook = None if rules.webhook is None else Hook(database, rules.webhook, now_ms)

    def look(self) -> list[Change]:
        """One pass; raises DatabaseBusy."""
        known = self._book.still_open()
        found = conditions.find(self._database, self._rules, self._now_ms(), known.__contains__)
        changes = self._book.update(found, self._now_ms())
        for fault in [] if self._hook is None else self._hook.deliver():
            logger.warning("%s", fault)
        return changes

    def run(self) -> None:
        """Look again and again until SIGTERM or SIGINT."""
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            try:
                for change in self.look():
                    gateway, kind, subject = change.key
                    logger.warning("%s: %s %s %s: %s", gateway, kind, subject, change.event, change.detail)
            except DatabaseBusy as error:
                logger.warning("alarms: %s; tried again", error)
            stop.wait(self._rules.every / 1000)
