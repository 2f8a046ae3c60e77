"""Samples on their way out: a list of tuples, or columns in C."""

from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t


cdef struct Arrays:
    uint32_t* series
    int64_t* boot_ms
    uint8_t* quality
    uint8_t* kind
    double* value
    int64_t* integer
    int8_t* exponent
