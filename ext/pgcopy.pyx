# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Columns to rows as PostgreSQL's COPY takes them in binary, without an object a sample.

The format: PostgreSQL 15, COPY, "Binary Format"; each field is its length in 32 bits (-1 for null), then its bytes, all
big-endian.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ext.columns import BOOL, DECIMAL, FLOAT, INTEGER, NOTHING, UNSIGNED

cdef extern from "Python.h":
    ctypedef struct Py_buffer:
        void* buf
        Py_ssize_t len
    int PyObject_GetBuffer(object exporter, Py_buffer* view, int flags) except -1
    void PyBuffer_Release(Py_buffer* view)
    int PyBUF_SIMPLE

cdef enum:
    AS_NOTHING = 0  # ext.columns
    AS_INTEGER = 1
    AS_UNSIGNED = 2
    AS_FLOAT = 3
    AS_BOOL = 4
    AS_DECIMAL = 5

    FIELDS = 8
    ROW = 2 + 6 * 12 + 2 * 4  # six fields of 64 bits, two that are null
    BUFFERS = 9

if (NOTHING, INTEGER, UNSIGNED, FLOAT, BOOL, DECIMAL) != (0, 1, 2, 3, 4, 5):
    raise ImportError("the kinds of columns are not those known here")

cdef int64_t WHOLE = 9007199254740992  # 2**53: integers up to it are doubles
cdef int64_t DIGITS = 1000000000000000  # decimals of 15 digits come back from a double


cdef struct Out:
    uint8_t* bytes
    Py_ssize_t used
    Py_ssize_t room


def pg_rows(columns, numbers, ids, int64_t offset, int64_t batch, int64_t first_row, known, hard):
    """Rows (series, ts_ms, value, exact, text, quality, batch, rowid) of all samples.

    `numbers` are sorted series numbers and `ids` their ids, both of 64 bits; `known` is the pair of qualities of which
    the first becomes the second, or None; `hard(place)` gives (value, exact, text) of what a double does not hold, the
    texts as bytes. KeyError for a series that has no id.
    """
    cdef Py_buffer views[BUFFERS]
    cdef int held = 0
    cdef Out out
    cdef Py_ssize_t count = len(columns)
    cdef int was = -1
    cdef int becomes = -1
    if known is not None:
        was, becomes = known
    out.used = 0
    out.room = count * ROW + 1
    out.bytes = <uint8_t*>PyMem_Malloc(out.room)
    if out.bytes == NULL:
        raise MemoryError
    try:
        for column in (
            columns.series, columns.boot_ms, columns.quality, columns.kind, columns.value, columns.integer,
            columns.exponent, numbers, ids,
        ):
            PyObject_GetBuffer(column, &views[held], PyBUF_SIMPLE)
            held += 1
        put_rows(&out, views, count, offset, batch, first_row, was, becomes, hard)
        return PyBytes_FromStringAndSize(<char*>out.bytes, out.used)
    finally:
        while held:
            held -= 1
            PyBuffer_Release(&views[held])
        PyMem_Free(out.bytes)


cdef int put_rows(
    Out* out, Py_buffer* views, Py_ssize_t count, int64_t offset, int64_t batch, int64_t row, int was, int becomes, hard
) except -1:
    cdef const uint32_t* series = <const uint32_t*>views[0].buf
    cdef const int64_t* boot_ms = <const int64_t*>views[1].buf
    cdef const uint8_t* quality = <const uint8_t*>views[2].buf
    cdef const uint8_t* kind = <const uint8_t*>views[3].buf
    cdef const uint64_t* value = <const uint64_t*>views[4].buf
    cdef const int64_t* integer = <const int64_t*>views[5].buf
    cdef const int64_t* numbers = <const int64_t*>views[7].buf
    cdef const int64_t* ids = <const int64_t*>views[8].buf
    cdef Py_ssize_t known = views[8].len // sizeof(int64_t)
    cdef Py_ssize_t i, place
    for i in range(count):
        place = search(numbers, known, series[i])
        if place < 0:
            raise KeyError(series[i])
        put_head(out)
        put_field(out, <uint64_t>ids[place])
        put_field(out, <uint64_t>(boot_ms[i] + offset))
        if is_plain(kind[i], integer[i], value[i]):
            put_field(out, value[i])
            put_32(out, 0xFFFFFFFF)
            put_32(out, 0xFFFFFFFF)
        elif kind[i] == AS_NOTHING:
            put_32(out, 0xFFFFFFFF)
            put_32(out, 0xFFFFFFFF)
            put_32(out, 0xFFFFFFFF)
        else:
            put_hard(out, hard(i), (count - i) * ROW)
        put_field(out, <uint64_t>(becomes if quality[i] == was else quality[i]))
        put_field(out, <uint64_t>batch)
        put_field(out, <uint64_t>(row + i))
    return 0


cdef inline bint is_plain(int kind, int64_t integer, uint64_t bits) noexcept:
    """Whether the double is the value itself, and prints as it."""
    if kind == AS_DECIMAL:
        return -DIGITS < integer < DIGITS
    if kind == AS_INTEGER:
        return -WHOLE <= integer <= WHOLE
    if kind == AS_UNSIGNED:
        return 0 <= integer <= WHOLE
    if kind == AS_FLOAT:  # finite, and not minus zero (IEEE 754, 3.4)
        return (bits >> 52) & 0x7FF != 0x7FF and bits != <uint64_t>1 << 63
    return kind == AS_BOOL


cdef inline Py_ssize_t search(const int64_t* numbers, Py_ssize_t count, int64_t wanted) noexcept:
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = count
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if numbers[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < count and numbers[low] == wanted else -1


cdef int put_hard(Out* out, found, Py_ssize_t rest) except -1:
    """A value with its texts; `rest` bytes of room are kept for the rows that follow."""
    cdef double number
    cdef uint64_t bits
    value, exact, text = found
    if value is None:
        put_32(out, 0xFFFFFFFF)
    else:
        number = value
        memcpy(&bits, &number, 8)
        put_field(out, bits)
    put_text(out, exact, rest)
    put_text(out, text, rest)
    return 0


cdef int put_text(Out* out, text, Py_ssize_t rest) except -1:
    cdef bytes data
    cdef Py_ssize_t size
    cdef void* larger
    if text is None:
        put_32(out, 0xFFFFFFFF)
        return 0
    data = text
    size = len(data)
    if out.used + size + rest + ROW > out.room:
        larger = PyMem_Realloc(out.bytes, out.used + 2 * size + rest + ROW)
        if larger == NULL:
            raise MemoryError
        out.bytes = <uint8_t*>larger
        out.room = out.used + 2 * size + rest + ROW
    put_32(out, <uint32_t>size)
    memcpy(out.bytes + out.used, <const char*>data, size)
    out.used += size
    return 0


cdef inline void put_head(Out* out) noexcept:
    out.bytes[out.used] = 0
    out.bytes[out.used + 1] = FIELDS
    out.used += 2


cdef inline void put_32(Out* out, uint32_t number) noexcept:
    cdef int i
    for i in range(4):
        out.bytes[out.used + i] = <uint8_t>(number >> (24 - 8 * i))
    out.used += 4


cdef inline void put_field(Out* out, uint64_t number) noexcept:
    cdef int i
    put_32(out, 8)
    for i in range(8):
        out.bytes[out.used + i] = <uint8_t>(number >> (56 - 8 * i))
    out.used += 8
