# cython: language_level=3, boundscheck=False, wraparound=False
"""One point, compiled: scale, sentinels, limits, report rule, and what it last said."""

from decimal import Decimal
from math import isfinite

from ext.limits import MAX_EXPONENT, MAX_SENTINELS, MAX_SERIES_NUMBER
from ext.value import scaled_decimal, scaled_float

cdef object _Decimal = Decimal


cdef class Series:
    """One point for as long as the agent lives; ValueError when its parts make no sense."""

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
    ):
        if not 0 <= number <= MAX_SERIES_NUMBER:
            raise ValueError(f"series number {number} is not within 0..{MAX_SERIES_NUMBER}")
        self.number = number
        self.set_scale(multiplier, addend, exponent)
        self.set_limits(sentinels, minimum, maximum)
        self.set_rule(on_change, deadband, deadband_percent, min_interval, max_interval)

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

    @property
    def last(self):
        """(boot_ms, value, quality) of the newest sample judged, reported or not; None before the first."""
        cdef Said* said = &self.state.last
        if not said.known:
            return None
        return said.boot_ms, self.value_of(said), said.quality

    cdef object value_of(self, Said* said):
        cdef int kind = said.form & 0x0F
        if said.form == FORM_NONE:
            return None
        if said.form == FORM_OBJECT:
            return self.last_object
        if kind == KIND_BOOL:
            return said.bits != 0
        if kind == KIND_INT or kind == KIND_UINT:
            raw = _integer(kind, said.bits)
            return self.scaled(raw, scaled_decimal) if said.form & KIND_SCALED else raw
        number = raw_number(said.form, said.bits)
        return self.scaled(number, scaled_float) if said.form & KIND_SCALED else number

    cdef object scaled(self, object raw, object how):
        return how(raw, self.rule.multiplier, self.rule.addend, self.rule.exponent)

    cdef bint judge_object(self, int64_t boot_ms, object value, int quality) except -1:
        """As `judge`, for a value that is only a Python object."""
        cdef int verdict = forced(&self.rule, &self.state.reported, boot_ms, FORM_OBJECT, quality)
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

    cdef int judged_quality(self, object value, int quality) except? -1:
        """The quality after sentinels and limits; negative where the value is a sentinel and so is none."""
        if isinstance(value, (bool, str, bytes)):
            return quality
        if self.sentinels and value in self.sentinels:
            return -quality if (quality & 3) == 2 else -(2 | 3 << 2)
        if quality == 0 and self.rule.limited and not self.rule.minimum <= value <= self.rule.maximum:
            return 1 | 3 << 2
        return quality


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
