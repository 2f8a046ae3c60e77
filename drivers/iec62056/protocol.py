"""The readout of IEC 62056-21, modes A and C: what is asked, and bytes in any split -> what was answered. Sans-IO."""

import re
from dataclasses import dataclass
from functools import reduce
from operator import xor

from drivers.errors import BadAnswer

# A readout with the registers of 15 months is 9 kB (Landis+Gyr ZMD); twice that is taken, and bounds the memory.
MAX_READOUT = 20_000
MAX_IDENTIFICATION = 64  # 6.3.2 of IEC 62056-21: 5 characters, 16 of identification, and pairs of "\" and a letter
_NOISE = 512  # bytes before an identification: an echo, a wake-up sequence, noise of the optical head

STX, ETX, ACK = 0x02, 0x03, 0x06
BAUD_RATES = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}  # 6.3.14, item 13c
_MODE_B = "ABCDEFGHI"  # 6.3.14, item 13: the meter goes on at another rate without being asked

_IDENTIFICATION = re.compile(rb"/([A-Za-z]{3})([ -~])((?:\\[ -~])*)([^\r\n/!]{0,32})\r\n")
_PLAIN = re.compile(rb"\x02?([\r\n -~]*?)!\r?\n")


@dataclass(frozen=True, slots=True)
class Identification:
    """What a meter says that it is (IEC 62056-21, 6.3.2)."""

    maker: str
    rate: str
    name: str

    @property
    def baud(self) -> int | None:
        """The rate that it offers in mode C; None for a meter of mode A, which sends on at once."""
        return BAUD_RATES.get(self.rate)


def request(address: str) -> bytes:
    """The request message (IEC 62056-21, 6.3.1) for one meter on the line, or any with an empty address."""
    return b"/?%s!\r\n" % address.encode("ascii")


def acknowledgement(rate: str) -> bytes:
    """The option select message (IEC 62056-21): normal protocol, that rate, data readout."""
    return b"\x060%s0\r\n" % rate.encode("ascii")


class Answer:
    """The answer to a request: an identification, then a data message. What stands before either is passed over.

    `feed` raises `BadAnswer` for one that is damaged. An optical head echoes what is sent, which is passed over too.
    """

    def __init__(self, *, mode: str = "auto", checksum_required: bool = True) -> None:
        self._mode = mode
        self._checksum_required = checksum_required
        self._data = bytearray()
        self.identification: Identification | None = None

    def feed(self, data: bytes) -> Identification | str | None:
        """The identification when it waits for an acknowledgement, the data block when that is whole, else None."""
        self._data += data
        if self.identification is None:
            self._identify()
            if self.identification is not None and self._waits():
                self._data.clear()
                return self.identification
        return None if self.identification is None else self._block()

    def _waits(self) -> bool:
        """Whether the meter sends nothing more before it is acknowledged."""
        assert self.identification is not None  # noqa: S101 - the one caller has looked
        rate = self.identification.rate
        if self._mode == "auto" and rate in _MODE_B:
            raise _wrong("a meter of mode B, whose rate changes unasked; only modes A and C are read")
        if self._mode == "C" and rate not in BAUD_RATES:
            raise _wrong("an identification that offers no rate of mode C")
        return self._mode != "A" and rate in BAUD_RATES

    def _identify(self) -> None:
        match = _IDENTIFICATION.search(self._data)
        if match is not None:
            maker, rate, _, name = (part.decode("latin-1") for part in match.groups())
            self.identification = Identification(maker, rate, name.strip())
            del self._data[: match.end()]
        elif len(self._data) > _NOISE + MAX_IDENTIFICATION:
            raise _wrong("no identification")

    def _block(self) -> str | None:
        """The data block without its frame: STX block "!" CR LF ETX BCC."""
        begin = self._data.find(STX)
        end = self._data.find(ETX, begin + 1) if begin >= 0 else -1
        if 0 <= end < len(self._data) - 1:
            return self._judge(bytes(self._data[begin + 1 : end + 1]), self._data[end + 1])
        if not self._checksum_required and begin < 0 and (match := _PLAIN.search(self._data)):
            return match[1].decode("ascii")
        if len(self._data) > MAX_READOUT:
            raise _wrong(f"longer than {MAX_READOUT} bytes")
        return None

    def _judge(self, summed: bytes, check: int) -> str:
        """The block that ends with ETX, by the sum over all behind STX (ISO 1155)."""
        if reduce(xor, summed, 0) != check:
            raise _wrong("wrong checksum")
        match = _PLAIN.fullmatch(summed[:-1])
        if match is None:
            raise _wrong("a data block without its end")
        return match[1].decode("ascii")


def _wrong(what: str) -> BadAnswer:
    return BadAnswer(f"IEC 62056-21 readout: {what}")
