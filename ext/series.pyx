# cython: language_level=3, boundscheck=False, wraparound=False
"""One point, compiled: scale, sentinels, limits, report rule, and what it last said."""

from decimal import Decimal
from fractions import Fraction
from math import isfinite, isinf

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from ext.counter cimport Counter, counted
from ext.window cimport Extreme, Window, add, counts, gather, mean_of

from ext.limits import MAX_EXPONENT, MAX_SENTINELS, MAX_SERIES_NUMBER, MAX_TIME_MS
from ext.quality import BAD_ANSWER, GOOD, SENSOR_FAULT
from ext.value import scaled_decimal, scaled_float

cdef object _Decimal = Decimal


cdef class Series:
    """One point for as long as the agent lives; ValueError when its parts make no sense.

    `counter` is (roll-over or None, largest step or None), exact numbers in the unit of the point. Of samples that are
    good so far a value lower than the last plausible one has rolled over if the way forward is at most the largest step
    (without one: half the roll-over), else it is uncertain (COUNTER_RESET); one higher by more than the largest step is
    uncertain (COUNTER_JUMP). Values are never changed. What follows an implausible value plausibly is good again, and the
    new reference. Integers are counted exactly, other numbers to double precision.

    With `window` (ms) no sample is packed as it is, only what each window of the boot clock comes to: in the series
    `aggregates`, which are for minimum, mean, maximum and count; None for one that is not wanted.
    """

    def __init__(
        self,
        number,
        *,
        multiplier=1,
        addend=0,
        exponent=0,
        sentinels=(),
        minimum=None,
        maximum=None,
        on_change=False,
        deadband=0.0,
        deadband_percent=0.0,
        min_interval=0,
        max_interval=0,
        counter=None,
        window=0,
        aggregates=(),
    ):
        if not 0 <= number <= MAX_SERIES_NUMBER:
            raise ValueError(f"series number {number} is not within 0..{MAX_SERIES_NUMBER}")
        self.number = number
        self.set_scale(multiplier, addend, exponent)
        self.set_limits(sentinels, minimum, maximum)
        self.set_rule(on_change, deadband, deadband_percent, min_interval, max_interval)
        if counter is not None:
            rollover, max_step = counter
            self.set_counter(rollover, max_step)
        if window:
            self.set_window(window, tuple(aggregates))

    def __dealloc__(self):
        PyMem_Free(self.state.counter)
        PyMem_Free(self.state.window)

    cdef int set_scale(self, object multiplier, object addend, object exponent) except -1:
        if multiplier == 0 or abs(multiplier) >= 1 << 63 or abs(addend) >= 1 << 63:
            raise ValueError(f"scale {multiplier}, offset {addend}: not a multiplier and an addend of 63 bits")
        if abs(exponent) > MAX_EXPONENT:
            raise ValueError(f"exponent {exponent} is not within -{MAX_EXPONENT}..{MAX_EXPONENT}")
        self.rule.multiplier = multiplier
        self.rule.addend = addend
        self.rule.exponent = exponent
        self.rule.power = float(10 ** abs(exponent))
        self.rule.scaled = (multiplier, addend, exponent) != (1, 0, 0)
        return 0

    cdef int set_limits(self, object sentinels, object minimum, object maximum) except -1:
        self.sentinels = tuple(sentinels)
        if len(self.sentinels) > MAX_SENTINELS:
            raise ValueError(f"{len(self.sentinels)} sentinels; at most {MAX_SENTINELS}")
        self.rule.minimum = float("-inf") if minimum is None else float(minimum)
        self.rule.maximum = float("inf") if maximum is None else float(maximum)
        self.rule.limited = minimum is not None or maximum is not None
        if not self.rule.minimum <= self.rule.maximum:
            raise ValueError(f"limits {minimum}..{maximum} hold nothing")
        return 0

    cdef int set_rule(self, object on_change, object deadband, object percent, object min_interval, object max_interval) except -1:
        if not (isfinite(deadband) and isfinite(percent) and deadband >= 0 and percent >= 0):
            raise ValueError(f"deadband {deadband}, {percent} %: not finite and positive")
        if min_interval < 0 or max_interval < 0 or (max_interval and min_interval > max_interval):
            raise ValueError(f"intervals {min_interval} ms, {max_interval} ms: not a minimum and a maximum")
        self.rule.on_change = bool(on_change) or deadband > 0 or percent > 0
        self.rule.deadband = float(deadband)
        self.rule.percent = float(percent)
        self.rule.min_interval = min_interval
        self.rule.max_interval = max_interval
        return 0

    cdef int set_counter(self, object rollover, object max_step) except -1:
        cdef Counter* c = self.state.counter
        step = Fraction(self.rule.multiplier) * Fraction(10) ** self.rule.exponent
        if step <= 0 or (rollover is not None and rollover <= 0) or (max_step is not None and max_step <= 0):
            raise ValueError(f"a counter with scale {step}, roll-over {rollover}, largest step {max_step}: not positive")
        if rollover is not None and max_step is not None and max_step >= rollover:
            raise ValueError(f"the largest step {max_step} of a counter is not below its roll-over {rollover}")
        if c == NULL:
            c = self.state.counter = <Counter*>PyMem_Calloc(1, sizeof(Counter))
        if c == NULL:
            raise MemoryError
        modulus = Fraction(rollover or 0) / step
        most_over = max_step if max_step is not None else Fraction(rollover or 0) / 2
        c.rollover = float(rollover or 0)
        c.most = float("inf") if max_step is None else float(max_step)
        c.most_over = float(most_over)
        c.exact = modulus.denominator == 1 and modulus <= 1 << 64
        if c.exact:
            c.rolls = rollover is not None
            c.modulus = int(modulus) & 0xFFFFFFFFFFFFFFFF
            c.most_steps = 0xFFFFFFFFFFFFFFFF if max_step is None else min(Fraction(max_step) // step, 0xFFFFFFFFFFFFFFFF)
            c.most_steps_over = min(Fraction(most_over) // step, 0xFFFFFFFFFFFFFFFF)
        self.state.count = _count
        c.steps = KIND_SCALED if self.rule.scaled else 0
        return 0

    cdef int set_window(self, object length, object aggregates) except -1:
        cdef Window* w = self.state.window
        if not 0 < length <= MAX_TIME_MS:
            raise ValueError(f"a window of {length} ms is not within 1..{MAX_TIME_MS}")
        if len(aggregates) != 4 or not all(series is None or type(series) is Series for series in aggregates):
            raise ValueError("a window needs a series or None for each of minimum, mean, maximum and count")
        if w == NULL:
            w = self.state.window = <Window*>PyMem_Calloc(1, sizeof(Window))
        if w == NULL:
            raise MemoryError
        w.length = length
        self.state.gather = _gather
        self.aggregates = aggregates
        return 0

    @property
    def windowed(self):
        """Whether only aggregates are packed."""
        return self.state.window != NULL

    @property
    def last(self):
        """(boot_ms, value, quality) of the newest sample judged, reported or not; None before the first."""
        cdef Said* said = &self.state.last
        if not said.known:
            return None
        return said.boot_ms, self.value_of(said.form, said.bits, self.last_object), said.quality

    cdef object value_of(self, int form, uint64_t bits, object beside):
        cdef int kind = form & 0x0F
        if form == FORM_NONE:
            return None
        if form == FORM_OBJECT:
            return beside
        if kind == KIND_BOOL:
            return bits != 0
        if kind == KIND_INT or kind == KIND_UINT:
            raw = _integer(kind, bits)
            return self.scaled(raw, scaled_decimal) if form & KIND_SCALED else raw
        number = raw_number(form, bits)
        return self.scaled(number, scaled_float) if form & KIND_SCALED else number

    cdef object scaled(self, object raw, object how):
        return how(raw, self.rule.multiplier, self.rule.addend, self.rule.exponent)

    cdef bint judge_object(self, int64_t boot_ms, object value, int quality) except -1:
        """As `judge`, for a value that is only a Python object."""
        cdef int verdict
        if self.state.window != NULL:
            note(&self.state.last, boot_ms, FORM_OBJECT, 0, quality)
            self.last_object = value
            self.gather_object(boot_ms, value, quality)
            return False
        verdict = forced(&self.rule, &self.state.reported, boot_ms, FORM_OBJECT, quality)
        if verdict < 0:
            verdict = self.object_changed(value)
        note(&self.state.last, boot_ms, FORM_OBJECT, 0, quality)
        self.last_object = value
        if verdict:
            self.state.reported = self.state.last
            self.reported_object = value
        return verdict

    cdef bint object_changed(self, object value) except -1:
        before = self.reported_object
        if self.state.reported.form != FORM_OBJECT or type(value) is not type(before):
            return True
        if value == before:
            return False
        if isinstance(value, (str, bytes)) or (self.rule.deadband == 0 and self.rule.percent == 0):
            return True
        return beyond(&self.rule, _as_float(abs(value - before)), _as_float(before))

    cdef int counted_object(self, object value, int quality) except -1:
        """The quality after the counter's check; texts are not counted."""
        cdef double number
        if self.state.counter == NULL or quality != 0 or isinstance(value, (str, bytes)):
            return quality
        number = _as_float(value)
        return counted(self.state.counter, FORM_OBJECT, 0, number)

    cdef int gather_object(self, int64_t boot_ms, object value, int quality) except -1:
        """A number goes into the window, its extremes compared exactly with other objects; a text is no number."""
        cdef Window* w = self.state.window
        cdef bint numeric = not isinstance(value, (str, bytes))
        cdef double number
        if not counts(w, boot_ms, numeric, quality if numeric or (quality & 3) == 2 else BAD_ANSWER):
            return 0
        number = _as_float(value)
        less = w.count == 0 or (value < self.least_object if w.least.form == FORM_OBJECT else number < w.least.number)
        more = w.count == 0 or (value > self.most_object if w.most.form == FORM_OBJECT else number > w.most.number)
        if less:
            w.least = Extreme(number, 0, FORM_OBJECT)
            self.least_object = value
        if more:
            w.most = Extreme(number, 0, FORM_OBJECT)
            self.most_object = value
        add(w, number)
        w.count += 1
        return 0

    cdef list take_window(self):
        """Close the open window: (series, value, quality) of each aggregate that is wanted."""
        cdef Window* w = self.state.window
        least = most = mean = (None, w.failure)
        if w.count:
            least = self.value_of(w.least.form, w.least.bits, self.least_object), w.quality
            most = self.value_of(w.most.form, w.most.bits, self.most_object), w.quality
            mean = _mean(w)
        w.end = 0
        self.least_object = self.most_object = None
        found = (least, mean, most, (w.count, GOOD))
        return [(series, *one) for series, one in zip(self.aggregates, found) if series is not None]

    cdef int judged_quality(self, object value, int quality) except? -1:
        """The quality after sentinels and limits; negative where the value is a sentinel and so is none."""
        if isinstance(value, (bool, str, bytes)):
            return quality
        if self.sentinels and value in self.sentinels:
            return -quality if (quality & 3) == 2 else -(2 | 3 << 2)
        if quality == 0 and self.rule.limited and not self.rule.minimum <= value <= self.rule.maximum:
            return 1 | 3 << 2
        return quality


cdef int _count(const Rule* rule, Counter* counter, int form, uint64_t bits) noexcept nogil:
    return counted(counter, form, bits, number(rule, form, bits))


cdef void _gather(
    const Rule* rule, Window* window, int64_t boot_ms, int form, uint64_t bits, int quality
) noexcept nogil:
    if counts(window, boot_ms, form != FORM_NONE, quality):
        gather(window, form, bits, number(rule, form, bits))


cdef object _mean(Window* w):
    """Mean and quality; no value where no double says it: infinities of both signs, a sum beyond all doubles."""
    cdef double mean = mean_of(w)
    if isnan(mean) or (isinf(mean) and isfinite(w.least.number) and isfinite(w.most.number)):
        return None, SENSOR_FAULT
    return mean, w.quality


cdef object _integer(int kind, uint64_t bits):
    """The bits as a signed or an unsigned number; no conditional expression, whose C type is unsigned throughout."""
    if kind == KIND_INT:
        return <int64_t>bits
    return bits


cdef double _as_float(value) except? -1.0:
    """The nearest double; infinite where there is none."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
