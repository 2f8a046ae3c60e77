# cython: cdivision=True
"""The shortest exact form of a float, as inline C."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ext.coder cimport POWERS_OF_TEN, WHOLE_POWERS
from ext.model cimport Field, is_decimal, ordered32, ordered64
from ext.plan cimport Usual
from ext.wire cimport (
    KIND_FLOAT32, KIND_FLOAT64, KIND_INT, KIND_MIXED, KIND_NONE, KIND_ONCE, KIND_QUOTIENT, KIND_SINGLE,
    as_bits, widen,
)

cdef enum:
    DIGITS = 9  # ext.limits.MAX_DIGITS
    PROBE = 6  # digits by which a float of all bits is tried for a decimal
    PATIENCE = 3  # floats in a row that may be strangers to their field's kind
    ROUND = 16  # floats in a row that need fewer digits before fewer are used
    LEAP = 2  # more digits than these are first taken for a stranger's
    SINGLE_MOST = 1000000  # a binary32 is nearest to some decimal always; one of six digits is no accident


cdef struct Form:
    int kind
    int digits
    uint64_t bits  # in the kind's order


cdef inline bint fits(double value, int kind, int digits, Form* form) noexcept nogil:
    """Whether the kind says the value with so many digits; -0.0, NaN and the infinities it never says."""
    cdef double power = POWERS_OF_TEN[digits]
    cdef double scaled = value * power
    cdef int64_t whole
    if not -9007199254740992.0 < scaled < 9007199254740992.0:
        return False
    whole = <int64_t>(scaled - 0.5 if scaled < 0 else scaled + 0.5)  # off by one at most where no decimal fits anyway
    form.kind = kind
    form.digits = digits
    form.bits = <uint64_t>whole
    if kind == KIND_SINGLE:
        return -SINGLE_MOST < whole < SINGLE_MOST and as_bits(<double><float>(<double>whole / power)) == as_bits(value)
    if as_bits(<double>whole / power) != as_bits(value):
        return False
    return kind != KIND_MIXED or whole % WHOLE_POWERS[digits] != 0


cdef inline bint shortest(double value, int kind, int first, Form* form) noexcept nogil:
    cdef int digits = first
    while digits <= DIGITS:
        if fits(value, kind, digits, form):
            return True
        digits += 1
    return False


cdef inline bint as_single(double value, Form* form) noexcept nogil:
    """As a binary32, if it is one."""
    cdef float single = <float>value
    cdef uint32_t bits
    memcpy(&bits, &single, 4)
    form.kind = KIND_FLOAT32
    form.digits = 0
    form.bits = ordered32(bits)
    return widen(bits) == as_bits(value)


cdef inline void plain_form(double value, Form* form) noexcept nogil:
    """The shortest form without a past."""
    if shortest(value, KIND_QUOTIENT, 0, form) or shortest(value, KIND_SINGLE, 0, form) or as_single(value, form):
        return
    form.kind = KIND_FLOAT64
    form.digits = 0
    form.bits = ordered64(as_bits(value))


cdef inline void stranger(Field* f, double value, Form* form) noexcept nogil:
    """A form that changes the field's kind, or leaves it alone as long as such values are few."""
    f.strange += 1
    if f.strange <= PATIENCE:
        form.kind = KIND_ONCE
        form.digits = 0
        form.bits = as_bits(value)
    else:
        plain_form(value, form)


cdef inline void decimal_form(Field* f, double value, Form* form) noexcept nogil:
    """The form in a field of decimals."""
    cdef int kind = f.kind
    if kind == KIND_INT:  # integers so far: a float that is one too ends the mixture at once
        kind = KIND_QUOTIENT if fits(value, KIND_QUOTIENT, 0, form) else KIND_MIXED
    if fits(value, kind, f.digits, form):
        f.strange = 0
        f.round = f.round + 1 if f.step == 1 and f.digits and <int64_t>form.bits % 10 == 0 else 0
        if f.round >= ROUND:
            fits(value, kind, f.digits - 1, form)
        return
    f.round = 0
    if kind == KIND_MIXED and fits(value, KIND_QUOTIENT, f.digits, form):
        return
    if shortest(value, kind, f.digits, form) and (form.digits <= f.digits + LEAP or f.strange >= PATIENCE):
        f.strange = 0
        return
    stranger(f, value, form)


cdef inline void float_form(Field* f, double value, Form* form) noexcept nogil:
    """The shortest exact form of a float, preferring the field's own; it may ask for a change of form."""
    if f.kind == KIND_QUOTIENT or f.kind == KIND_MIXED or f.kind == KIND_SINGLE or (f.kind == KIND_INT and f.scale == 0):
        decimal_form(f, value, form)
    elif f.kind == KIND_FLOAT64 or f.kind == KIND_FLOAT32:
        f.round = f.round + 1 if fits(value, KIND_QUOTIENT, PROBE, form) else 0
        if f.round >= ROUND:
            plain_form(value, form)
        elif f.kind == KIND_FLOAT32:
            if as_single(value, form):
                f.strange = 0
            else:
                stranger(f, value, form)
        else:
            form.kind = KIND_FLOAT64
            form.digits = 0
            form.bits = ordered64(as_bits(value))
    else:
        plain_form(value, form)


cdef inline void first_form(Field* f, double value, const Usual* usual, Form* form) noexcept nogil:
    """The form of a field's first float: that of its last batch, if it says the value."""
    f.round = usual.round
    if is_decimal(usual.kind) and fits(value, usual.kind, usual.digits, form):
        return
    if usual.kind == KIND_FLOAT32 and as_single(value, form):
        return
    float_form(f, value, form)
