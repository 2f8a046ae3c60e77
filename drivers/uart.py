"""What a serial port's own hardware counted: bytes, breaks, and bytes that were none."""

import fcntl
import struct
from dataclasses import astuple, dataclass
from typing import Self

TIOCGICOUNT = 0x545D  # include/uapi/asm-generic/ioctls.h of Linux
_COUNTS = struct.Struct("20i")  # struct serial_icounter_struct, include/uapi/linux/serial.h: eleven counts, nine spare
_RX = 4  # where its counts of bytes and errors begin, behind those of the modem lines


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Counts since the port's driver was loaded. `frame`: bytes without a stop bit; `overrun`: bytes lost."""

    received: int
    sent: int
    frame: int
    overrun: int
    parity: int
    breaks: int

    def since(self, before: Self) -> "LineCounts":
        """What came in between; the counts run over at 2**32."""
        pairs = zip(astuple(self), astuple(before), strict=True)
        return LineCounts(*((now - then) % (1 << 32) for now, then in pairs))


def line_counts(descriptor: int) -> LineCounts | None:
    """The counts of an open port; None where its driver keeps none (a pty, some USB adapters)."""
    buffer = bytearray(_COUNTS.size)
    try:
        fcntl.ioctl(descriptor, TIOCGICOUNT, buffer)
    except OSError:
        return None
    return LineCounts(*_COUNTS.unpack(buffer)[_RX : _RX + 6])
