"""What goes wrong with keys, signed messages and the store."""

from enum import StrEnum


class BufferFault(Exception):
    """Root of what this package raises."""

    exit_code = 70  # EX_SOFTWARE


class KeyFileError(BufferFault, ValueError):
    """A key file is missing, unsafe to use or not what it should be."""

    exit_code = 78  # EX_CONFIG


class SignatureError(BufferFault, ValueError):
    """A message is not signed by the key it must be signed by; nothing in it may be believed."""

    exit_code = 65  # EX_DATAERR


class BatchFormatError(BufferFault, ValueError):
    """A signed message, header, catalogue or acknowledgement is not as docs/format.md says."""

    exit_code = 65


class NotAllowed(BufferFault, PermissionError):
    """What was asked for is refused; `reason` is one word for counters, the message a sentence."""

    exit_code = 77  # EX_NOPERM

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class BatchBoundary(BufferFault, ValueError):
    """A block cannot continue the open batch: it needs a reset packer (`fresh`). Nothing was written."""


class AckReason(StrEnum):
    """Why an acknowledgement frees nothing."""

    GATEWAY = "names another gateway"
    STREAM = "names another stream"
    HASH = "names another hash"
    NEVER_SENT = "names a number that was never sealed"


class AckRefused(BufferFault, ValueError):
    """An acknowledgement that is not about what this store holds; nothing was freed."""

    def __init__(self, reason: AckReason, detail: str) -> None:
        super().__init__(f"acknowledgement {reason}: {detail}")
        self.reason = reason


class StoreError(BufferFault, OSError):
    """The disk or SQLite refused; nothing of the attempt is in the file and the store stays usable."""

    exit_code = 74  # EX_IOERR


class StoreFull(StoreError):
    """No room: the size limit or the file system is reached and no delivered history is left to drop."""


class StoreCorrupt(StoreError):
    """The file is damaged or no store; the message names the remedy. The file was not changed."""


class StoreMismatch(StoreError):
    """The store is another gateway's, or of a newer version of the program."""

    exit_code = 78


class UnknownBatch(BufferFault, LookupError):
    """The store has no batch of that number, or no longer."""

    exit_code = 65
