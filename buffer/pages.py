"""Pages and rows of an SQLite file that may be damaged, read without SQLite (sqlite.org/fileformat2.html).

Nothing here is to be believed: what comes out must be verified by what it says itself.
"""

import os
import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from buffer.database import PAGE_BYTES

LEAF = 0x0D  # the first byte of a page with rows (1.6, table b-tree leaf)
FILE_HEADER = 100  # bytes at the start of page 1 (1.3)
LOG_HEADER, FRAME_HEADER = 32, 24  # bytes (4.1)
LOG_MAGIC = 0x377F0682  # the lowest bit says that checksums are of big-endian words (4.1)
PAGE_SIZES = frozenset(1 << bits for bits in range(9, 17))
MAX_ROW_BYTES = 2 << 20  # a block of the largest batch, twice: more is damage
MAX_LOG_BYTES = 64 << 20  # the store keeps its log under 2 MB, or an eighth of its size
INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes of a serial type (2.1)
TORN_COMMITS = 1  # a power cut tears what was being written: the last transaction, never one behind which others are

SqlValue = None | int | float | str | bytes
Row = tuple[int, tuple[SqlValue, ...]]


@dataclass(frozen=True, slots=True)
class Frame:
    """A page in the log; `chained` when its checksum follows from the frame before."""

    page: int
    offset: int
    commits: bool
    chained: bool


class Log:
    """The write-ahead log of a database, frame by frame, those behind a damaged one included."""

    def __init__(self, path: Path) -> None:
        self.page_bytes = 0
        self.frames: list[Frame] = []
        self._headless = False
        data = path.read_bytes()[:MAX_LOG_BYTES] if path.exists() else b""
        if len(data) > LOG_HEADER + FRAME_HEADER:
            self._read(data)

    @property
    def damaged(self) -> bool:
        """Whether transactions are lost that were complete: more than what a power cut can have torn."""
        first = next((n for n, frame in enumerate(self.frames) if not frame.chained), len(self.frames))
        commits = sum(frame.commits for frame in self.frames[first:])
        return commits > (0 if self._headless else TORN_COMMITS)

    def pages(self) -> dict[int, int]:
        """Where the newest intact version of each page is in the log."""
        last = max((n for n, frame in enumerate(self.frames) if frame.commits and frame.chained), default=-1)
        return {frame.page: frame.offset for frame in self.frames[: last + 1] if frame.chained}

    def _read(self, data: bytes) -> None:
        magic, _, size = struct.unpack_from(">3I", data)
        before, salts = struct.unpack_from(">2I", data, 24), data[16:24]
        self._headless = magic & ~1 != LOG_MAGIC or _checksum(data[:24], (0, 0), magic) != before
        if self._headless:  # all else is known of this program's logs, but for the salts, which every frame repeats
            magic, size, salts = LOG_MAGIC, PAGE_BYTES, _salts(data)
        self.page_bytes = size
        step = FRAME_HEADER + size
        starts = range(LOG_HEADER, len(data) - step + 1, step)
        end = max((at for at in starts if data[at + 8 : at + 16] == salts), default=-1)  # an older log may follow
        for at in starts:
            if at > end:
                break
            page, pages = struct.unpack_from(">2I", data, at)
            same, said = data[at + 8 : at + 16] == salts, struct.unpack_from(">2I", data, at + 16)
            whole = data[at : at + 8] + data[at + FRAME_HEADER : at + step]
            chained = same and _checksum(whole, before, magic) == said
            self.frames.append(Frame(page, at + FRAME_HEADER, same and pages > 0, chained))
            before = said


def _salts(data: bytes) -> bytes:
    """What most frames of a log without a header have as salts."""
    step = FRAME_HEADER + PAGE_BYTES
    found = Counter(data[at + 8 : at + 16] for at in range(LOG_HEADER, len(data) - step + 1, step))
    del found[bytes(8)]
    return found.most_common(1)[0][0] if found else b""


def _checksum(data: bytes, start: tuple[int, int], magic: int) -> tuple[int, int]:
    """The checksum of the log (4.2)."""
    words = array("I", data)
    if (magic & 1 == 1) == (struct.pack("=H", 1) == b"\1\0"):
        words.byteswap()
    one, two = start
    pairs = iter(words)
    for first, second in zip(pairs, pairs, strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


class Pages:
    """A database file with its log; a context manager. Raises `OSError` only when the file cannot be opened."""

    def __init__(self, path: Path) -> None:
        log_path = Path(f"{path}-wal")
        log = Log(log_path)
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._log = os.open(log_path, os.O_RDONLY | os.O_CLOEXEC) if log_path.exists() else -1
        self._newest = log.pages()
        self.size = self._page_bytes(log)
        self.count = max([os.fstat(self._file).st_size // self.size, *self._newest])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        if self._log >= 0:
            os.close(self._log)

    def read(self, number: int) -> bytes:
        """A page, zeros where the disk does not give it."""
        try:
            if number in self._newest:
                data = os.pread(self._log, self.size, self._newest[number])
            else:
                data = os.pread(self._file, self.size, (number - 1) * self.size)
        except OSError:  # a sector that cannot be read is as lost as one that holds nonsense
            data = b""
        return data.ljust(self.size, b"\0")

    def rows(self, number: int) -> list[Row]:
        """The rows of a page that can be read; none when it is no page of rows."""
        page = self.read(number)
        start = FILE_HEADER if number == 1 else 0
        if page[start] != LEAF:
            return []
        found = []
        cells = min(int.from_bytes(page[start + 3 : start + 5], "big"), self.size // 4)
        for at in range(start + 8, min(start + 8 + 2 * cells, self.size - 1), 2):
            try:
                found.append(self._row(page, int.from_bytes(page[at : at + 2], "big")))
            except (ValueError, IndexError, struct.error):
                continue
        return found

    def free(self) -> set[int]:
        """The pages that hold nothing any more, as far as the list of them can be read (1.5)."""
        found: set[int] = set()
        trunk = int.from_bytes(self.read(1)[32:36], "big")
        while 1 < trunk <= self.count and trunk not in found:
            found.add(trunk)
            page = self.read(trunk)
            leaves = min(int.from_bytes(page[4:8], "big"), self.size // 4 - 2)
            found.update(int.from_bytes(page[at : at + 4], "big") for at in range(8, 8 + 4 * leaves, 4))
            trunk = int.from_bytes(page[:4], "big")
        return found

    def _page_bytes(self, log: Log) -> int:
        size = int.from_bytes(os.pread(self._file, 2, 16), "big")
        return size if size in PAGE_SIZES else log.page_bytes or PAGE_BYTES

    def _row(self, page: bytes, at: int) -> Row:
        size, at = _varint(page, at)
        number, at = _varint(page, at)
        return number, tuple(_values(self._payload(page, at, size)))

    def _payload(self, page: bytes, at: int, size: int) -> bytes:
        """The bytes of a row, from its page and the overflow pages (1.6)."""
        if size > MAX_ROW_BYTES:
            raise ValueError("too long for a row of ours")
        most = self.size - 35
        least = (self.size - 12) * 32 // 255 - 23
        local = size
        if size > most:
            local = least + (size - least) % (self.size - 4)
            local = local if local <= most else least
        parts, left = [page[at : at + local]], size - local
        following = int.from_bytes(page[at + local : at + local + 4], "big") if left else 0
        while left > 0:
            if not 1 < following <= self.count:
                raise ValueError("the row is cut short")
            more = self.read(following)
            parts.append(more[4 : 4 + left])
            left -= self.size - 4
            following = int.from_bytes(more[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(9):
        byte = data[at + count]
        if count == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count + 1
    raise ValueError("unreachable")


def _values(record: bytes) -> Iterator[SqlValue]:
    """The columns of a record (2); raises `ValueError` or `IndexError` when it is none."""
    end, at = _varint(record, 0)
    types = []
    while at < end:
        code, at = _varint(record, at)
        types.append(code)
    for code in types:
        size = INTEGERS.get(code, 8 if code == 7 else (code - 12) // 2 if code >= 12 else 0)
        data = record[at : at + size]
        if len(data) != size or code in {10, 11}:
            raise ValueError("a column is cut short")
        at += size
        yield _value(code, data)


def _value(code: int, data: bytes) -> SqlValue:
    if code == 0:
        return None
    if code in INTEGERS:
        return int.from_bytes(data, "big", signed=True)
    if code == 7:
        return float(struct.unpack(">d", data)[0])
    if code in {8, 9}:
        return code - 8
    return data.decode() if code % 2 else data
