"""The integers and floats of the wire, as inline C."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    KIND_AS_BEFORE = 0
    KIND_INT = 1
    KIND_UINT = 2
    KIND_FLOAT32 = 3
    KIND_FLOAT64 = 4
    KIND_BOOL = 5
    KIND_TEXT = 6
    KIND_BYTES = 7
    KIND_NUMBER = 8
    KIND_NONE = 9
    KIND_QUOTIENT = 10
    KIND_SCALED = 0x10  # flag beside INT, UINT, FLOAT32, FLOAT64

    RECORD_PARTIAL = 1
    RECORD_QUALITY = 2
    RECORD_SAME = 4
    RECORD_SHIFT = 3

    WIDE_SHAPE = 8  # a shape of more fields names the present ones by a count first

    VARINT_BYTES = 10


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int64_t unzigzag(uint64_t value) noexcept nogil:
    return <int64_t>((value >> 1) ^ (~(value & 1) + 1))


cdef inline uint8_t* put_varint(uint8_t* p, uint64_t value) noexcept nogil:
    while value >= 0x80:
        p[0] = <uint8_t>(value | 0x80)
        p += 1
        value >>= 7
    p[0] = <uint8_t>value
    return p + 1


cdef inline uint8_t* put_signed(uint8_t* p, int64_t value) noexcept nogil:
    return put_varint(p, zigzag(value))


cdef inline uint8_t* put_xor(uint8_t* p, uint64_t value) noexcept nogil:
    """The significant bytes of `value`, low first, after their count (high nibble) and the zero bytes below (low nibble)."""
    cdef int below = 0
    cdef uint8_t* head = p
    p += 1
    if value:
        while not (value & 0xFF):
            value >>= 8
            below += 1
    while value:
        p[0] = <uint8_t>value
        value >>= 8
        p += 1
    head[0] = <uint8_t>((p - head - 1) << 4 | below)
    return p


cdef inline int varint_size(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


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


cdef inline double power_of_ten(int digits) noexcept nogil:
    """10**digits, exactly, for 0 to 22 digits."""
    cdef double power = 1.0
    while digits > 0:
        power *= 10.0
        digits -= 1
    return power
