"""The shortest exact form of a float, as inline C."""

from libc.math cimport rint
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ext.record cimport Described, plain
from ext.series cimport Series
from ext.wire cimport KIND_FLOAT32, KIND_FLOAT64, KIND_QUOTIENT, as_bits, power_of_ten, widen

cdef enum:
    DIGITS = 9  # ext.limits.MAXDIGITS
    PATIENCE = 16  # floats in a row that need fewer digits before fewer are used


cdef inline bint divides(double value, int digits) noexcept:
    """Whether `value` is the double nearest to an integer over 10**digits; -0.0 is not."""
    cdef double scaled = value * power_of_ten(digits)
    if not -9007199254740992.0 < scaled < 9007199254740992.0:
        return False
    return as_bits(<double><int64_t>rint(scaled) / power_of_ten(digits)) == as_bits(value)


cdef inline int digits_of(Series series, double value) noexcept:
    """How many decimal digits say the value exactly; -1 for none. A series keeps to its number while that serves."""
    cdef int digits = 0
    while digits <= DIGITS and not divides(value, digits):
        digits += 1
    if digits > DIGITS:
        return -1
    if digits > series.digits or series.fewer >= PATIENCE:
        series.digits = digits
        series.fewer = 0
        return digits
    series.fewer = series.fewer + 1 if digits < series.digits else 0
    return series.digits if divides(value, series.digits) else digits


cdef inline uint64_t float_form(Series series, double value, Described* field) noexcept:
    """The shortest exact form of a float: a decimal of few digits, a float32, or all its bits."""
    cdef uint64_t bits = as_bits(value)
    cdef float single
    cdef uint32_t short_bits
    cdef int digits = digits_of(series, value)
    plain(field, KIND_FLOAT64)
    if digits >= 0:
        field.kind = KIND_QUOTIENT
        field.exponent = digits
        return <uint64_t><int64_t>rint(value * power_of_ten(digits))
    single = <float>value
    memcpy(&short_bits, &single, 4)
    if widen(short_bits) == bits:
        field.kind = KIND_FLOAT32
        return short_bits
    return bits
