"""Samples on their way out: a list of tuples, or columns in C."""

from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t

from ext.model cimport Scale

cdef enum:
    POWERS = 22  # powers of ten up to it are doubles
    SMALL = 1073741824  # 2**30: the product of two integers below it is far from 2**63

cdef extern from *:
    """
    #define BIGGEST INT64_C(9007199254740992) /* 2**53: integers below it are doubles */
    """
    const int64_t BIGGEST


cdef struct Arrays:
    uint32_t* series
    int64_t* boot_ms
    uint8_t* quality
    uint8_t* kind
    double* value
    int64_t* integer
    int8_t* exponent


cdef inline bint is_small(const Scale* scale, int64_t whole) noexcept:
    """Whether the scaled number is a double, and the power of ten too."""
    return (
        -SMALL < whole < SMALL
        and -SMALL < scale.multiplier < SMALL
        and -BIGGEST < scale.addend < BIGGEST
        and -BIGGEST < whole * scale.multiplier + scale.addend < BIGGEST
        and -POWERS <= scale.exponent <= POWERS
    ) or (scale.multiplier == 1 and scale.addend == 0 and -BIGGEST < whole < BIGGEST and -POWERS <= scale.exponent <= POWERS)
