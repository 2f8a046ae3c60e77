"""What the agent and its command can fail with; each class carries its exit code (sysexits.h)."""


class GatewayError(Exception):
    """The root of the agent's errors; `remedy` is one thing to do about it."""

    exit_code = 70  # EX_SOFTWARE

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class NotRunning(GatewayError, ConnectionError):
    """No daemon answers on its socket."""

    exit_code = 69  # EX_UNAVAILABLE


class NotAllowed(GatewayError, PermissionError):
    """The socket or file is there, and this user may not use it."""

    exit_code = 77  # EX_NOPERM


class RequestRefused(GatewayError):
    """The daemon answered a request with an error."""

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.code = code


class BadRequest(GatewayError, ValueError):
    """A request on a control socket is not one of ours."""

    exit_code = 64  # EX_USAGE


class SetupFailed(GatewayError, ValueError):
    """The configuration, or a file that it names, cannot be used."""

    exit_code = 78  # EX_CONFIG


class FileDamaged(GatewayError, ValueError):
    """A file of the agent's own is not what was written."""

    exit_code = 65  # EX_DATAERR


class WireError(GatewayError, ValueError):
    """A message of another platform's form cannot be read."""


class NotTold(GatewayError, ConnectionError):
    """What was asked for was done here, and the platform does not know of it."""

    exit_code = 69  # EX_UNAVAILABLE


class LinkError(GatewayError, ConnectionError):
    """The link to a broker could not be made, or broke."""

    exit_code = 69


class PublishRefused(GatewayError, PermissionError):
    """The broker does not take a message, and says so; the link is as it was."""

    exit_code = 69


class NotVerified(GatewayError, ValueError):
    """Something signed does not prove what it says."""

    exit_code = 65  # EX_DATAERR


class AccountError(GatewayError):
    """The demo's account does not balance."""

    exit_code = 1


class EnrolmentFailed(GatewayError, ValueError):
    """The platform does not take this gateway, or what it answered cannot be used."""

    exit_code = 77  # EX_NOPERM


class SealFailed(GatewayError):
    """A key could not be sealed, or what is sealed does not open here."""

    exit_code = 69  # EX_UNAVAILABLE


class UpdateRefused(GatewayError, PermissionError):
    """A new version is not taken; nothing was changed."""

    exit_code = 77  # EX_NOPERM


class UpdateFailed(GatewayError):
    """A new version could not be installed, or did no good."""
