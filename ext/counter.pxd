"""What a counter (energy, volume, pulses) may say next, as inline C."""

from libc.math cimport isfinite
from libc.stdint cimport uint64_t

from ext.wire cimport KIND_INT, KIND_SCALED, is_integer, is_negative

cdef enum:
    QUALITY_RESET = 1 | 5 << 2
    QUALITY_JUMP = 1 | 6 << 2


cdef struct Mark:
    double number  # in the unit of the point
    uint64_t bits
    int form  # 0: none


cdef struct Counter:
    double rollover  # in the unit of the point; 0: it does not roll over
    double most  # forward, from one value to the next
    double most_over  # the same across the roll-over
    bint exact  # integers are compared in raw steps
    int steps  # KIND_SCALED where raw steps are those of scaled values
    bint rolls
    uint64_t modulus  # in raw steps; 0 with `rolls`: 2**64
    uint64_t most_steps
    uint64_t most_steps_over
    Mark known  # the last value that was plausible
    Mark doubted  # an implausible one after it


cdef inline bint is_whole(const Counter* c, int form) noexcept nogil:
    return c.exact and (form & KIND_SCALED) == c.steps and is_integer(form)


cdef inline int counted_steps(const Counter* c, uint64_t before, uint64_t now, bint fell) noexcept nogil:
    """The verdict on integers less than 2**64 apart: exact."""
    cdef uint64_t back = before - now
    if not fell:
        return 0 if now - before <= c.most_steps else QUALITY_JUMP
    if not c.rolls or (c.modulus and back >= c.modulus):
        return QUALITY_RESET
    return 0 if c.modulus - back <= c.most_steps_over else QUALITY_RESET


cdef inline int counted_doubles(const Counter* c, double before, double now) noexcept nogil:
    cdef double step = now - before
    if step >= 0:
        return 0 if step <= c.most else QUALITY_JUMP
    if c.rollover + step <= 0:
        return QUALITY_RESET
    return 0 if c.rollover + step <= c.most_over else QUALITY_RESET


cdef inline int follows(const Counter* c, const Mark* before, const Mark* now) noexcept nogil:
    """0 when a value may come after another one; else what is wrong."""
    cdef bint below, was_below
    if not is_whole(c, before.form) or not is_whole(c, now.form):
        return counted_doubles(c, before.number, now.number)
    below = is_negative(now.form, now.bits)
    was_below = is_negative(before.form, before.bits)
    if below == was_below:
        return counted_steps(c, before.bits, now.bits, now.bits < before.bits)
    if (now.form | before.form) & 0x0F == KIND_INT:
        return counted_steps(c, before.bits, now.bits, below)
    return counted_doubles(c, before.number, now.number)


cdef inline int counted(Counter* c, int form, uint64_t bits, double number) noexcept nogil:
    """The quality of a value that is good otherwise; it is remembered.

    Plausible is what may follow the last plausible value, or the implausible one just before: so one wrong reading
    is one implausible sample, and so is a new meter.
    """
    cdef Mark now
    cdef int verdict = 0
    if not isfinite(number):
        return QUALITY_JUMP if number > 0 else QUALITY_RESET
    now.number = number
    now.bits = bits
    now.form = form
    if c.known.form:
        verdict = follows(c, &c.known, &now)
    if verdict and not (c.doubted.form and follows(c, &c.doubted, &now) == 0):
        c.doubted = now
        return verdict
    c.known = now
    c.doubted.form = 0
    return 0
