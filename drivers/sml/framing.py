"""Bytes in any split -> SML files: transport protocol version 1 of SML 1.04 (BSI TR-03109-1, Anlage IV b). Sans-IO."""

from collections.abc import Iterator

from drivers.errors import BadAnswer

# A meter that speaks once a second at 9600 baud sends 960 bytes at most, one with all its phases under 1 kB; those that
# are asked through other ways send more. Bounds what a file without an end can occupy.
MAX_FILE = 8192

ESCAPE = b"\x1b\x1b\x1b\x1b"
START = ESCAPE + b"\x01\x01\x01\x01"
_END = 0x1A
_SEQUENCE = 4  # bytes of an escape sequence, and of what it says; DZG meters also pad by 4, where 0 would do


def crc16(data: bytes, start: int = 0xFFFF, end: int = 0xFFFF) -> int:
    """CRC-16/X.25 (DIN EN 62056-46), least significant bit first; CRC-16/KERMIT with `start` and `end` 0."""
    crc = start
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ end


def summed(data: bytes, crc: int) -> bool:
    """Whether a CRC is that of `data`: X.25 as SML says, or KERMIT as Holley DTZ541 meters reckon it (libsml)."""
    return crc in (crc16(data), crc16(data, 0, 0))


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x8408 if byte & 1 else 0)
    return byte


_TABLE = [_entry(byte) for byte in range(256)]


class Framer:
    """Finds SML files in a stream; holds at most `MAX_FILE` bytes. What is broken costs itself only.

    A start counts wherever it stands, so that noise never hides the next file: data that holds the very bytes of one is
    not readable.
    """

    def __init__(self) -> None:
        self._tail = b""  # the last bytes of the stream, as many as a start has
        self._raw = bytearray()  # all since the start, as it is summed
        self._content = bytearray()
        self._open = False
        self._escapes = 0  # how many bytes of an escape sequence were the last
        self._said: bytearray | None = None  # what stands behind an escape sequence

    def feed(self, data: bytes) -> Iterator[bytes | BadAnswer]:
        """The contents of the files that `data` completes, padding left out, and the damage found, in order."""
        for byte in data:
            found = self._take(byte)
            if found is not None:
                yield found

    def _take(self, byte: int) -> bytes | BadAnswer | None:
        self._tail = (self._tail + bytes((byte,)))[-len(START) :]
        if self._tail == START:
            return self._start()
        if not self._open:
            return None
        if len(self._raw) == MAX_FILE:
            return self._drop(f"longer than {MAX_FILE} bytes")
        self._raw.append(byte)
        if self._said is not None:
            self._said.append(byte)
            return self._told(bytes(self._said)) if len(self._said) == _SEQUENCE else None
        if byte == ESCAPE[0]:
            self._escapes += 1
            if self._escapes == _SEQUENCE:
                self._escapes, self._said = 0, bytearray()
        else:
            self._content += ESCAPE[: self._escapes] + bytes((byte,))
            self._escapes = 0
        return None

    def _start(self) -> BadAnswer | None:
        was_open = self._open
        damage = self._drop("another one began before its end")
        self._open, self._raw = True, bytearray(START)
        return damage if was_open else None

    def _told(self, said: bytes) -> bytes | BadAnswer | None:
        """Four bytes behind an escape sequence."""
        self._said = None
        if said == ESCAPE:  # data that looks like an escape sequence is sent twice
            self._content += ESCAPE
            return None
        return self._judge(said) if said[0] == _END else self._drop("an unknown escape sequence")

    def _judge(self, said: bytes) -> bytes | BadAnswer:
        raw, content, padding = bytes(self._raw), bytes(self._content), said[1]
        self._drop("")
        if not summed(raw[:-2], int.from_bytes(said[2:], "little")):
            return _damage("wrong checksum")
        if padding > _SEQUENCE or padding > len(content) or any(content[len(content) - padding :]):
            return _damage("wrong padding")
        return content[: len(content) - padding]

    def _drop(self, why: str) -> BadAnswer:
        self._raw, self._content, self._open, self._escapes, self._said = bytearray(), bytearray(), False, 0, None
        return _damage(why)


def _damage(what: str) -> BadAnswer:
    return BadAnswer(f"SML file: {what}")
