"""A series in C: its scale, its limits, its report rule, and what it last said."""

from libc.math cimport fabs, isnan
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ext.counter cimport Counter
from ext.window cimport Window
from ext.wire cimport KIND_BOOL, KIND_FLOAT32, KIND_FLOAT64, KIND_INT, KIND_SCALED, KIND_UINT, as_double, unlikely, widen

cdef enum:
    FORM_NONE = 0  # no value; the others are the kinds of the wire
    FORM_OBJECT = 0x40  # a Python object, kept beside


cdef struct Rule:
    int64_t multiplier
    int64_t addend
    int exponent
    double power  # 10 ** abs(exponent)
    bint scaled
    bint limited
    bint on_change
    double deadband
    double percent
    double minimum
    double maximum
    int64_t min_interval
    int64_t max_interval


cdef struct Said:
    int64_t boot_ms
    uint64_t bits
    uint8_t form
    uint8_t quality
    bint known


# What only some points have is called by pointer, so that it does not swell the path of all others.
ctypedef int (*Count)(const Rule*, Counter*, int form, uint64_t bits) noexcept nogil
ctypedef void (*Gather)(const Rule*, Window*, int64_t boot_ms, int form, uint64_t bits, int quality) noexcept nogil


cdef struct State:
    Said last
    Said reported
    Counter* counter  # NULL where the point is none
    Count count
    Window* window  # NULL where samples are kept as they are
    Gather gather


cdef inline double shifted(const Rule* rule, double value) noexcept nogil:
    """value * 10**exponent; a division where that is the exact one, so that 3 / 10 is 0.3."""
    return value / rule.power if rule.exponent < 0 else value * rule.power


cdef inline double raw_number(int form, uint64_t bits) noexcept nogil:
    cdef int kind = form & 0x0F
    if kind == KIND_INT:
        return <double><int64_t>bits
    if kind == KIND_FLOAT32:
        return as_double(widen(<uint32_t>bits))
    if kind == KIND_FLOAT64:
        return as_double(bits)
    return <double>bits


cdef inline double number(const Rule* rule, int form, uint64_t bits) noexcept nogil:
    """The value in scaled units, to double precision."""
    cdef double raw = raw_number(form, bits)
    if form & KIND_SCALED:
        return shifted(rule, raw * <double>rule.multiplier + <double>rule.addend)
    return raw


cdef inline double distance(const Rule* rule, int form, uint64_t a, uint64_t b) noexcept nogil:
    """How far two values of one form lie apart, in scaled units; integers are subtracted exactly."""
    cdef int kind = form & 0x0F
    cdef double gap
    if kind == KIND_INT:
        gap = <double>(a - b if <int64_t>a > <int64_t>b else b - a)
    elif kind == KIND_UINT:
        gap = <double>(a - b if a > b else b - a)
    else:
        gap = fabs(raw_number(form, a) - raw_number(form, b))
    if form & KIND_SCALED:
        return shifted(rule, gap * fabs(<double>rule.multiplier))
    return gap


cdef inline bint beyond(const Rule* rule, double gap, double last) noexcept nogil:
    """Whether a change leaves the deadband (OPC 10000-4, 7.22.2: strictly more than it); NaN always does."""
    cdef double threshold = rule.deadband
    cdef double relative
    if isnan(gap):
        return True
    if rule.percent > 0:
        relative = rule.percent * fabs(last) / 100.0
        if relative > threshold:
            threshold = relative
    return gap > threshold


cdef inline bint changed(const Rule* rule, const Said* said, int form, uint64_t bits) noexcept nogil:
    if form != said.form:
        return True
    if bits == said.bits or form == FORM_NONE:
        return False
    if (form & 0x0F) == KIND_BOOL or (rule.deadband == 0 and rule.percent == 0):
        return True
    return beyond(rule, distance(rule, form, bits, said.bits), number(rule, form, said.bits))


cdef inline int forced(const Rule* rule, const Said* said, int64_t boot_ms, int form, int quality) noexcept nogil:
    """1: report whatever the value is; 0: do not; -1: the value decides. A change of quality is never held back."""
    cdef int64_t elapsed
    if not said.known or said.quality != quality or (said.form == FORM_NONE) != (form == FORM_NONE):
        return 1
    elapsed = boot_ms - said.boot_ms
    if rule.max_interval and elapsed >= rule.max_interval:
        return 1
    if 0 <= elapsed < rule.min_interval:
        return 0
    return -1 if rule.on_change else 1


cdef inline bint judge(const Rule* rule, State* state, int64_t boot_ms, int form, uint64_t bits, int quality) noexcept nogil:
    """Take note of a sample and say whether it is reported; it is taken as reported then. In a window none is."""
    cdef int verdict
    if unlikely(state.window != NULL):
        note(&state.last, boot_ms, form, bits, quality)
        state.gather(rule, state.window, boot_ms, form, bits, quality)
        return False
    verdict = forced(rule, &state.reported, boot_ms, form, quality)
    if verdict < 0:
        verdict = changed(rule, &state.reported, form, bits)
    note(&state.last, boot_ms, form, bits, quality)
    if verdict:
        state.reported = state.last
    return verdict


cdef inline void note(Said* said, int64_t boot_ms, int form, uint64_t bits, int quality) noexcept nogil:
    said.boot_ms = boot_ms
    said.bits = bits
    said.form = <uint8_t>form
    said.quality = <uint8_t>quality
    said.known = True


cdef class Series:
    cdef readonly unsigned int number
    cdef Rule rule
    cdef State state
    cdef tuple sentinels
    cdef object last_object
    cdef object reported_object
    cdef object least_object
    cdef object most_object
    cdef tuple aggregates  # the series of a window's minimum, mean, maximum and count; None for one that is not kept
    # Where the packer found this series last: which batch, which shape.
    cdef uint64_t batch
    cdef int shape
    cdef bint judge_object(self, int64_t boot_ms, object value, int quality) except -1
    cdef int set_scale(self, object multiplier, object addend, object exponent) except -1
    cdef int set_limits(self, object sentinels, object minimum, object maximum) except -1
    cdef int set_rule(self, object on_change, object deadband, object percent, object min_interval, object max_interval) except -1
    cdef int set_counter(self, object rollover, object max_step) except -1
    cdef int set_window(self, object length, object aggregates) except -1
    cdef int counted_object(self, object value, int quality) except -1
    cdef int gather_object(self, int64_t boot_ms, object value, int quality) except -1
    cdef list take_window(self)
    cdef object value_of(self, int form, uint64_t bits, object beside)
    cdef object scaled(self, object raw, object how)
    cdef bint object_changed(self, object value) except -1
    cdef int judged_quality(self, object value, int quality) except? -1
