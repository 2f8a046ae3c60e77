"""A window's minimum, sum, maximum and count, as inline C."""

from libc.math cimport fabs, fma, isfinite
from libc.stdint cimport int64_t, uint64_t

from ext.wire cimport KIND_SCALED, is_integer, is_negative

cdef struct Extreme:
    double number  # in the unit of the point
    uint64_t bits
    int form


cdef struct Window:
    int64_t length  # ms; windows begin at its multiples
    int64_t end  # of the open one, which it is not part of; 0: none is open
    uint64_t count
    double sum
    double rest  # what roundings took from the sum (Neumaier 1974)
    Extreme least
    Extreme most
    int quality  # the last that was not good, of the samples that count
    int failure  # the quality of the last sample that does not count


cdef inline void open_window(Window* w, int64_t boot_ms) noexcept nogil:
    w.end = boot_ms - boot_ms % w.length + w.length
    w.count = 0
    w.sum = w.rest = 0
    w.quality = w.failure = 0


cdef inline void add(Window* w, double number) noexcept nogil:
    cdef double total = w.sum + number
    if not isfinite(total):
        w.rest = 0
    elif fabs(w.sum) >= fabs(number):
        w.rest += (w.sum - total) + number
    else:
        w.rest += (number - total) + w.sum
    w.sum = total


cdef inline double mean_of(const Window* w) noexcept nogil:
    """The sum over the count, its rounding mended once; exact when all values are one."""
    cdef double count = <double>w.count
    cdef double first
    if not isfinite(w.sum):
        return w.sum
    first = (w.sum + w.rest) / count
    return first + ((fma(-first, count, w.sum) + w.rest) / count)


cdef inline bint is_less(const Extreme* a, const Extreme* b) noexcept nogil:
    """Integers of one scale are compared exactly, all else to double precision."""
    cdef bint below
    if not is_integer(a.form) or not is_integer(b.form) or (a.form ^ b.form) & KIND_SCALED:
        return a.number < b.number
    below = is_negative(a.form, a.bits)
    if below != is_negative(b.form, b.bits):
        return below
    return a.bits < b.bits


cdef inline bint counts(Window* w, int64_t boot_ms, bint valued, int quality) noexcept nogil:
    """Take note of a sample of whatever quality; whether its value goes into the window."""
    if w.end == 0:
        open_window(w, boot_ms)
    if not valued or (quality & 3) == 2:
        w.failure = quality
        return False
    if quality & 3:
        w.quality = quality
    return True


cdef inline void gather(Window* w, int form, uint64_t bits, double number) noexcept nogil:
    """A value that counts."""
    cdef Extreme now
    now.form = form
    now.bits = bits
    now.number = number
    add(w, number)
    if w.count == 0 or is_less(&now, &w.least):
        w.least = now
    if w.count == 0 or is_less(&w.most, &now):
        w.most = now
    w.count += 1


cdef inline bint is_over(const Window* window, int64_t boot_ms, bint final) noexcept:
    """Whether there is an open window that ends now."""
    return window != NULL and window.end != 0 and (final or boot_ms >= window.end)
