"""What the unpacker remembers of a batch, in C."""

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef struct Field:
    uint64_t bits
    unsigned int number
    uint8_t kind
    int digits
    Py_ssize_t scale  # place in the list of scales


cdef struct Shape:
    int64_t last_ms
    int64_t step
    int64_t period
    bint begun
    Py_ssize_t first
    int count
