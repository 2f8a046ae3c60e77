# cython: cdivision=True
"""What a field expects because another shape has one like it, its twin: as inline C."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from ext.coder cimport Cdf
from ext.model cimport (
    M_TWIN, M_TWIN_FIRST, Batch, Field, absolute, clip, context, logarithm, plain_bits, surprise_size,
)
from ext.wire cimport KIND_NONE, KIND_NUMBER, KIND_TEXT


cdef struct First:
    uint64_t value  # of the twin; 0 where that says nothing
    uint64_t guess  # the value that is expected
    int64_t shift  # how far the field before is from its own twin
    int64_t size  # how wrong the guess is expected to be, in sixteenths
    int32_t apart
    int links


cdef inline void field_like(Batch* b, Field* f, int32_t twin, bint behind) noexcept nogil:
    """Give a new field the form of its twin, unless that has none or is no number."""
    cdef const Field* other = &b.fields[twin]
    if other.kind == KIND_NONE or KIND_TEXT <= other.kind <= KIND_NUMBER:
        return
    f.kind = other.kind
    f.digits = other.digits
    f.scale = other.scale
    f.twin = twin
    f.behind = behind


cdef inline bint is_alike(const Field* other, const Field* f) noexcept nogil:
    """Whether the other one has a value, and of the same form."""
    return other.known and other.kind == f.kind and other.digits == f.digits and other.scale == f.scale


cdef inline const Field* twin_of(const Batch* b, const Field* f) noexcept nogil:
    """The twin, if it has a value of the same form; else NULL."""
    return &b.fields[f.twin] if is_alike(&b.fields[f.twin], f) else NULL


cdef inline void expect_first(const Batch* b, const Field* f, First* first) noexcept nogil:
    """What the first value of a field with a twin will be."""
    cdef const Field* other = twin_of(b, f)
    first.value = 0
    first.guess = 0
    first.shift = 0
    first.size = 0
    first.apart = 0
    first.links = 0
    if other == NULL:
        return
    if f.behind and is_alike(f - 1, f) and is_alike(other - 1, f):
        first.shift = <int64_t>(f[-1].last - other[-1].last)
    first.value = other.last
    first.guess = other.last + <uint64_t>(first.shift if other.apart > 0 else 0)
    first.size = other.spread
    first.apart = other.apart
    first.links = other.links


cdef inline int32_t size_of(uint64_t difference) noexcept nogil:
    return logarithm(absolute(<int64_t>difference))


cdef inline int first_model(const First* first) noexcept nogil:
    """The place of its frequencies."""
    return M_TWIN + context(first.size) if first.links else M_TWIN_FIRST


cdef inline int first_bits(const First* first) noexcept nogil:
    """Its plain low bits."""
    return plain_bits(first.size) if first.links else 0


cdef inline void settle_first(Batch* b, Field* f, const First* first, int64_t surprise) noexcept nogil:
    """The first value is known."""
    cdef uint64_t off
    f.last = first.guess + <uint64_t>surprise
    f.known = True
    off = f.last - first.value
    f.apart = first.apart + ((64 * (size_of(off) - size_of(off - <uint64_t>first.shift)) - first.apart) >> 2)
    if first.links:
        f.spread = surprise_size(first.size, surprise, 1 if first.links < 2 else 2)
    else:
        f.spread = 16 * <int64_t>absolute(clip(surprise, 50))
    f.links = <uint8_t>(first.links + (first.links < 255))
    b.beside = 0


cdef inline void take_over(const Batch* b, Field* f) noexcept nogil:
    """Before its second value a field takes over what its twin has learned of differences."""
    cdef const Field* other = twin_of(b, f)
    cdef int i
    f.twin = -1
    if other == NULL or other.count == 0:
        return
    f.step = other.step
    f.common = other.common
    f.difference = other.difference
    f.drift = other.drift
    f.size = other.size
    f.weight = other.weight
    f.count = other.count
    f.changes = other.changes
    f.own = other.own
    for i in range(4):
        f.error[i] = other.error[i]
