"""A scan plan in C: for each point, where it lies and whose it is."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.math cimport isnan

from ext.coder cimport load_big
from ext.series cimport FORM_NONE, Rule, State, judge, number, raw_number
from ext.wire cimport KIND_FLOAT32, KIND_FLOAT64, unlikely

cdef enum:
    GOOD = 0
    BAD = 2
    QUALITY_LIMITS = 1 | 3 << 2
    QUALITY_SENTINEL = 2 | 3 << 2
    QUALITY_FAULT = 2 | 4 << 2
    SENTINELS = 16  # ext.limits.MAX_SENTINELS
    LIKENESS = 2  # points that say of two plans that their devices are of one model: any two plans of one point look alike
    CODING_NONE = 0  # the others in the order of ext.layout.CODINGS
    CODING_BCD = 1
    CODING_M10K = 2
    CODING_SM10K = 3
    CODING_SM = 4


cdef struct Usual:
    uint8_t kind  # KIND_NONE: not known yet
    uint8_t digits
    uint8_t round  # floats in a row that need fewer digits


cdef struct Field:
    uint32_t offset
    uint8_t width
    uint8_t place[8]  # left shift of the byte at each position
    uint8_t words  # of 16 bits where they stand in order, most significant byte first; else 0
    uint8_t kind
    uint8_t form  # the kind, with KIND_SCALED
    uint8_t shift
    uint8_t sign  # bits to shift up and down again for a signed integer; 0 for none
    uint8_t sentinels
    uint8_t coding  # how an integer is written that is no binary number
    uint64_t mask
    uint64_t sentinel[SENTINELS]
    Rule* rule
    State* state
    unsigned int number
    Usual usual  # how the packer wrote its last float: the next batch begins with it


cdef struct Judged:
    uint64_t bits
    uint8_t quality
    bint reported
    bint valued


cdef inline uint64_t load(const Field* field, const uint8_t* payload) noexcept nogil:
    cdef uint64_t raw = 0
    cdef int i
    payload += field.offset
    if field.words == 1:
        raw = <uint64_t>payload[0] << 8 | payload[1]
    elif field.words == 2:
        raw = load_big(payload)
    elif field.words == 4:
        raw = <uint64_t>load_big(payload) << 32 | load_big(payload + 4)
    else:
        for i in range(field.width):
            raw |= <uint64_t>payload[i] << field.place[i]
    return (raw >> field.shift) & field.mask


cdef inline bint decoded(const Field* field, uint64_t* bits) noexcept nogil:
    """Turn the bits of a coded integer into the integer; False where they are none."""
    cdef uint64_t raw = bits[0]
    cdef uint64_t top
    cdef int64_t value = 0
    cdef int64_t word
    cdef int shift = 8 * field.width
    if field.coding == CODING_SM:
        top = <uint64_t>1 << (shift - 1)
        bits[0] = top - raw if raw & top else raw  # modulo 2**64: the negative of the magnitude
        return True
    if field.coding == CODING_BCD:
        while shift:
            shift -= 4
            word = raw >> shift & 0xF
            if word > 9:
                return False
            value = 10 * value + word
    else:
        while shift:
            shift -= 16
            word = raw >> shift & 0xFFFF
            if field.coding == CODING_SM10K and word > 0x7FFF:
                word -= 0x10000
            if not -9999 <= word <= 9999:
                return False
            value = 10000 * value + word
    bits[0] = <uint64_t>value
    return True


cdef inline bint is_sentinel(const Field* field, uint64_t raw) noexcept nogil:
    cdef int i
    for i in range(field.sentinels):
        if field.sentinel[i] == raw:
            return True
    return False


cdef inline int judged_quality(const Field* field, uint64_t raw, int quality) noexcept nogil:
    cdef double value
    if field.kind == KIND_FLOAT32 or field.kind == KIND_FLOAT64:
        if isnan(raw_number(field.kind, raw)):
            return quality if (quality & 3) == BAD else QUALITY_FAULT
    if quality == GOOD and field.rule.limited:
        value = number(field.rule, field.form, raw)
        if value < field.rule.minimum or value > field.rule.maximum:
            return QUALITY_LIMITS
    return quality


cdef inline void judge_field(const Field* field, const uint8_t* payload, int64_t boot_ms, int quality, Judged* out) noexcept nogil:
    """Read, judge and note one point; the scan's own quality stays where nothing worse is found."""
    cdef uint64_t raw = load(field, payload)
    cdef int form = field.form
    if field.sentinels and is_sentinel(field, raw):
        form = FORM_NONE
        if (quality & 3) != BAD:
            quality = QUALITY_SENTINEL
    elif unlikely(field.coding != CODING_NONE) and not decoded(field, &raw):
        form = FORM_NONE
        if (quality & 3) != BAD:
            quality = QUALITY_FAULT
    if field.sign:
        raw = <uint64_t>(<int64_t>(raw << field.sign) >> field.sign)
    if form != FORM_NONE:
        quality = judged_quality(field, raw, quality)
        if unlikely(field.state.counter != NULL) and quality == GOOD:
            quality = field.state.count(field.rule, field.state.counter, form, raw)
    out.bits = raw
    out.quality = <uint8_t>quality
    out.valued = form != FORM_NONE
    out.reported = judge(field.rule, field.state, boot_ms, form, raw if form != FORM_NONE else 0, quality)


cdef inline void fail_field(const Field* field, int64_t boot_ms, int quality, Judged* out) noexcept nogil:
    out.bits = 0
    out.quality = <uint8_t>quality
    out.valued = False
    out.reported = judge(field.rule, field.state, boot_ms, FORM_NONE, 0, quality)


cdef class ScanPlan:
    cdef Field* fields
    cdef Judged* judged  # scratch of the scan at hand
    cdef int count
    cdef int scaled_floats  # fields that are work for a reader
    cdef bint windowed  # whether a point of it has a window
    cdef readonly Py_ssize_t size
    cdef readonly int64_t period
    cdef bytes model  # the same for plans whose values are written alike; None for too few points
    cdef uint64_t batch  # where the packer found this plan last: which batch, which shape
    cdef int shape
    cdef list series  # keeps alive what the fields point into
    cdef int compile(self, Field* field, object layout, object series) except -1


cdef inline int judge_payload(ScanPlan plan, const uint8_t* data, Py_ssize_t size, int64_t boot_ms, int quality) except -1:
    """Judge every field of a response."""
    cdef int i
    if size < plan.size:
        raise ValueError(f"a payload of {size} bytes; the plan needs {plan.size}")
    for i in range(plan.count):
        judge_field(&plan.fields[i], data, boot_ms, quality, &plan.judged[i])
    return 0


cdef inline bint is_float(const Field* point) noexcept nogil:
    """Whether the point's value is the float itself, not a scaled one."""
    return point.form == KIND_FLOAT32 or point.form == KIND_FLOAT64
