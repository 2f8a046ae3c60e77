# cython: cdivision=True
"""Values and forms into the range coder, as inline C."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from ext.coder cimport Encoder, put_bits, put_magnitude, put_mixed, put_number, put_symbol, bit_length
from ext.model cimport *
from ext.wire cimport *


cdef inline void put_form(Encoder* e, Batch* b, int kind, int digits, uint32_t scale, const Scale* new) noexcept nogil:
    """A kind and what it asks for; a scale that the batch has not had is written out."""
    put_symbol(e, &b.models[M_KIND], kind)
    if kind == KIND_QUOTIENT or kind == KIND_MIXED or kind == KIND_SINGLE:
        put_symbol(e, &b.models[M_DIGITS], digits)
    elif KIND_INT <= kind <= KIND_FLOAT64:
        put_number(e, &b.models[N_SCALE], scale)
        if <int32_t>scale > b.scale_count:
            put_number(e, &b.models[N_SCALE], new.multiplier)
            put_number(e, &b.models[N_SCALE], new.addend)
            put_number(e, &b.models[N_SCALE], new.exponent)
            b.scale_count += 1


cdef inline void put_token(Encoder* e, Batch* b, Field* f, int symbol) noexcept nogil:
    if f.count:
        put_mixed(e, &b.models[value_context(f)], &f.own, symbol)
    else:
        put_symbol(e, &b.models[M_SECOND], symbol)


cdef inline void put_escape(Encoder* e, Batch* b, Field* f) noexcept nogil:
    """What follows changes the form of the field."""
    if not f.known:
        return
    if f.kind == KIND_TEXT or f.kind == KIND_BYTES or f.kind == KIND_NUMBER:
        put_symbol(e, &b.models[M_SAME], 2)
    else:
        put_token(e, b, f, ESCAPE)
        put_symbol(e, &b.models[N_VALUE], 0)


cdef inline void put_change(Encoder* e, Batch* b, Field* f, int kind, int digits, uint32_t scale, const Scale* new) noexcept nogil:
    put_escape(e, b, f)
    put_form(e, b, kind, digits, scale, new)
    change_form(f, kind, digits, scale)


cdef inline void put_moved(Encoder* e, Batch* b, Field* f, uint64_t value) noexcept nogil:
    """The value right after a change of form."""
    cdef int64_t difference = <int64_t>(value - f.last)
    if not f.known:
        put_number(e, &b.models[N_FIRST], <int64_t>value)
        f.last = value
        f.known = True
        b.beside = 0
        return
    put_number(e, &b.models[N_CHANGE], difference)
    settle(f, difference)
    b.beside = f.difference


cdef inline void put_once(Encoder* e, Batch* b, Field* f, uint64_t bits) noexcept nogil:
    """A binary64 that the field's kind does not say."""
    put_escape(e, b, f)
    put_symbol(e, &b.models[M_KIND], KIND_ONCE)
    put_bits(e, bits, 64)


cdef inline void put_smaller_step(Encoder* e, Batch* b, Field* f, int64_t difference) noexcept nogil:
    put_escape(e, b, f)
    put_symbol(e, &b.models[M_KIND], CHANGE_STEP)
    put_number(e, &b.models[N_CHANGE], difference)
    settle(f, break_step(f, difference))
    b.beside = f.difference


cdef inline void put_surprise(Encoder* e, Batch* b, Field* f, int64_t surprise) noexcept nogil:
    cdef int shift = plain_bits(f.size) if f.count else 0
    cdef int64_t reduced = surprise >> shift
    cdef uint64_t rest = 0
    cdef int bits = 0
    cdef int symbol = token(reduced, &bits, &rest)
    put_token(e, b, f, symbol)
    if symbol == ESCAPE:
        put_number(e, &b.models[N_VALUE], reduced)
    elif bits:
        put_bits(e, rest, bits)
    if shift:
        put_bits(e, <uint64_t>surprise, shift)


cdef inline void put_value(Encoder* e, Batch* b, Field* f, uint64_t value) noexcept nogil:
    """A value in the field's own form."""
    cdef int64_t difference, steps
    cdef Guess g
    if not f.known:
        put_moved(e, b, f, value)
        return
    difference = <int64_t>(value - f.last)
    steps = difference
    if f.step > 1:
        if difference % f.step:
            put_smaller_step(e, b, f, difference)
            return
        steps = difference // f.step
    guess(f, b.beside, &g)
    put_surprise(e, b, f, <int64_t>(<uint64_t>steps - <uint64_t>g.values[g.best]))
    learn(f, steps, b.beside, &g)
    b.beside = f.difference


cdef inline void put_text(Encoder* e, Batch* b, const uint8_t* text, int64_t size) noexcept nogil:
    """Length and bytes, by halves."""
    cdef int before = 0
    cdef int high
    cdef int64_t i
    put_number(e, &b.models[N_LENGTH], size)
    for i in range(size):
        high = text[i] >> 4
        put_symbol(e, &b.models[M_HIGH + before], high)
        put_symbol(e, &b.models[M_LOW + high], text[i] & 15)
        before = high


# Time

cdef inline void put_time(Encoder* e, Batch* b, Shape* s, int64_t boot_ms) noexcept nogil:
    """The time of a record of a known shape, as a surprise."""
    cdef int64_t surprise = boot_ms - expected(s, b.last_ms)
    cdef int shift = plain_bits(s.size) if s.seen > 1 else 0
    cdef int64_t reduced = surprise >> shift
    cdef uint64_t rest = 0
    cdef int bits = 0
    cdef int symbol = token(reduced, &bits, &rest)
    if s.seen > 1:
        put_mixed(e, &b.models[M_TIME + context(s.size)], &s.time, symbol)
    else:
        put_symbol(e, &b.models[M_SECOND_TIME], symbol)
    if symbol == ESCAPE:
        put_number(e, &b.models[N_TIME], reduced)
    elif bits:
        put_bits(e, rest, bits)
    if shift:
        put_bits(e, <uint64_t>surprise, shift)


cdef inline void put_other(Encoder* e, Batch* b, int32_t index) noexcept nogil:
    """Which shape it is, when it is not the expected one."""
    cdef int rank
    if b.shape_count <= RANKED_SHAPES:
        if b.shapes[index].seen == 1:
            put_symbol(e, &b.models[M_RANK], RANK_FRESH)
            put_number(e, &b.models[N_RANK], fresh_distance(b, index))
            b.fresh = index
            return
        rank = rank_of(b, index)
        if rank < RANK_FRESH:
            put_symbol(e, &b.models[M_RANK], rank)
            return
    put_symbol(e, &b.models[M_RANK], RANK_FAR)
    put_number(e, &b.models[N_RANK], index - b.last_shape)
