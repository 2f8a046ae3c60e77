# cython: cdivision=True
"""What packer and unpacker both remember of a batch and expect of its next sample: integers only, as inline C."""

from cpython.mem cimport PyMem_Realloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ext.coder cimport Cdf, WHOLE_POWERS, bit_length, cdf_expect, cdf_reset, top_bits
from ext.wire cimport KIND_INT, KIND_MIXED, KIND_NONE, KIND_QUOTIENT, KIND_SINGLE

cdef enum:
    CHANGE_STEP = 0

    HEAD_EXACT = 0  # the expected shape at the expected time
    HEAD_NEXT = 1  # the expected shape; the time follows
    HEAD_NEXT_FLAGS = 2  # ... and flags
    HEAD_OTHER = 3
    HEAD_OTHER_FLAGS = 4
    HEAD_NEW = 5
    HEAD_NEW_FLAGS = 6
    HEAD_END = 7
    HEAD_LIKE = 8  # a new shape like one there is
    HEAD_LIKE_FLAGS = 9

    FLAG_PARTIAL = 1
    FLAG_QUALITY = 2

    QUALITY_GOOD = 0
    QUALITY_BEFORE = 1  # that of the sample before in this record
    QUALITY_LAST = 2  # that of the field's last sample
    QUALITY_OTHER = 3

    ESCAPE = 15
    RANK_FRESH = 14  # a shape seen once
    RANK_FAR = 15
    RANKED_SHAPES = 256  # of a batch with more no order is sought: it takes a look at each
    CLUSTER = 8  # shapes whose earliest is kept, so that most of them need no look
    CLUSTERS = 32

    CONTEXTS = 17  # sizes of surprise, in half powers of two
    GUESSES = 4
    STEP_AFTER = 8  # differences that make a step known
    CLIP_BITS = 40  # differences are clipped to it where they predict others
    PERIOD_CLIP = 256  # sixteenths of a ms that one late scan moves the grid's estimate by, at most

    # Places of the shared frequencies
    M_HEAD = 0
    M_RANK = 1
    M_FLAGS = 2
    M_QUALITY = 3  # four: the sample before had a quality + 2 * the field's last had one
    M_SECOND = 7  # the second value of a field
    M_VALUE = 8
    M_SECOND_TIME = 25
    M_TIME = 26
    M_KIND = 43
    M_DIGITS = 44
    M_SAME = 45  # whether a text is the last one
    M_HIGH = 46  # high half of a byte of text, by the high half before
    M_LOW = 62  # low half, by the high half
    N_VALUE = 78  # numbers take two places each
    N_FIRST = 80
    N_CHANGE = 82
    N_TIME = 84
    N_FIRST_TIME = 86
    N_RANK = 88
    N_SHAPE = 90
    N_SERIES = 92
    N_SCALE = 94
    N_LENGTH = 96
    M_TWIN = 98  # a first value beside that of the twin
    M_TWIN_FIRST = 115
    N_TWIN = 116
    N_LIKE = 118
    MODELS = 120


cdef extern from *:
    """
    #ifdef LAMPPOST_TIGHT /* tests/fuzz: hardly any room to spare, so that one byte too far is seen */
    #define MORE_ROOM(room) ((room) + ((room) >> 6))
    #else
    #define MORE_ROOM(room) (2 * (room) + 16)
    #endif
    """
    const int64_t LATER "INT64_MAX"
    int64_t MORE_ROOM(int64_t room) noexcept nogil


cdef struct Scale:
    int64_t multiplier
    int64_t addend
    int exponent


cdef struct Field:
    uint64_t last  # the bits of the last value, in order of size
    int64_t step  # differences are multiples of it; 0: not known yet
    uint64_t common  # greatest common divisor of the differences so far
    int64_t difference  # the last, in steps
    int64_t drift  # mean difference, in 256ths
    int64_t size  # mean absolute surprise, in sixteenths
    int32_t[GUESSES] error  # how wrong each guess was, in logarithms
    int32_t weight  # of the sample before, in 4096ths
    uint32_t number
    int32_t twin  # the place of the field that it is like; -1: none, or no more
    uint32_t scale  # 0: none
    uint16_t code  # quality of the last sample, doubled, + 1 without value
    uint8_t kind
    uint8_t digits
    uint8_t count  # values seen, up to 255
    uint8_t changes  # differences other than 0, up to STEP_AFTER
    uint8_t strange  # packer only: floats in a row that the kind does not fit
    uint8_t round  # packer only: floats in a row that need fewer digits
    bint known
    Cdf own
    int64_t spread  # mean absolute surprise of the first values in its line of twins, in sixteenths
    int32_t apart  # how much better the second guess of first values was in its line, in logarithms
    uint8_t links  # first values guessed so in its line, up to 255
    bint behind  # it is not the first field of its shape


cdef struct Shape:
    int64_t last_ms
    int64_t period  # as declared, in ms
    int64_t before  # times and intervals in sixteenths of a ms from here: the last time
    int64_t phase  # where the grid is thought to have been last
    int64_t interval
    int64_t spread  # the difference of the last two times
    int64_t gap  # usual interval since the record before, of whatever shape
    int64_t size
    int32_t[2] error
    int32_t count  # fields
    int32_t first  # the place of the first
    int32_t groups  # the place of its presence frequencies; -1: none yet
    int32_t successor  # the shape after it, the last time; -1: unknown
    uint8_t seen  # records, up to 255
    uint8_t steady  # records since the grid was found
    bint missed  # the last gap was unusual
    Cdf head
    Cdf time


cdef struct Guess:
    int64_t[GUESSES] values
    int best


# Numbers

cdef inline int64_t clip(int64_t value, int bits) noexcept nogil:
    cdef int64_t most = <int64_t>1 << bits
    return most if value > most else -most if value < -most else value


cdef inline uint64_t absolute(int64_t value) noexcept nogil:
    return <uint64_t>0 - <uint64_t>value if value < 0 else <uint64_t>value


cdef inline int context(int64_t size) noexcept nogil:
    """The frequencies to use for a surprise expected to be of that size."""
    cdef int bits = bit_length(<uint64_t>size)
    cdef int half = top_bits(<uint64_t>size, 2) & 1
    return 2 * (bits if bits < 8 else 8) - 1 + half + (bits == 0)


cdef inline int plain_bits(int64_t size) noexcept nogil:
    """Low bits of a surprise that are written plainly."""
    cdef int bits = bit_length(<uint64_t>size)
    return bits - 6 if bits > 6 else 0


cdef inline int32_t logarithm(uint64_t value) noexcept nogil:
    """Sixteenths of the binary logarithm, about; 0 for 0."""
    return 16 * bit_length(value) + (top_bits(value, 5) & 15)


cdef inline int64_t surprise_size(int64_t size, int64_t surprise, int shift) noexcept nogil:
    """The mean absolute surprise after one more; a single one moves it by no more than four times."""
    cdef int64_t now = 16 * <int64_t>absolute(clip(surprise, 50))
    cdef int64_t most = 4 * size + 64
    return size + (((most if now > most else now) - size) >> shift)


cdef inline int token(int64_t s, int* bits, uint64_t* rest) noexcept nogil:
    """The symbol of a surprise, and the plain bits that finish it."""
    bits[0] = 0
    rest[0] = 0
    if -5 <= s <= 5:
        return <int>s + 5
    if -25 <= s <= 25:
        if 6 <= s <= 9:
            bits[0] = 2
            rest[0] = <uint64_t>(s - 6)
            return 11
        if -9 <= s <= -6:
            bits[0] = 2
            rest[0] = <uint64_t>(-6 - s)
            return 12
        bits[0] = 4
        if s > 0:
            rest[0] = <uint64_t>(s - 10)
            return 13
        rest[0] = <uint64_t>(-10 - s)
        return 14
    return ESCAPE


cdef inline int token_bits(int symbol) noexcept nogil:
    return 2 * ((symbol >= 11) + (symbol >= 13))


cdef inline int64_t from_token(int symbol, int64_t rest) noexcept nogil:
    if symbol < 11:
        return symbol - 5
    if symbol == 11:
        return 6 + rest
    if symbol == 12:
        return -6 - rest
    return 10 + rest if symbol == 13 else -10 - rest


# Floats as integers in the same order

cdef inline uint64_t ordered64(uint64_t bits) noexcept nogil:
    return bits ^ (<uint64_t>(<int64_t>bits >> 63) >> 1)


cdef inline uint64_t ordered32(uint32_t bits) noexcept nogil:
    """As a signed number of 64 bits."""
    cdef int32_t value = <int32_t>(bits ^ (<uint32_t>(<int32_t>bits >> 31) >> 1))
    return <uint64_t><int64_t>value


cdef inline uint32_t unordered32(uint64_t value) noexcept nogil:
    cdef uint32_t bits = <uint32_t>value
    return bits ^ (<uint32_t>(<int32_t>bits >> 31) >> 1)


# Values

cdef inline void forget_values(Field* f) noexcept nogil:
    """As if the field had never had a value."""
    cdef int i
    f.last = 0
    f.step = 0
    f.common = 0
    f.difference = 0
    f.drift = 0
    f.size = 0
    f.weight = 0
    f.count = 0
    f.changes = 0
    f.strange = 0
    f.round = 0
    f.known = False
    for i in range(GUESSES):
        f.error[i] = 0


cdef inline void field_start(Field* f, uint32_t number) noexcept nogil:
    f.number = number
    f.kind = KIND_NONE
    f.digits = 0
    f.scale = 0
    f.code = 0
    f.twin = -1
    f.behind = False
    f.apart = 0
    f.links = 0
    f.spread = 0
    cdf_reset(&f.own)
    forget_values(f)


cdef inline void guess(const Field* f, int64_t beside, Guess* g) noexcept nogil:
    """Four guesses of the next difference; the best is the one that was least wrong lately."""
    cdef int i
    cdef int32_t best, error
    g.values[0] = 0
    g.values[1] = f.difference
    g.values[2] = f.drift >> 8
    g.values[3] = beside * f.weight >> 12
    best = GUESSES * f.error[0]
    for i in range(1, GUESSES):
        error = GUESSES * f.error[i] + i  # so that the least is the first one of equals
        best = error if error < best else best
    g.best = best & (GUESSES - 1)


cdef inline void learn_weight(Field* f, int64_t difference, int64_t beside, int64_t guessed) noexcept nogil:
    """Move the weight so that `beside` would have said more of the difference."""
    cdef int64_t move = clip(((difference - guessed) * 4096) >> bit_length(absolute(beside)), 13) >> 4
    f.weight = <int32_t>clip(f.weight + (move if beside > 0 else -move), 17)


cdef inline void settle(Field* f, int64_t steps) noexcept nogil:
    """The value is now `steps` steps further."""
    f.last += <uint64_t>steps * <uint64_t>(f.step if f.step > 1 else 1)
    f.difference = clip(steps, CLIP_BITS)
    if f.count < 255:
        f.count += 1


cdef inline void learn(Field* f, int64_t steps, int64_t beside, const Guess* g) noexcept nogil:
    """Take note of a difference that was coded as a surprise."""
    cdef int64_t difference = clip(steps, CLIP_BITS)
    cdef int64_t surprise = <int64_t>(<uint64_t>steps - <uint64_t>g.values[g.best])
    cdef int i
    for i in range(GUESSES):
        f.error[i] += (64 * logarithm(absolute(<int64_t>(<uint64_t>steps - <uint64_t>g.values[i]))) - f.error[i]) >> 5
    if beside:
        learn_weight(f, difference, beside, g.values[3])
    if f.count == 0:
        f.size = 16 * <int64_t>absolute(clip(surprise, 50))
    else:
        f.size = surprise_size(f.size, surprise, 1 if f.count < 2 else 2)
    f.drift += (256 * difference - f.drift) >> 5
    settle(f, steps)
    if f.step == 0 and steps:
        learn_step(f, absolute(steps))


cdef inline uint64_t divisor(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t rest
    while b:
        rest = a % b
        a = b
        b = rest
    return a


cdef inline void learn_step(Field* f, uint64_t difference) noexcept nogil:
    """After STEP_AFTER differences their greatest common divisor is the step, and all is counted in it."""
    f.common = divisor(difference, f.common)
    f.changes += 1
    if f.common == 1:
        f.step = 1
    elif f.changes >= STEP_AFTER:
        if f.common >> CLIP_BITS:
            f.step = 1
            return
        f.step = <int64_t>f.common
        f.difference = f.difference // f.step
        f.drift = f.drift // f.step
        f.size = f.size // f.step


cdef inline int64_t times(int64_t value, int64_t by, int bits) noexcept nogil:
    """The product with a positive number, clipped."""
    cdef int64_t most = (<int64_t>1 << bits) // by
    return <int64_t>1 << bits if value > most else -(<int64_t>1 << bits) if value < -most else value * by


cdef inline void magnify(Field* f, int64_t by) noexcept nogil:
    """Count in a unit that is smaller by that factor."""
    f.difference = times(f.difference, by, CLIP_BITS)
    f.drift = times(f.drift, by, CLIP_BITS + 8)
    f.size = times(f.size, by, CLIP_BITS + 14)


cdef inline int64_t break_step(Field* f, int64_t difference) noexcept nogil:
    """A smaller step, of which the difference is a multiple; the multiple."""
    cdef int64_t step = <int64_t>divisor(absolute(difference), <uint64_t>f.step)
    magnify(f, f.step // step)
    f.step = step
    return difference // step


cdef inline bint is_decimal(int kind) noexcept nogil:
    return kind == KIND_INT or kind == KIND_QUOTIENT or kind == KIND_MIXED or kind == KIND_SINGLE


cdef inline void change_form(Field* f, int kind, int digits, uint32_t scale) noexcept nogil:
    """What is known of a decimal stays where it gets no fewer digits; else all is forgotten."""
    cdef int64_t power
    if is_decimal(f.kind) and is_decimal(kind) and digits >= f.digits and scale == 0 and f.scale == 0:
        power = WHOLE_POWERS[digits - f.digits]
        if f.step > 1:
            magnify(f, f.step)
        f.step = 0
        f.common = 0
        f.changes = 0
        magnify(f, power)
        f.last *= <uint64_t>power
    else:
        forget_values(f)
    f.twin = -1
    f.kind = <uint8_t>kind
    f.digits = <uint8_t>digits
    f.scale = scale


# Time

cdef inline void shape_start(Shape* s, int64_t period, int count, int first) noexcept nogil:
    s.last_ms = 0
    s.before = 0
    s.phase = 0
    s.period = period
    s.interval = 16 * period
    s.spread = 0
    s.gap = 0
    s.size = 0
    s.error[0] = 0
    s.error[1] = 0
    s.count = count
    s.first = first
    s.groups = -1
    s.successor = -1
    s.seen = 0
    s.steady = 0
    s.missed = False
    cdf_reset(&s.head)
    cdf_reset(&s.time)


cdef inline int64_t due(const Shape* s) noexcept nogil:
    """When the shape's next record is expected by its own grid, in sixteenths of a ms."""
    return s.phase + s.interval


cdef inline bint is_on_grid(const Shape* s) noexcept nogil:
    """Whether the shape's own grid says more of its next time than the usual interval since the record before."""
    return ((s.seen > 1) & (s.error[1] < s.error[0])) | ((s.seen == 1) & (s.interval != 0))


cdef inline int64_t expected(const Shape* s, int64_t record_ms) noexcept nogil:
    """The likeliest time of the shape's next record; `record_ms` is that of the record before, of whatever shape."""
    cdef int64_t by_grid = (due(s) + 8) >> 4
    cdef int64_t by_gap = record_ms + (s.gap >> 4)
    return by_grid if is_on_grid(s) else by_gap


cdef inline void learn_gap(Shape* s, int64_t gap, bint first) noexcept nogil:
    """The usual interval since the record before; an unusual one counts when it comes twice."""
    cdef int64_t wrong = gap - s.gap
    cdef int64_t most = 2 * s.size + 64
    if first:
        s.gap = gap
    elif wrong > most or wrong < -most:
        if s.missed:
            s.gap = gap
        s.missed = not s.missed
    else:
        s.missed = False
        s.gap += wrong >> (1 + (s.seen >= 4) + (s.seen >= 12))


cdef inline void learn_grid(Shape* s, int64_t now) noexcept nogil:
    """Phase and interval of the shape's grid; a jump keeps the interval, unless it comes twice."""
    cdef int64_t wrong = now - due(s)
    cdef int64_t most = absolute(s.interval) >> 3
    cdef int64_t spread = now - s.before
    cdef int shift
    if s.seen == 0 or s.interval == 0 and s.seen == 1:
        if s.seen:
            s.interval = spread
        s.steady = 1
        s.phase = now
    elif wrong > most or wrong < -most:
        if <int64_t>absolute(spread - s.spread) <= (most if most > 16 else 16):
            s.interval = spread
        s.phase = now
        s.steady = 2
    else:
        wrong = PERIOD_CLIP if wrong > PERIOD_CLIP else -PERIOD_CLIP if wrong < -PERIOD_CLIP else wrong
        shift = (s.steady >= 2) + (s.steady >= 4)
        s.phase += s.interval + (wrong >> shift)
        s.interval += wrong >> (2 * (shift + (s.steady >= 10)) + 1)
        s.steady += s.steady < 255
    s.spread = spread
    s.before = now


cdef inline void learn_time(Shape* s, int64_t boot_ms, int64_t record_ms, bint alone) noexcept nogil:
    """Take note of a record's time; `alone`: it is the first of the batch."""
    cdef int64_t off_gap = boot_ms - record_ms - (s.gap >> 4)
    cdef int64_t off_grid = boot_ms - ((due(s) + 8) >> 4)
    cdef int64_t wrong = off_grid if is_on_grid(s) else off_gap
    cdef int32_t by_gap = 256 * bit_length(absolute(off_gap))
    cdef int32_t by_grid = 256 * bit_length(absolute(off_grid))
    if s.seen == 1:
        s.size = 16 * <int64_t>absolute(clip(wrong, 12))
    elif s.seen > 1:
        s.size = surprise_size(s.size, wrong, 3)
    if s.seen > 0:
        s.error[0] += (by_gap - s.error[0]) >> 3
        if s.seen > 1:
            s.error[1] += (by_grid - s.error[1]) >> 3
    learn_gap(s, 0 if alone else 16 * (boot_ms - record_ms), s.seen == 0)
    learn_grid(s, 16 * boot_ms)
    s.last_ms = boot_ms
    if s.seen < 255:
        s.seen += 1


# A batch

cdef struct Batch:
    Cdf[MODELS] models
    int64_t[RANKED_SHAPES] when  # the first shapes are due; LATER for one seen once, or none
    int64_t[CLUSTERS] soonest  # the least of each cluster
    Shape* shapes
    Field* fields
    Cdf* groups
    int32_t shape_count
    int32_t field_count
    int32_t group_count
    int32_t scale_count
    int32_t shape_room
    int32_t field_room
    int32_t group_room
    int32_t last_shape  # -1: none yet
    int32_t fresh  # the shape seen for the second time last
    int64_t last_ms
    int64_t last_number
    int64_t beside  # the last difference at this time


cdef inline void batch_start(Batch* b) noexcept nogil:
    cdef int i
    for i in range(MODELS):
        cdf_reset(&b.models[i])
    for i in range(CONTEXTS):
        cdf_expect(&b.models[M_VALUE + i], i)
        cdf_expect(&b.models[M_TIME + i], i)
        cdf_expect(&b.models[M_TWIN + i], i)
    for i in range(RANKED_SHAPES):
        b.when[i] = LATER
    for i in range(CLUSTERS):
        b.soonest[i] = LATER
    b.shape_count = 0
    b.field_count = 0
    b.group_count = 0
    b.scale_count = 0
    b.last_shape = -1
    b.fresh = 0
    b.last_ms = 0
    b.last_number = -1
    b.beside = 0


cdef inline int rank_of(const Batch* b, int shape) noexcept nogil:
    """How many shapes seen twice or more are due before this one, without the expected one; of equals the first is.

    Beyond RANK_FRESH it is any number that is not below it.
    """
    cdef int64_t due = b.when[shape]
    cdef int skip = b.shapes[b.last_shape].successor
    cdef int rank = 0
    cdef int cluster, i
    for cluster in range((b.shape_count + CLUSTER - 1) // CLUSTER):
        if b.soonest[cluster] > due:
            continue
        for i in range(CLUSTER * cluster, CLUSTER * cluster + CLUSTER):
            rank += b.when[i] < due + (i < shape)
        if rank > RANK_FRESH:
            return rank - 1
    if skip >= 0 and b.when[skip] < due + (skip < shape):
        rank -= 1
    return rank


cdef inline int64_t soonest_from(const Batch* b, int cluster, int64_t due, int shape) noexcept nogil:
    """The earliest of a cluster that is not before `due`, nor at `due` up to that shape."""
    cdef int64_t best = LATER
    cdef int64_t at
    cdef int i
    for i in range(CLUSTER * cluster, CLUSTER * cluster + CLUSTER):
        at = b.when[i] if b.when[i] >= due + (i <= shape) else LATER
        best = at if at < best else best
    return best


cdef inline void set_due(Batch* b, int shape, int64_t due) noexcept nogil:
    cdef int first = shape & ~(CLUSTER - 1)
    cdef int64_t best
    cdef int i
    b.when[shape] = due
    best = b.when[first]
    for i in range(1, CLUSTER):
        best = b.when[first + i] if b.when[first + i] < best else best
    b.soonest[shape // CLUSTER] = best


cdef inline int ranked(const Batch* b, int rank) noexcept nogil:
    """The shape of that rank; -1 where there is none."""
    cdef int64_t[CLUSTERS] soonest
    cdef int clusters = (b.shape_count + CLUSTER - 1) // CLUSTER
    cdef int skip = b.shapes[b.last_shape].successor
    cdef int64_t best
    cdef int64_t after = -LATER
    cdef int found = -1
    cdef int cluster, i
    for i in range(clusters):
        soonest[i] = b.soonest[i]
    while rank >= 0:
        best = LATER
        cluster = -1
        for i in range(clusters):
            cluster = i if soonest[i] < best else cluster
            best = soonest[i] if soonest[i] < best else best
        if cluster < 0:
            return -1
        i = found + 1 if best == after and found // CLUSTER == cluster else CLUSTER * cluster
        while b.when[i] != best:
            i += 1
        found = i
        after = best
        soonest[cluster] = soonest_from(b, cluster, best, found)
        rank -= found != skip
    return found


cdef inline int fresh_distance(const Batch* b, int shape) noexcept nogil:
    """How many shapes seen once lie between the one last found so and this one."""
    cdef int at = b.fresh
    cdef int distance = 0
    while at != shape:
        distance += b.shapes[at].seen == 1
        at = at + 1 if at + 1 < b.shape_count else 0
    return distance


cdef inline int fresh_at(const Batch* b, int64_t distance) noexcept nogil:
    """The shape at that distance; -1 where there is none."""
    cdef int at = b.fresh
    cdef int i
    for i in range(b.shape_count):
        if b.shapes[at].seen == 1:
            if distance == 0:
                return at
            distance -= 1
        at = at + 1 if at + 1 < b.shape_count else 0
    return -1


cdef inline void settle_record(Batch* b, int32_t index, int64_t boot_ms) noexcept nogil:
    """A record of this shape and time begins: take note of it."""
    if b.last_shape >= 0:
        b.shapes[b.last_shape].successor = index
    if boot_ms != b.last_ms:
        b.beside = 0
    learn_time(&b.shapes[index], boot_ms, b.last_ms, b.last_shape < 0)
    if index < RANKED_SHAPES:
        set_due(b, index, due(&b.shapes[index]) if b.shapes[index].seen > 1 else LATER)
    b.last_shape = index
    b.last_ms = boot_ms


cdef inline int value_context(const Field* f) noexcept nogil:
    """The place of the shared frequencies for the field's next value."""
    return M_VALUE + context(f.size) if f.count else M_SECOND


cdef inline void groups_start(Batch* b, Shape* s) noexcept nogil:
    """The presence frequencies of a shape, at its first partial record."""
    cdef int i
    s.groups = b.group_count
    b.group_count += (s.count + 3) >> 2
    for i in range(s.groups, b.group_count):
        cdf_reset(&b.groups[i])


cdef inline bint grown(void** memory, int32_t* room, int32_t needed, size_t each) noexcept:
    """Whether there is room for so many."""
    cdef int32_t more = max(needed, <int32_t>MORE_ROOM(room[0]))
    cdef void* larger
    if needed <= room[0]:
        return True
    larger = PyMem_Realloc(memory[0], more * each)
    if larger == NULL:
        return False
    memory[0] = larger
    room[0] = more
    return True


cdef inline bint room_for(Batch* b, int count) noexcept:
    """Room for one more shape of so many fields; False when there is no memory.

    Every shape has presence frequencies from its first partial record on, a set for four fields: room for them all.
    """
    cdef int groups = (b.field_count + count + 3 * (b.shape_count + 1)) >> 2
    return (
        grown(<void**>&b.shapes, &b.shape_room, b.shape_count + 1, sizeof(Shape))
        and grown(<void**>&b.fields, &b.field_room, b.field_count + count, sizeof(Field))
        and grown(<void**>&b.groups, &b.group_room, groups, sizeof(Cdf))
    )
