# cython: cdivision=True
"""Surprises out of the range coder, as inline C: the counterpart of values.pxd."""

from libc.stdint cimport int64_t, uint64_t

from ext.coder cimport Decoder, get_bits, get_magnitude, get_mixed, get_number, get_symbol
from ext.model cimport *
from ext.twin cimport First, expect_first, first_bits, first_model, settle_first


cdef inline int64_t get_time(Decoder* d, Batch* b, Shape* s) noexcept nogil:
    """How far a record's time is from the expected one."""
    cdef int shift = plain_bits(s.size) if s.seen > 1 else 0
    cdef int symbol
    cdef int64_t reduced
    if s.seen > 1:
        symbol = get_mixed(d, &b.models[M_TIME + context(s.size)], &s.time)
    else:
        symbol = get_symbol(d, &b.models[M_SECOND_TIME])
    if symbol == ESCAPE:
        reduced = get_number(d, &b.models[N_TIME])
    else:
        reduced = from_token(symbol, <int64_t>get_bits(d, token_bits(symbol)))
    reduced = clip(reduced, 60 - shift)
    return <int64_t>(<uint64_t>reduced << shift | get_bits(d, shift))


cdef inline bint get_twin(Decoder* d, Batch* b, Field* f) noexcept nogil:
    """The first value of a field that has a twin; False when a change of form follows in its place."""
    cdef First first
    cdef int64_t reduced
    cdef int symbol, shift
    expect_first(b, f, &first)
    shift = first_bits(&first)
    symbol = get_symbol(d, &b.models[first_model(&first)])
    if symbol == ESCAPE:
        symbol = get_symbol(d, &b.models[N_TWIN])
        if symbol == 0:
            return False
        reduced = get_magnitude(d, &b.models[N_TWIN], symbol)
    else:
        reduced = from_token(symbol, <int64_t>get_bits(d, token_bits(symbol)))
    settle_first(b, f, &first, <int64_t>(<uint64_t>reduced << shift | get_bits(d, shift)))
    return True


cdef inline void move(Decoder* d, Batch* b, Field* f, int64_t reduced) noexcept nogil:
    """Move a value by a surprise that lacks its plain bits."""
    cdef int shift = plain_bits(f.size) if f.count else 0
    cdef uint64_t surprise = <uint64_t>reduced << shift | get_bits(d, shift)
    cdef Guess g
    guess(f, b.beside, &g)
    learn(f, <int64_t>(surprise + <uint64_t>g.values[g.best]), b.beside, &g)
    b.beside = f.difference
