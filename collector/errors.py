"""What stops the collector or one of its verbs; each class carries its exit code (sysexits.h)."""


class CollectorError(Exception):
    """The collector could not do what was asked."""

    exit_code = 70  # EX_SOFTWARE


class DatabaseBusy(CollectorError, OSError):
    """The database cannot be written now: disk full, input/output error, locked, read-only. Worth another try."""

    exit_code = 75  # EX_TEMPFAIL


class DatabaseBroken(CollectorError, OSError):
    """The file is not a database of the collector, or it is damaged."""

    exit_code = 74  # EX_IOERR


class DatabaseMissing(CollectorError, FileNotFoundError):
    """There is no database at the path given."""

    exit_code = 66  # EX_NOINPUT


class Unstorable(CollectorError, ValueError):
    """A value that no column takes: the fault of the batch, not of the database."""

    exit_code = 65  # EX_DATAERR


class RegistryError(CollectorError, ValueError):
    """A gateway's key cannot be added, revoked or confirmed as asked."""

    exit_code = 65  # EX_DATAERR


class TooManyKeys(RegistryError):
    """A gateway has as many keys as it may have at once."""


class UnknownGateway(CollectorError, LookupError):
    """No key of that gateway is known."""

    exit_code = 65  # EX_DATAERR


class UsageError(CollectorError, ValueError):
    """An argument of a verb cannot be understood."""

    exit_code = 64  # EX_USAGE


class BrokerError(CollectorError, ConnectionError):
    """The broker refuses what the collector needs for good."""

    exit_code = 69  # EX_UNAVAILABLE


class Stopped(CollectorError, InterruptedError):
    """The collector was told to stop in the middle of a group of messages; nothing of the group is stored."""

    exit_code = 75  # EX_TEMPFAIL


class NotConfirmed(CollectorError, PermissionError):
    """The question before a change was not answered with yes; nothing was done."""

    exit_code = 77  # EX_NOPERM


class FileFault(CollectorError, OSError):
    """A file of the command line cannot be read or written."""

    exit_code = 74  # EX_IOERR


class KeyringFault(CollectorError, ValueError):
    """A keyring, or its source, is not what it should be."""

    exit_code = 65  # EX_DATAERR


class CommandFault(CollectorError, ValueError):
    """A command cannot be signed or relayed as asked."""

    exit_code = 65  # EX_DATAERR


class ConfigurationFault(CollectorError, ValueError):
    """A configuration cannot be signed or relayed as asked."""

    exit_code = 65  # EX_DATAERR


class ProofBroken(CollectorError, ValueError):
    """Something that was signed does not verify, or does not say what the tables say."""

    exit_code = 65  # EX_DATAERR


class AuthorityFault(CollectorError, ValueError):
    """A certificate authority, or a request to it, is not what it should be."""

    exit_code = 65  # EX_DATAERR


class EnrolmentRefused(CollectorError, PermissionError):
    """A gateway may not become known, or get a certificate; `reason` is one word for counters and answers."""

    exit_code = 77  # EX_NOPERM

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class RulesFault(CollectorError, ValueError):
    """The file of alarm rules, or the secret that it names, is not what it should be."""

    exit_code = 78  # EX_CONFIG


class SetupFault(CollectorError, ValueError):
    """The page cannot be served as asked: address, certificate, or a secret that is none."""

    exit_code = 78  # EX_CONFIG
