"""What the unpacker says to bytes that are no blocks."""


class FormatError(ValueError):
    """The blocks are damaged, cut, or of another version."""

    exit_code = 65  # EX_DATAERR (sysexits.h)
