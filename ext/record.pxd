"""The parts of a record, as inline C: what a field is declared as, and which samples differ how."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

from ext.plan cimport Field, Judged, ScanPlan
from ext.wire cimport KIND_SCALED, RECORD_PARTIAL, RECORD_QUALITY, RECORD_SAME, WIDE_SHAPE, put_varint


cdef struct Described:
    int kind  # with KIND_SCALED
    int64_t multiplier
    int64_t addend
    int exponent  # of a scale; the digits of a quotient


cdef inline void plain(Described* field, int kind) noexcept:
    """A kind without a scale; beside KIND_SCALED the scale is 1."""
    field.kind = kind
    field.multiplier = 1
    field.addend = 0
    field.exponent = 0


cdef inline void describe(const Field* source, Described* field) noexcept:
    plain(field, source.form)
    if source.form & KIND_SCALED:
        field.multiplier = source.rule.multiplier
        field.addend = source.rule.addend
        field.exponent = source.rule.exponent


cdef inline int flags_of(ScanPlan plan, const uint64_t* last, int reported) noexcept:
    cdef int flags = RECORD_PARTIAL if reported < plan.count else 0
    cdef Judged* one
    cdef int i
    for i in range(plan.count):
        one = &plan.judged[i]
        if not one.reported:
            continue
        if one.quality or not one.valued:
            flags |= RECORD_QUALITY
        if one.valued and one.bits == last[i]:
            flags |= RECORD_SAME
    return flags


cdef inline int code(const Judged* one) noexcept:
    return one.quality << 1 | (not one.valued)


cdef inline uint8_t* put_present(uint8_t* p, ScanPlan plan, int reported) noexcept:
    """Which fields the record has: a mask, or the gaps between them where these are shorter."""
    cdef int size = (plan.count + 7) >> 3
    cdef int last = -1
    cdef int i
    if plan.count > WIDE_SHAPE:
        if reported < size:
            p = put_varint(p, reported)
            for i in range(plan.count):
                if plan.judged[i].reported:
                    p = put_varint(p, i - last - 1)
                    last = i
            return p
        p = put_varint(p, 0)
    memset(p, 0, size)
    for i in range(plan.count):
        if plan.judged[i].reported:
            p[i >> 3] |= <uint8_t>(1 << (i & 7))
    return p + size


cdef inline uint8_t* put_qualities(uint8_t* p, ScanPlan plan) noexcept:
    """One code for all samples of the record, or those that differ from good, by the gaps between their fields."""
    cdef int first = -1
    cdef int last = -1
    cdef int count = 0
    cdef bint uniform = True
    cdef int i
    for i in range(plan.count):
        if plan.judged[i].reported:
            if first < 0:
                first = code(&plan.judged[i])
            uniform = uniform and code(&plan.judged[i]) == first
            count += code(&plan.judged[i]) != 0
    if uniform:
        return put_varint(put_varint(p, 0), first)
    p = put_varint(p, count)
    for i in range(plan.count):
        if plan.judged[i].reported and code(&plan.judged[i]):
            p = put_varint(put_varint(p, i - last - 1), code(&plan.judged[i]))
            last = i
    return p


cdef inline uint8_t* put_changed(uint8_t* p, ScanPlan plan, const uint64_t* last) noexcept:
    """A bit for each sample with a value: whether it differs from its field's last; none for a lone one."""
    cdef int count = 0
    cdef int i
    cdef uint8_t* mask = p
    for i in range(plan.count):
        if plan.judged[i].reported and plan.judged[i].valued:
            if not count & 7:
                mask[count >> 3] = 0
            if plan.judged[i].bits != last[i]:
                mask[count >> 3] |= <uint8_t>(1 << (count & 7))
            count += 1
    return mask if count == 1 else mask + ((count + 7) >> 3)
