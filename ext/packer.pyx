# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One open batch: samples in, blocks out. The bytes are those of docs/format.md, "Blocks"."""

from decimal import Context, Decimal
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.math cimport isnan
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from ext.floats cimport float_form
from ext.plan cimport ScanPlan, fail_field, judge_field
from ext.record cimport Described, describe, flags_of, plain, put_changed, put_present, put_qualities
from ext.series cimport FORM_NONE, Series, judge
from ext.wire cimport *

from ext.limits import MAX_BATCH_BYTES, MAX_FIELDS, MAX_NUMBER_BYTES, MAX_SAMPLES, MAX_TEXT_BYTES
from ext.limits import FORMAT_VERSION, MAX_EXPONENT, MAX_TIME_MS
from ext.value import number_text

cdef object _Decimal = Decimal
cdef int64_t _MAX_TIME = MAX_TIME_MS
cdef Py_ssize_t _MAX_SAMPLES = MAX_SAMPLES
cdef Py_ssize_t _MAX_BYTES = MAX_BATCH_BYTES
cdef Py_ssize_t _MAX_FIELDS = MAX_FIELDS
cdef int _VERSION = FORMAT_VERSION
cdef object _EXACT = Context(prec=60, Emax=999_999, Emin=-999_999)
cdef uint64_t _batches = 0  # numbers the open batches of this process, so that a series knows its own

cdef enum:
    RECORD_BYTES = 64  # head, time, counts and the version, at most
    DECLARED_BYTES = 32  # a field's declaration, at most
    SAMPLE_BYTES = 32  # a sample's share of masks, exceptions and values, at most


cdef struct Shape:
    int64_t last_ms
    int64_t step
    int64_t period
    bint begun
    Py_ssize_t first  # its first field's place in the state
    int count


cdef class Packer:
    """One open batch: judges samples, packs them, gives a block at each commit."""

    cdef uint8_t* out
    cdef Py_ssize_t used
    cdef Py_ssize_t room
    cdef Py_ssize_t committed
    cdef Shape* shapes
    cdef Py_ssize_t shape_count
    cdef Py_ssize_t shape_room
    cdef uint64_t* bits
    cdef Py_ssize_t field_count
    cdef Py_ssize_t field_room
    cdef dict plans
    cdef dict singles
    cdef dict texts
    cdef uint64_t batch
    cdef int64_t last_ms
    cdef int64_t last_number
    cdef Described described
    cdef readonly Py_ssize_t pending
    cdef readonly Py_ssize_t samples

    def __cinit__(self):
        self.forget()

    def __dealloc__(self):
        PyMem_Free(self.out)
        PyMem_Free(self.shapes)
        PyMem_Free(self.bits)

    @property
    def size(self):
        """Bytes since the reset, those not yet committed included."""
        return self.committed + self.used

    def append_scan(self, ScanPlan plan not None, payload, long long boot_ms, int quality=0):
        """Judge and pack one response; how many samples are reported.

        ValueError when it is too short or a time or quality is none, OverflowError when the batch is full: nothing is
        appended or judged then.
        """
        cdef Py_buffer view
        cdef int i
        self.check(boot_ms, quality, plan.count)
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            if view.len < plan.size:
                raise ValueError(f"a payload of {view.len} bytes; the plan needs {plan.size}")
            for i in range(plan.count):
                judge_field(&plan.fields[i], <const uint8_t*>view.buf, boot_ms, quality, &plan.judged[i])
        finally:
            PyBuffer_Release(&view)
        return self.put_scan(plan, boot_ms)

    def fail_scan(self, ScanPlan plan not None, long long boot_ms, int quality):
        """Give every point of the plan a sample without value, by its report rule; how many samples are reported."""
        cdef int i
        self.check(boot_ms, quality, plan.count)
        if not quality & 3:
            raise ValueError("a failed scan is not good")
        for i in range(plan.count):
            fail_field(&plan.fields[i], boot_ms, quality, &plan.judged[i])
        return self.put_scan(plan, boot_ms)

    def append(self, Series series not None, long long boot_ms, value, int quality=0):
        """Judge and pack one value; whether it is reported. A NaN called good or uncertain becomes SENSOR_FAULT, a None called good becomes BAD.

        TypeError, ValueError or OverflowError when it cannot be packed: nothing is appended or judged then.
        """
        self.check(boot_ms, quality, 1)
        if type(value) is float or isinstance(value, float):
            return self.append_float(series, boot_ms, value, quality)
        if value is None:
            return self.append_none(series, boot_ms, quality)
        if not isinstance(value, (int, str, bytes, _Decimal)):
            raise TypeError(f"a value is None, bool, int, float, Decimal, str or bytes, not {type(value).__name__}")
        if isinstance(value, _Decimal) and not value.is_finite():
            raise ValueError(f"{value} is no finite decimal")
        quality = series.judged_quality(value, quality)
        if quality < 0:
            return self.append_none(series, boot_ms, -quality)
        if isinstance(value, bool):
            return self.append_bits(series, boot_ms, KIND_BOOL, 1 if value else 0, quality)
        if isinstance(value, int):
            return self.append_int(series, boot_ms, value, quality)
        if isinstance(value, _Decimal):
            return self.append_decimal(series, boot_ms, value, quality)
        if isinstance(value, str):
            return self.append_text(series, boot_ms, KIND_TEXT, str(value), value.encode(), quality)
        return self.append_text(series, boot_ms, KIND_BYTES, bytes(value), bytes(value), quality)

    def commit(self):
        """The block of all samples since the last commit; empty when there are none."""
        cdef bytes block = PyBytes_FromStringAndSize(<char*>self.out, self.used)
        self.committed += self.used
        self.used = 0
        self.pending = 0
        return block

    def reset(self):
        """Begin a new batch: the codec's state is forgotten, the series' is not. RuntimeError when samples are pending."""
        if self.pending:
            raise RuntimeError(f"{self.pending} samples are not committed")
        self.forget()

    cdef int forget(self) except -1:
        global _batches
        _batches += 1
        self.batch = _batches
        self.used = self.committed = self.samples = self.pending = 0
        self.shape_count = self.field_count = 0
        self.plans = {}
        self.singles = {}
        self.texts = {}
        self.last_ms = 0
        self.last_number = -1
        memset(&self.described, 0, sizeof(Described))
        return 0

    # What every sample passes through

    cdef int check(self, int64_t boot_ms, int quality, int count) except -1:
        """Refuse what the format cannot say, and make room for what it can."""
        if not 0 <= boot_ms <= _MAX_TIME:
            raise ValueError(f"time {boot_ms} ms is not within 0..{_MAX_TIME}")
        if not 0 <= quality <= 0xFF or quality & 3 == 3:
            raise ValueError(f"{quality} is no quality")
        if self.samples + count > _MAX_SAMPLES:
            raise OverflowError(f"the batch is full: {self.samples} of {_MAX_SAMPLES} samples")
        if self.field_count + count > _MAX_FIELDS:
            raise OverflowError(f"the batch is full: {self.field_count} of {_MAX_FIELDS} fields")
        self.make_shape(count)
        return self.reserve(RECORD_BYTES + count * (DECLARED_BYTES + SAMPLE_BYTES))

    cdef int reserve(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t room = self.room
        cdef void* grown
        if self.committed + self.used + size > _MAX_BYTES:
            raise OverflowError(f"the batch is full: {self.committed + self.used} of {_MAX_BYTES} bytes")
        if self.used + size <= room:
            return 0
        room = max(2 * room, self.used + size, 4096)
        grown = PyMem_Realloc(self.out, room)
        if grown == NULL:
            raise MemoryError
        self.out = <uint8_t*>grown
        self.room = room
        return 0

    cdef int make_shape(self, int count) except -1:
        """Room for the state of one more shape."""
        cdef void* grown
        if self.shape_count == self.shape_room:
            grown = PyMem_Realloc(self.shapes, (2 * self.shape_room + 16) * sizeof(Shape))
            if grown == NULL:
                raise MemoryError
            self.shapes = <Shape*>grown
            self.shape_room = 2 * self.shape_room + 16
        if self.field_count + count > self.field_room:
            grown = PyMem_Realloc(self.bits, (2 * self.field_room + count + 16) * sizeof(uint64_t))
            if grown == NULL:
                raise MemoryError
            self.bits = <uint64_t*>grown
            self.field_room = 2 * self.field_room + count + 16
        return 0

    cdef uint8_t* put_head(self, Py_ssize_t index, int flags) noexcept:
        cdef uint8_t* p = self.out + self.used
        if self.committed + self.used == 0:
            p = put_varint(p, _VERSION)
        return put_varint(p, <uint64_t>index << RECORD_SHIFT | flags)

    cdef uint8_t* put_shape(self, uint8_t* p, int64_t period, int count) noexcept:
        """Declare the shape whose number was just used for the first time; its fields follow."""
        cdef Shape* shape = &self.shapes[self.shape_count]
        shape.period = period
        shape.step = 0
        shape.last_ms = self.last_ms
        shape.begun = False
        shape.first = self.field_count
        shape.count = count
        memset(self.bits + self.field_count, 0, count * sizeof(uint64_t))
        self.shape_count += 1
        self.field_count += count
        return put_varint(put_varint(p, <uint64_t>period), count)

    cdef uint8_t* put_field(self, uint8_t* p, unsigned int number, const Described* field) noexcept:
        cdef Described* last = &self.described
        p = put_signed(p, <int64_t>number - self.last_number - 1)
        self.last_number = number
        if (
            field.kind == last.kind
            and field.multiplier == last.multiplier
            and field.addend == last.addend
            and field.exponent == last.exponent
        ):
            p[0] = KIND_AS_BEFORE
            return p + 1
        self.described = field[0]
        p[0] = <uint8_t>field.kind
        p += 1
        if field.kind & KIND_SCALED:
            p = put_signed(put_signed(p, field.multiplier), field.addend)
            return put_signed(p, field.exponent)
        return put_varint(p, field.exponent) if field.kind == KIND_QUOTIENT else p

    cdef uint8_t* put_time(self, uint8_t* p, Py_ssize_t index, int64_t boot_ms) noexcept:
        cdef Shape* shape = &self.shapes[index]
        p = put_signed(p, boot_ms - shape.last_ms - shape.step)
        if shape.period:
            shape.step = shape.period
        elif shape.begun:
            shape.step = boot_ms - shape.last_ms
        shape.begun = True
        shape.last_ms = self.last_ms = boot_ms
        return p

    cdef uint8_t* put_value(self, uint8_t* p, int kind, uint64_t* last, uint64_t bits) noexcept:
        kind &= 0x0F
        if kind == KIND_INT or kind == KIND_UINT or kind == KIND_QUOTIENT:
            p = put_signed(p, <int64_t>(bits - last[0]))
        elif kind == KIND_FLOAT32 or kind == KIND_FLOAT64:
            p = put_xor(p, bits ^ last[0])
        last[0] = bits
        return p

    cdef void done(self, uint8_t* p, int count) noexcept:
        self.used = p - self.out
        self.pending += count
        self.samples += count

    # A scan

    cdef int put_scan(self, ScanPlan plan, int64_t boot_ms) except -1:
        """Pack what was judged to be reported."""
        cdef int i
        cdef int reported = 0
        for i in range(plan.count):
            reported += plan.judged[i].reported
        if reported == 0:
            return 0
        found = self.plans.get(plan)
        if found is None:
            found = self.shape_count
            self.plans[plan] = found
        self.done(self.put_record(plan, found, boot_ms, reported), reported)
        return reported

    cdef uint8_t* put_record(self, ScanPlan plan, Py_ssize_t index, int64_t boot_ms, int reported) noexcept:
        cdef bint fresh = index == self.shape_count
        cdef uint64_t* last = self.bits + (self.field_count if fresh else self.shapes[index].first)
        cdef Described described
        cdef int has
        cdef int i
        cdef uint8_t* p
        if fresh:
            memset(last, 0, plan.count * sizeof(uint64_t))
        has = flags_of(plan, last, reported)
        p = self.put_head(index, has)
        if fresh:
            p = self.put_shape(p, plan.period, plan.count)
            for i in range(plan.count):
                describe(&plan.fields[i], &described)
                p = self.put_field(p, plan.fields[i].number, &described)
        p = self.put_time(p, index, boot_ms)
        if has & RECORD_PARTIAL:
            p = put_present(p, plan, reported)
        if has & RECORD_QUALITY:
            p = put_qualities(p, plan)
        if has & RECORD_SAME:
            p = put_changed(p, plan, last)
        for i in range(plan.count):
            if plan.judged[i].reported and plan.judged[i].valued and plan.judged[i].bits != last[i]:
                p = self.put_value(p, plan.fields[i].kind, &last[i], plan.judged[i].bits)
        return p

    # A single value

    cdef bint append_none(self, Series series, int64_t boot_ms, int quality) except -1:
        cdef Described described
        if quality == 0:
            quality = 2  # a sample without value is never good
        if not judge(&series.rule, &series.state, boot_ms, FORM_NONE, 0, quality):
            return False
        plain(&described, KIND_NONE)
        if series.batch == self.batch:
            self.put_single(series, series.shape, &described, boot_ms, 0, quality, False, None)
            return True
        self.put_single(series, self.single(series, &described), &described, boot_ms, 0, quality, False, None)
        return True

    cdef bint append_bits(self, Series series, int64_t boot_ms, int kind, uint64_t bits, int quality) except -1:
        cdef Described described
        if not judge(&series.rule, &series.state, boot_ms, kind, bits, quality):
            return False
        plain(&described, kind)
        self.put_single(series, self.single(series, &described), &described, boot_ms, bits, quality, True, None)
        return True

    cdef bint append_int(self, Series series, int64_t boot_ms, value, int quality) except -1:
        cdef int overflow = 0
        cdef int64_t small = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow:
            return self.append_bits(series, boot_ms, KIND_INT, <uint64_t>small, quality)
        if overflow > 0 and value <= 0xFFFFFFFFFFFFFFFF:
            return self.append_bits(series, boot_ms, KIND_UINT, value, quality)
        return self.append_text(series, boot_ms, KIND_NUMBER, int(value), b"%d" % value, quality)

    cdef bint append_float(self, Series series, int64_t boot_ms, double value, int quality) except -1:
        cdef Described described
        cdef uint64_t bits = as_bits(value)
        if isnan(value):
            if (quality & 3) != 2:
                quality = 2 | 4 << 2
        else:
            quality = series.judged_quality(value, quality)
            if quality < 0:
                return self.append_none(series, boot_ms, -quality)
        if not judge(&series.rule, &series.state, boot_ms, KIND_FLOAT64, bits, quality):
            return False
        bits = float_form(series, value, &described)
        self.put_single(series, self.single(series, &described), &described, boot_ms, bits, quality, True, None)
        return True

    cdef bint append_decimal(self, Series series, int64_t boot_ms, value, int quality) except -1:
        cdef Described described
        cdef uint64_t bits = 0
        sign, digits, exponent = value.as_tuple()
        plain(&described, KIND_NUMBER)
        if -MAX_EXPONENT <= exponent <= MAX_EXPONENT and len(digits) <= 20:
            mantissa = int(_EXACT.scaleb(value, -exponent))
            if -0x8000000000000000 <= mantissa <= 0xFFFFFFFFFFFFFFFF and not (mantissa == 0 and sign):
                described.kind = KIND_SCALED | (KIND_UINT if mantissa > 0x7FFFFFFFFFFFFFFF else KIND_INT)
                described.exponent = exponent
                bits = mantissa & 0xFFFFFFFFFFFFFFFF
        if described.kind == KIND_NUMBER:
            return self.append_text(series, boot_ms, KIND_NUMBER, value, number_text(sign, digits, exponent), quality)
        if not series.judge_object(boot_ms, value, quality):
            return False
        self.put_single(series, self.single(series, &described), &described, boot_ms, bits, quality, True, None)
        return True

    cdef bint append_text(self, Series series, int64_t boot_ms, int kind, value, bytes text, int quality) except -1:
        cdef Described described
        limit = MAX_NUMBER_BYTES if kind == KIND_NUMBER else MAX_TEXT_BYTES
        if len(text) > limit:
            raise ValueError(f"a value of {len(text)} bytes; at most {limit}")
        self.reserve(RECORD_BYTES + DECLARED_BYTES + SAMPLE_BYTES + len(text))
        if not series.judge_object(boot_ms, value, quality):
            return False
        plain(&described, kind)
        self.put_single(series, self.single(series, &described), &described, boot_ms, 0, quality, True, text)
        return True

    cdef Py_ssize_t single(self, Series series, Described* field) except -1:
        """The shape of this series alone in this form, declared by its first record."""
        cdef int code = field.kind | (field.exponent + 128) << 8
        cdef Py_ssize_t index
        if series.batch == self.batch and series.form_code == code:
            return series.shape
        key = (series.number, code)
        found = self.singles.get(key)
        index = self.shape_count if found is None else found
        if found is None:
            self.singles[key] = index
        series.batch = self.batch
        series.form_code = code
        series.shape = index
        return index

    cdef int put_single(
        self, Series series, Py_ssize_t index, Described* field, int64_t boot_ms, uint64_t bits, int quality, bint valued, bytes text
    ) except -1:
        cdef bint fresh = index == self.shape_count
        cdef Py_ssize_t place = self.field_count if fresh else self.shapes[index].first
        cdef bint same
        cdef uint8_t* p
        if text is None:
            same = valued and bits == (0 if fresh else self.bits[place])
        else:
            same = text == self.texts.get(place, b"")
            self.texts[place] = text
        p = self.put_head(index, (RECORD_QUALITY if quality or not valued else 0) | (RECORD_SAME if same else 0))
        if fresh:
            p = self.put_field(self.put_shape(p, 0, 1), series.number, field)
        p = self.put_time(p, index, boot_ms)
        if quality or not valued:
            p = put_varint(put_varint(p, 0), quality << 1 | (not valued))
        if valued and not same:
            if text is None:
                p = self.put_value(p, field.kind, &self.bits[place], bits)
            else:
                p = _put_text(p, text)
        self.done(p, 1)
        return 0


cdef uint8_t* _put_text(uint8_t* p, bytes text):
    cdef Py_ssize_t size = len(text)
    p = put_varint(p, <uint64_t>size)
    memcpy(p, <const char*>text, size)
    return p + size

