"""What goes wrong between a driver and its devices."""

from collections.abc import Sequence

from ext import BAD_ANSWER, EXCEPTION, NO_ANSWER


class DriverError(Exception):
    """A driver could not do what was asked."""

    exit_code = 69  # EX_UNAVAILABLE


class BusError(DriverError, ConnectionError):
    """The bus itself is gone: port unplugged, host unreachable, adapter off. Every device on it is out of reach."""


class DeviceError(DriverError):
    """One device did not deliver; the bus and the other devices are as they were."""

    quality: int = BAD_ANSWER


class NoAnswer(DeviceError, TimeoutError):
    """The device said nothing within its timeout."""

    quality = NO_ANSWER


class NotAsked(NoAnswer):
    """The question was not put at all, since the answer could not be told from a late one; it costs no bus time."""


class ExceptionAnswer(DeviceError):
    """The device answered that it will not: an answer, and a sign of life."""

    quality = EXCEPTION

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"exception {code}: {text}")
        self.code = code


class BadAnswer(DeviceError, ValueError):
    """What came back is not an answer to the question: wrong unit, function, length or checksum."""

    quality = BAD_ANSWER


class NotSunSpec(DeviceError, LookupError):
    """The device answers, or does not, but shows no SunSpec map."""


class NotWritable(DriverError, ValueError):
    """A point or a value that cannot be written; nothing was sent."""

    exit_code = 65  # EX_DATAERR


class ValueRefused(NotWritable):
    """A value cannot be written to a point: none of its type, out of its range, or between the steps of its scale."""


class SetupError(DriverError, ValueError):
    """A driver refuses its configuration; `problems` holds (key path, message, value found) triples."""

    exit_code = 78  # EX_CONFIG

    def __init__(self, problems: Sequence[tuple[str, str, object]]) -> None:
        super().__init__("; ".join(f"{path}: {message} (found {found!r})" for path, message, found in problems))
        self.problems = tuple(problems)


class UnknownDriver(DriverError, LookupError):
    """No installed distribution offers a driver of that name."""

    exit_code = 78
