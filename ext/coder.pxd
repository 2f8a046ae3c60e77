# cython: cdivision=True
"""The range coder and its adaptive frequencies: symbols of sixteen, plain bits, and numbers, as inline C."""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "cdf.h" nogil:
    ctypedef struct Cdf:
        int16_t c[16]
        uint8_t seen
        uint8_t rate

    void cdf_reset(Cdf* cdf) noexcept
    void cdf_expect(Cdf* cdf, int context) noexcept
    void cdf_learn(Cdf* cdf, int symbol) noexcept
    void cdf_mean(const Cdf* a, const Cdf* b, int16_t* mean) noexcept
    int cdf_find(const int16_t* c, int value) noexcept
    int bit_length(uint64_t value) noexcept
    int top_bits(uint64_t value, int count) noexcept
    uint32_t load_big(const uint8_t* p) noexcept
    void store_big(uint8_t* p, uint32_t value) noexcept
    const double POWERS_OF_TEN[23]
    const int64_t WHOLE_POWERS[10]


cdef enum:
    TOTAL = 32768  # the frequencies of a Cdf sum to it
    TOTAL_BITS = 15
    TRUSTED = 3  # symbols after which a field's own frequencies count beside the shared ones
    CHUNK = 16  # plain bits coded at once
    TAIL = 4  # bytes at most that end a block
    WORD = 4  # bytes moved at once, as a loop over them is hard to foresee


cdef struct Encoder:
    uint8_t* p
    uint32_t low
    uint32_t range


cdef struct Decoder:
    const uint8_t* p  # the next byte; beyond `end` zeros follow
    const uint8_t* end
    uint32_t code
    uint32_t range
    bint cut  # more was read than the block holds


# Encoding


cdef inline void encoder_start(Encoder* e, uint8_t* p) noexcept nogil:
    e.p = p
    e.low = 0
    e.range = 0xFFFFFFFF


cdef inline void carry(uint8_t* p) noexcept nogil:
    p -= 1
    while p[0] == 0xFF:
        p[0] = 0
        p -= 1
    p[0] += 1


cdef inline void put_share(Encoder* e, uint32_t start, uint32_t width) noexcept nogil:
    """Narrow the range to [start, start + width) of it, both already in its units; writes WORD bytes, of which it keeps some."""
    cdef int done
    e.low += start
    if e.low < start:
        carry(e.p)
    store_big(e.p, e.low)
    done = (32 - bit_length(width)) & ~7
    e.p += done >> 3
    e.low <<= done
    e.range = width << done


cdef inline void put_by(Encoder* e, const int16_t* c, int symbol) noexcept nogil:
    cdef uint32_t unit = e.range >> TOTAL_BITS
    cdef uint32_t start = <uint32_t>c[symbol]
    cdef uint32_t stop = TOTAL if symbol == 15 else <uint32_t>c[symbol + 1]
    put_share(e, unit * start, unit * (stop - start))


cdef inline void put_symbol(Encoder* e, Cdf* cdf, int symbol) noexcept nogil:
    put_by(e, cdf.c, symbol)
    cdf_learn(cdf, symbol)


cdef inline void put_mixed(Encoder* e, Cdf* shared, Cdf* own, int symbol) noexcept nogil:
    """A symbol by the shared frequencies, and by the own ones too once they know something; both learn."""
    cdef int16_t[16] mean
    if own.seen < TRUSTED:
        put_by(e, shared.c, symbol)
    else:
        cdf_mean(shared, own, mean)
        put_by(e, mean, symbol)
    cdf_learn(shared, symbol)
    cdf_learn(own, symbol)


cdef inline void put_bits(Encoder* e, uint64_t value, int count) noexcept nogil:
    """The low `count` bits of a value, the highest sixteen first."""
    cdef int part
    while count > 0:
        part = count % CHUNK if count % CHUNK else CHUNK
        count -= part
        put_share(e, (e.range >> part) * <uint32_t>(value >> count & ((1 << part) - 1)), e.range >> part)


cdef inline void put_magnitude(Encoder* e, Cdf* pair, int64_t value) noexcept nogil:
    """A number without its first symbol, which is the length of it divided by four."""
    cdef uint64_t magnitude = <uint64_t>(value ^ (value >> 63))
    cdef int length = bit_length(magnitude)
    put_symbol(e, pair + 1, (4 if value < 0 else 0) + (length & 3))
    put_bits(e, magnitude, length - 1)


cdef inline void put_number(Encoder* e, Cdf* pair, int64_t value) noexcept nogil:
    put_symbol(e, pair, bit_length(<uint64_t>(value ^ (value >> 63))) >> 2)
    put_magnitude(e, pair, value)


cdef inline void encoder_end(Encoder* e) noexcept nogil:
    """The fewest bytes that name a number in the range."""
    cdef uint64_t last = <uint64_t>e.low + e.range - 1
    cdef uint64_t mask, value
    cdef int count = 0
    while True:
        mask = (<uint64_t>1 << (32 - 8 * count)) - 1
        value = (e.low + mask) & ~mask
        if value <= last:
            break
        count += 1
    if value >> 32:
        carry(e.p)
    while count > 0:
        e.p[0] = <uint8_t>(value >> 24)
        e.p += 1
        value <<= 8
        count -= 1


# Decoding


cdef inline uint8_t next_byte(Decoder* d) noexcept nogil:
    d.p += 1
    return d.p[-1] if d.p <= d.end else 0


cdef inline void decoder_start(Decoder* d, const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef int i
    d.p = p
    d.end = end
    d.code = 0
    d.range = 0xFFFFFFFF
    d.cut = False
    for i in range(4):
        d.code = d.code << 8 | next_byte(d)


cdef inline void take_share(Decoder* d, uint32_t start, uint32_t width) noexcept nogil:
    cdef int done
    d.code -= start
    done = (32 - bit_length(width)) & ~7
    if d.end - d.p >= WORD:
        d.code = <uint32_t>((<uint64_t>d.code << 32 | load_big(d.p)) >> (32 - done))
        d.p += done >> 3
        d.range = width << done
        return
    d.range = width
    while d.range < 1 << 24:
        d.code = d.code << 8 | next_byte(d)
        d.range <<= 8
    if d.p - TAIL > d.end:
        d.cut = True
        d.p = d.end + TAIL


cdef inline int get_by(Decoder* d, const int16_t* c) noexcept nogil:
    cdef uint32_t unit = d.range >> TOTAL_BITS
    cdef uint32_t value = d.code // unit
    cdef int symbol = cdf_find(c, <int>value if value < TOTAL else TOTAL - 1)
    cdef uint32_t start = <uint32_t>c[symbol]
    cdef uint32_t stop = TOTAL if symbol == 15 else <uint32_t>c[symbol + 1]
    take_share(d, unit * start, unit * (stop - start))
    return symbol


cdef inline int get_symbol(Decoder* d, Cdf* cdf) noexcept nogil:
    cdef int symbol = get_by(d, cdf.c)
    cdf_learn(cdf, symbol)
    return symbol


cdef inline int get_mixed(Decoder* d, Cdf* shared, Cdf* own) noexcept nogil:
    cdef int16_t[16] mean
    cdef int symbol
    if own.seen < TRUSTED:
        symbol = get_by(d, shared.c)
    else:
        cdf_mean(shared, own, mean)
        symbol = get_by(d, mean)
    cdf_learn(shared, symbol)
    cdf_learn(own, symbol)
    return symbol


cdef inline uint64_t get_bits(Decoder* d, int count) noexcept nogil:
    cdef uint64_t value = 0
    cdef uint32_t unit, part_value
    cdef int part
    while count > 0:
        part = count % CHUNK if count % CHUNK else CHUNK
        count -= part
        unit = d.range >> part
        part_value = d.code // unit
        if part_value >> part:
            part_value = (1 << part) - 1
        take_share(d, unit * part_value, unit)
        value = value << part | part_value
    return value


cdef inline int64_t get_magnitude(Decoder* d, Cdf* pair, int quarter) noexcept nogil:
    """The rest of a number whose first symbol is known."""
    cdef int second = get_symbol(d, pair + 1) & 7
    cdef int length = 4 * quarter + (second & 3)
    cdef uint64_t magnitude = 0
    if length:
        magnitude = <uint64_t>1 << (length - 1) | get_bits(d, length - 1)
    return <int64_t>(~magnitude if second & 4 else magnitude)


cdef inline int64_t get_number(Decoder* d, Cdf* pair) noexcept nogil:
    return get_magnitude(d, pair, get_symbol(d, pair))
