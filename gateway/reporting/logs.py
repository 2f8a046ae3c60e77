"""The agent's log: to the journal with fields, or to stderr as text or JSON; hostile texts are harmless in each.

What a line is about stands in its template: "device %s: gone (%s)" gives the field `device`.
"""

import json
import logging
import queue
import re
import sys
import traceback
from logging.handlers import QueueHandler, QueueListener

from gateway.plain import plain
from gateway.reporting.journal import Journal, is_ours

FIELDS = ("bus", "device", "point", "batch", "command", "adapter")
FORMATS = ("auto", "text", "json")
PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
"""syslog(3)."""
LIBRARIES = ("pymodbus", "pymodbus.logging", "mqtt", "asyncio")
BLUETOOTH = ("bleak", "dbus_fast")
MESSAGE_MAX = 8192
"""Characters: a device may put its texts into an error, and an error into the log."""
_PLACE = re.compile(r"(?:\b([a-z]+) )?%(?:%|[-+ #0]*[0-9.]*[a-zA-Z])")


class About(logging.Filter):
    """Notes on each record what it is about, while its template and its arguments are still apart."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        record.about = about(record)
        return True


class Text(logging.Formatter):
    """`LEVEL logger: message`; where the journal reads the stream, with its priority in front (sd-daemon(3))."""

    def __init__(self, *, journal: bool = False) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Every line of it, harmless."""
        lines = (f"{record.name}: {message(record)}").splitlines()
        mark = f"<{PRIORITIES.get(record.levelname, 6)}>" if self._journal else f"{record.levelname} "
        return "\n".join(mark + plain(line) for line in lines)


class Json(logging.Formatter):
    """One line of JSON, ASCII alone."""

    def format(self, record: logging.LogRecord) -> str:
        """`utc_ms`, `level`, `logger`, `message` and what it is about."""
        told = {
            "utc_ms": int(record.created * 1000), "level": record.levelname.lower(), "logger": record.name,
            "message": message(record),
        }  # fmt: skip
        return json.dumps(told | fields(record))


class ToJournal(logging.Handler):
    """Sends each record with its fields; what the journal does not take goes to stderr, which it reads as well."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self._text = Text(journal=True)

    def close(self) -> None:
        """Close the socket too."""
        self._journal.close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises."""
        try:
            self._journal.send(entry_of(record))
        except (OSError, ValueError):
            sys.stderr.write(self._text.format(record) + "\n")
            sys.stderr.flush()


def entry_of(record: logging.LogRecord) -> dict[str, object]:
    """The journal's fields of a record: its own, and LAMPPOST_DEVICE and the like."""
    told: dict[str, object] = {
        "MESSAGE": "\n".join(plain(line) for line in message(record).splitlines()),
        "PRIORITY": PRIORITIES.get(record.levelname, 6), "SYSLOG_IDENTIFIER": "lamppost", "LOGGER": record.name,
        "CODE_FILE": record.pathname, "CODE_LINE": record.lineno, "CODE_FUNC": record.funcName,
    }  # fmt: skip
    return told | {f"LAMPPOST_{name.upper()}": plain(text) for name, text in fields(record).items()}


def about(record: logging.LogRecord) -> dict[str, str]:
    """What stands behind the words of `FIELDS` in a template, by name."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    words = [found[1] for found in _PLACE.finditer(str(record.msg)) if not found[0].endswith("%%")]
    return {
        word: str(argument)[:MESSAGE_MAX]
        for word, argument in zip(words, arguments, strict=False) if word in FIELDS
    }  # fmt: skip


def fields(record: logging.LogRecord) -> dict[str, str]:
    """What `About` noted."""
    found: dict[str, str] = getattr(record, "about", {})
    return found


def message(record: logging.LogRecord) -> str:
    """The message and its traceback, bounded."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + "".join(traceback.format_exception(*record.exc_info))
    return text if len(text) <= MESSAGE_MAX else text[:MESSAGE_MAX] + "..."


def start(verbose: bool, form: str = "auto") -> QueueListener:
    """Log from a thread: a journal that stalls stops no sampling. `auto`: the journal where it reads stderr, else text.

    The libraries' chatter when asked for; never the addresses of everybody who passes by.
    """
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    queued = QueueHandler(lines)
    queued.addFilter(About())
    queued.setFormatter(logging.Formatter("%(message)s"))  # the listener's handler adds the rest
    logging.basicConfig(handlers=[queued], level=logging.DEBUG if verbose else logging.INFO)
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.DEBUG if verbose else logging.CRITICAL)
    for library in BLUETOOTH:
        logging.getLogger(library).setLevel(logging.WARNING if verbose else logging.CRITICAL)
    listener = QueueListener(lines, handler(form))
    listener.start()
    return listener


def handler(form: str) -> logging.Handler:
    """Where the lines go, and how."""
    journal = is_ours(sys.stderr.fileno())
    if form == "auto" and journal:
        try:
            return ToJournal(Journal())
        except OSError:
            pass  # an old or a walled-off one: lines with a priority in front say nearly as much
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(Json() if form == "json" else Text(journal=journal))
    return stream
