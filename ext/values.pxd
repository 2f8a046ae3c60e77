# cython: cdivision=True
"""Values and forms into the range coder, as inline C."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ext.coder cimport Cdf, Encoder, put_bits, put_magnitude, put_mixed, put_number, put_symbol, bit_length
from ext.floats cimport Form
from ext.model cimport *
from ext.twin cimport First, expect_first, first_bits, first_model, settle_first, take_over
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
    cdef First first
    if not f.known:
        if f.twin >= 0:
            expect_first(b, f, &first)
            put_symbol(e, &b.models[first_model(&first)], ESCAPE)
            put_symbol(e, &b.models[N_TWIN], 0)
        return
    if f.twin >= 0:
        take_over(b, f)
    if f.kind == KIND_TEXT or f.kind == KIND_BYTES or f.kind == KIND_NUMBER:
        put_symbol(e, &b.models[M_SAME], 2)
    else:
        put_token(e, b, f, ESCAPE)
        put_symbol(e, &b.models[N_VALUE], 0)


cdef inline void put_change(Encoder* e, Batch* b, Field* f, int kind, int digits, uint32_t scale, const Scale* new) noexcept nogil:
    put_escape(e, b, f)
    put_form(e, b, kind, digits, scale, new)
    change_form(f, kind, digits, scale)


cdef inline void put_twin(Encoder* e, Batch* b, Field* f, uint64_t value) noexcept nogil:
    """The first value of a field that has a twin."""
    cdef First first
    cdef int64_t surprise
    cdef uint64_t rest
    cdef int symbol, bits
    expect_first(b, f, &first)
    surprise = <int64_t>(value - first.guess)
    symbol = token(surprise >> first_bits(&first), &bits, &rest)
    put_symbol(e, &b.models[first_model(&first)], symbol)
    if symbol == ESCAPE:
        put_number(e, &b.models[N_TWIN], surprise >> first_bits(&first))
    else:
        put_bits(e, rest, bits)
    put_bits(e, <uint64_t>surprise, first_bits(&first))
    settle_first(b, f, &first, surprise)


cdef inline void put_moved(Encoder* e, Batch* b, Field* f, uint64_t value) noexcept nogil:
    """The value right after a change of form."""
    cdef int64_t difference = <int64_t>(value - f.last)
    if not f.known and f.twin >= 0:
        put_twin(e, b, f, value)
        return
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
    if unlikely(f.twin >= 0):
        take_over(b, f)
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


cdef inline void put_float(Encoder* e, Batch* b, Field* f, const Form* form) noexcept nogil:
    """A float in the form found for it."""
    if form.kind == KIND_ONCE:
        put_once(e, b, f, form.bits)
    elif form.kind == f.kind and form.digits == f.digits and f.scale == 0:
        put_value(e, b, f, form.bits)
    else:
        put_change(e, b, f, form.kind, form.digits, 0, NULL)
        put_moved(e, b, f, form.bits)


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


cdef inline int put_quality(Encoder* e, Batch* b, Field* f, int code, int before) noexcept nogil:
    """The code of a sample beside those of the sample before in the record and of the field's last; the code."""
    cdef Cdf* model = &b.models[M_QUALITY + (before != 0) + 2 * (f.code != 0)]
    if code == 0:
        put_symbol(e, model, QUALITY_GOOD)
    elif code == before:
        put_symbol(e, model, QUALITY_BEFORE)
    elif code == f.code:
        put_symbol(e, model, QUALITY_LAST)
    else:
        put_symbol(e, model, QUALITY_OTHER)
        put_bits(e, code, 9)
    f.code = <uint16_t>code
    return code


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
