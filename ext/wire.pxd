"""The kinds of values, and floats and their bits, as inline C."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    KIND_NONE = 0  # no value yet; in a change of form: another step
    KIND_INT = 1
    KIND_UINT = 2
    KIND_FLOAT32 = 3
    KIND_FLOAT64 = 4
    KIND_BOOL = 5
    KIND_TEXT = 6
    KIND_BYTES = 7
    KIND_NUMBER = 8
    KIND_ONCE = 9  # in a change of form only: one binary64 that leaves the state alone
    KIND_QUOTIENT = 10  # binary64 nearest to an integer over a power of ten
    KIND_MIXED = 11  # the same, and a whole number is an integer
    KIND_SINGLE = 12  # the binary32 nearest to that, given out as binary64
    KINDS = 13
    KIND_SCALED = 0x10  # flag beside INT, UINT, FLOAT32, FLOAT64 in the form of a judged value


cdef extern from *:
    bint unlikely(bint) noexcept nogil  # Cython's own macro: keeps what few points have out of the way of all others


cdef inline uint64_t widen(uint32_t bits) noexcept nogil:
    """A float32's bits as those of the equal double; a NaN keeps sign and payload, quiet or not."""
    cdef float single
    cdef double wide
    cdef uint64_t result
    if (bits & 0x7F800000) == 0x7F800000 and bits & 0x7FFFFF:
        return <uint64_t>(bits >> 31) << 63 | <uint64_t>0x7FF << 52 | <uint64_t>(bits & 0x7FFFFF) << 29
    memcpy(&single, &bits, 4)
    wide = single
    memcpy(&result, &wide, 8)
    return result


cdef inline double as_double(uint64_t bits) noexcept nogil:
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef inline uint64_t as_bits(double value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return bits


cdef inline bint is_integer(int form) noexcept nogil:
    cdef int kind = form & 0x0F
    return kind == KIND_INT or kind == KIND_UINT


cdef inline bint is_negative(int form, uint64_t bits) noexcept nogil:
    """Whether an integer is below zero."""
    return (form & 0x0F) == KIND_INT and <int64_t>bits < 0
