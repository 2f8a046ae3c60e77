# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=False
"""One open batch: samples in, blocks out. The bytes are those of docs/format.md, "Blocks"."""

from decimal import Context, Decimal
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport isnan
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from ext.coder cimport TAIL, WHOLE_POWERS, WORD, Encoder, cdf_reset, encoder_end, encoder_start, put_mixed, put_number, put_symbol
from ext.floats cimport Form, first_form, float_form, plain_form
from ext.model cimport *
from ext.plan cimport Field as PlanField, Judged, ScanPlan, fail_field, is_float, judge_payload
from ext.series cimport FORM_NONE, Series, judge
from ext.twin cimport field_like
from ext.values cimport *
from ext.window cimport Window, is_over
from ext.wire cimport *

from ext.limits import MAX_BATCH_BYTES, MAX_FIELDS, MAX_NUMBER_BYTES, MAX_SAMPLES, MAX_TEXT_BYTES
from ext.limits import FORMAT_VERSION, LETTER_WORK, MAX_EXPONENT, MAX_TIME_MS, MAX_WORK, SCALED_FLOAT_WORK, TEXT_WORK
from ext.value import number_text

cdef extern from "Python.h":
    PyObject* PyTuple_GetItem(object sample, Py_ssize_t place) except NULL
    Py_ssize_t PyTuple_Size(object sample) except -1


cdef object _Decimal = Decimal
cdef int64_t _MAX_TIME = MAX_TIME_MS
cdef Py_ssize_t _MAX_SAMPLES = MAX_SAMPLES
cdef Py_ssize_t _MAX_BYTES = MAX_BATCH_BYTES
cdef Py_ssize_t _MAX_FIELDS = MAX_FIELDS
cdef Py_ssize_t _MAX_NUMBER = MAX_NUMBER_BYTES
cdef int64_t _MAX_WORK = MAX_WORK
cdef int _LETTER = LETTER_WORK
cdef int _TEXT = TEXT_WORK
cdef int _SCALED_FLOAT = SCALED_FLOAT_WORK
cdef int _VERSION = FORMAT_VERSION
cdef object _EXACT = Context(prec=60, Emax=999_999, Emin=-999_999)
cdef uint64_t _batches = 0  # numbers the open batches of this process, so that a series knows its own

cdef enum:
    RECORD_BYTES = 64  # version, head, time, counts and the end of the block, at most
    DECLARED_BYTES = 64  # a field's declaration, at most
    AGGREGATES = 4  # of a window
    SAMPLE_BYTES = 64  # a sample's share of presence, quality, a change of form and its value, at most
    LETTER_BYTES = 4  # a byte of text: two symbols of 13 bits
    END_BYTES = 2 + TAIL  # the symbol that ends a block, and the coder's last bytes


cdef class Packer:
    """One open batch: judges samples, packs them, gives a block at each commit."""

    cdef uint8_t* out
    cdef Py_ssize_t room
    cdef Py_ssize_t committed
    cdef Encoder encoder
    cdef Batch b
    cdef dict plans
    cdef dict models  # the last shape of each model of plans
    cdef dict singles
    cdef dict texts
    cdef uint64_t batch
    cdef dict scales
    cdef readonly Py_ssize_t pending
    cdef readonly Py_ssize_t samples
    cdef readonly int64_t first_ms  # of the block at hand, or the last one
    cdef readonly int64_t last_ms
    cdef readonly int64_t work

    def __cinit__(self):
        self.forget()

    def __dealloc__(self):
        PyMem_Free(self.out)
        PyMem_Free(self.b.shapes)
        PyMem_Free(self.b.fields)
        PyMem_Free(self.b.groups)

    @property
    def size(self):
        """Bytes since the reset; of the samples not yet committed, the most that their block will have."""
        return self.committed + (self.encoder.p - self.out + END_BYTES if self.pending else 0)

    def append_scan(self, ScanPlan plan not None, payload, long long boot_ms, int quality=0):
        """Judge and pack one response; how many samples are reported. Windows that are over are packed before it.

        ValueError when it is too short or a time or quality is none, OverflowError when the batch is full: nothing is
        appended or judged then.
        """
        cdef Py_buffer view
        if unlikely(plan.windowed):
            self.close_plan(plan, boot_ms, quality)
        self.check(boot_ms, quality, plan.count, plan.scaled_floats)
        if type(payload) is bytes:  # the usual one, without the detour
            judge_payload(plan, <const uint8_t*><const char*>payload, len(<bytes>payload), boot_ms, quality)
            return self.put_scan(plan, boot_ms)
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            judge_payload(plan, <const uint8_t*>view.buf, view.len, boot_ms, quality)
        finally:
            PyBuffer_Release(&view)
        return self.put_scan(plan, boot_ms)

    def fail_scan(self, ScanPlan plan not None, long long boot_ms, int quality):
        """Give every point of the plan a sample without value, by its report rule; how many samples are reported."""
        cdef int i
        if not quality & 3:
            raise ValueError("a failed scan is not good")
        if unlikely(plan.windowed):
            self.close_plan(plan, boot_ms, quality)
        self.check(boot_ms, quality, plan.count, plan.scaled_floats)
        for i in range(plan.count):
            fail_field(&plan.fields[i], boot_ms, quality, &plan.judged[i])
        return self.put_scan(plan, boot_ms)

    def append(self, Series series not None, long long boot_ms, value, int quality=0):
        """Judge and pack one value; whether it is reported. A NaN called good or uncertain becomes SENSOR_FAULT, a None called good becomes BAD.

        TypeError, ValueError or OverflowError when it cannot be packed: nothing is appended or judged then.
        """
        return self.append_one(series, boot_ms, value, quality)

    def extend(self, samples):
        """Append (series, boot_ms, value, quality) tuples; how many are reported. What `append` raises ends it there."""
        cdef Py_ssize_t reported = 0
        for sample in samples:
            if not isinstance(sample, tuple) or PyTuple_Size(sample) != 4:
                raise TypeError("a sample is a tuple of series, time, value and quality")
            reported += self.append_one(
                <Series?><object>PyTuple_GetItem(sample, 0),
                <object>PyTuple_GetItem(sample, 1),
                <object>PyTuple_GetItem(sample, 2),
                <object>PyTuple_GetItem(sample, 3),
            )
        return reported

    def flush(self, series, long long boot_ms, bint final=False):
        """Pack the aggregates of each window of `series` that is over, or with `final` of any; how many samples that are.

        They bear the time of the window's end, which is not part of it; of one that is cut short, the present.
        OverflowError when the batch is full: the windows that were not packed stay as they are.
        """
        cdef int packed = 0
        for each in series:
            packed += self.close_window(<Series?>each, boot_ms, final)
        return packed

    def commit(self):
        """The block of all samples since the last commit; empty when there are none."""
        cdef bytes block
        if not self.pending:
            return b""
        self.put_head(HEAD_END)
        encoder_end(&self.encoder)
        block = PyBytes_FromStringAndSize(<char*>self.out, self.encoder.p - self.out)
        self.committed += len(block)
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
        self.committed = self.samples = self.pending = 0
        self.work = 0
        self.plans = {}
        self.models = {}
        self.singles = {}
        self.texts = {}
        self.scales = {}
        batch_start(&self.b)
        return 0

    # What every sample passes through

    cdef int check(self, int64_t boot_ms, int quality, int count, int scaled_floats=0) except -1:
        """Refuse what the format cannot say, and make room for what it can."""
        if not 0 <= boot_ms <= _MAX_TIME:
            raise ValueError(f"time {boot_ms} ms is not within 0..{_MAX_TIME}")
        if not 0 <= quality <= 0xFF or quality & 3 == 3:
            raise ValueError(f"{quality} is no quality")
        if self.samples + count > _MAX_SAMPLES:
            raise OverflowError(f"the batch is full: {self.samples} of {_MAX_SAMPLES} samples")
        if self.b.field_count + count > _MAX_FIELDS:
            raise OverflowError(f"the batch is full: {self.b.field_count} of {_MAX_FIELDS} fields")
        self.check_work(count + scaled_floats * <int64_t>_SCALED_FLOAT)
        self.make_shape(count)
        return self.reserve(RECORD_BYTES + count * (DECLARED_BYTES + SAMPLE_BYTES))

    cdef int check_work(self, int64_t most) except -1:
        """Refuse what may be too much work for a reader."""
        if self.work + most > _MAX_WORK:
            raise OverflowError(f"the batch is full: {self.work} of {_MAX_WORK} units of work")
        return 0

    cdef int reserve(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t used = self.encoder.p - self.out if self.pending else 0
        cdef Py_ssize_t room = self.room
        cdef void* grown
        if self.committed + used + size > _MAX_BYTES:
            raise OverflowError(f"the batch is full: {self.committed + used} of {_MAX_BYTES} bytes")
        if used + size <= room:
            return 0
        room = max(MORE_ROOM(room), used + size)
        grown = PyMem_Realloc(self.out, room + WORD)
        if grown == NULL:
            raise MemoryError
        self.out = <uint8_t*>grown
        self.encoder.p = self.out + used
        self.room = room
        return 0

    cdef int make_shape(self, int count) except -1:
        """Room for the state of one more shape."""
        if not room_for(&self.b, count):
            raise MemoryError
        return 0

    cdef void put_head(self, int head) noexcept:
        """How a record begins, by what the shape before it is usually followed by."""
        cdef Encoder* e = &self.encoder
        if self.b.last_shape < 0:
            put_symbol(e, &self.b.models[M_HEAD], head)
        else:
            put_mixed(e, &self.b.models[M_HEAD], &self.b.shapes[self.b.last_shape].head, head)

    cdef void start(self) noexcept:
        """The first record since the last commit begins a block."""
        cdef uint8_t* p = self.out
        if self.committed == 0:
            p[0] = <uint8_t>_VERSION
            p += 1
        encoder_start(&self.encoder, p)
        self.first_ms = LATER
        self.last_ms = -1

    cdef void put_record(self, int32_t index, int64_t boot_ms, int flags) noexcept:
        """Head and time of a record whose shape is known; flags follow where there are any."""
        cdef Batch* b = &self.b
        cdef Shape* shape = &b.shapes[index]
        cdef bint next = b.shapes[b.last_shape].successor == index
        if not self.pending:
            self.start()
        if next and not flags and expected(shape, b.last_ms) == boot_ms:
            self.put_head(HEAD_EXACT)
        else:
            self.put_head((HEAD_NEXT if next else HEAD_OTHER) + (flags != 0))
            if not next:
                put_other(&self.encoder, b, index)
            put_time(&self.encoder, b, shape, boot_ms)
        settle_record(b, index, boot_ms)
        if flags:
            put_symbol(&self.encoder, &b.models[M_FLAGS], flags)

    cdef void put_shape(self, int64_t period, int count, int flags) noexcept:
        """Declare a shape with the record that first uses it; its fields follow."""
        cdef Batch* b = &self.b
        if not self.pending:
            self.start()
        self.put_head(HEAD_NEW + (flags != 0))
        put_number(&self.encoder, &b.models[N_SHAPE], period)
        put_number(&self.encoder, &b.models[N_SHAPE], count)
        shape_start(&b.shapes[b.shape_count], period, count, b.field_count)
        b.shape_count += 1

    cdef void put_shape_like(self, ScanPlan plan, int like, int flags) noexcept:
        """Declare a shape like one there is, with the record that first uses it."""
        cdef Batch* b = &self.b
        cdef int first = b.shapes[like].first
        cdef int i
        if not self.pending:
            self.start()
        self.put_head(HEAD_LIKE + (flags != 0))
        put_number(&self.encoder, &b.models[N_LIKE], b.shape_count - 1 - like)
        shape_start(&b.shapes[b.shape_count], plan.period, plan.count, b.field_count)
        b.shape_count += 1
        for i in range(plan.count):
            field_like(b, self.put_field(plan.fields[i].number), first + i, i > 0)

    cdef Field* put_field(self, uint32_t number) noexcept:
        """The series of a new field; its form follows."""
        cdef Batch* b = &self.b
        cdef Field* f = &b.fields[b.field_count]
        put_number(&self.encoder, &b.models[N_SERIES], <int64_t>number - b.last_number - 1)
        b.last_number = number
        field_start(f, number)
        b.field_count += 1
        return f

    cdef void put_first_time(self, int64_t boot_ms, int flags) noexcept:
        """The time of the record that declared the last shape."""
        cdef Batch* b = &self.b
        put_number(&self.encoder, &b.models[N_FIRST_TIME], boot_ms - b.last_ms)
        settle_record(b, b.shape_count - 1, boot_ms)
        if flags:
            put_symbol(&self.encoder, &b.models[M_FLAGS], flags)

    cdef inline void enter(self, int64_t boot_ms, int count) noexcept:
        """Count the samples of a record."""
        if boot_ms < self.first_ms:
            self.first_ms = boot_ms
        if boot_ms > self.last_ms:
            self.last_ms = boot_ms
        self.pending += count
        self.samples += count

    cdef uint32_t scale_of(self, int64_t multiplier, int64_t addend, int exponent, Scale* scale) except 0:
        """The number of a scale in this batch; one more than there are for a new one."""
        cdef uint32_t number
        scale.multiplier = multiplier
        scale.addend = addend
        scale.exponent = exponent
        key = (multiplier, addend, exponent)
        found = self.scales.get(key)
        if found is None:
            found = self.b.scale_count + 1
            self.scales[key] = found
        number = found
        return number

    # Windows

    cdef int close_plan(self, ScanPlan plan, int64_t boot_ms, int quality) except -1:
        """Pack the windows of a plan's points that are over, if its scan can be taken."""
        cdef int i
        self.check(boot_ms, quality, plan.count, plan.scaled_floats)
        for i in range(plan.count):
            if is_over(plan.fields[i].state.window, boot_ms, False):
                self.close_window(plan.series[i], boot_ms, False)
        return 0

    cdef int close_window(self, Series series, int64_t boot_ms, bint final) except -1:
        """Pack the aggregates of the open window if it is over; how many."""
        cdef Py_ssize_t pending = self.pending
        cdef int64_t time
        if not is_over(series.state.window, boot_ms, final):
            return 0
        time = min(boot_ms, series.state.window.end)
        self.check(time, 0, AGGREGATES)
        self.check_work(AGGREGATES * (1 + _TEXT + _LETTER * <int64_t>_MAX_NUMBER))
        self.reserve(AGGREGATES * (RECORD_BYTES + DECLARED_BYTES + SAMPLE_BYTES + LETTER_BYTES * _MAX_NUMBER))
        for one, value, quality in series.take_window():
            self.append_one(one, time, value, quality)
        return <int>(self.pending - pending)

    # A scan

    cdef int put_scan(self, ScanPlan plan, int64_t boot_ms) except -1:
        """Pack what was judged to be reported."""
        cdef int reported = 0
        cdef int flags = 0
        cdef int i
        for i in range(plan.count):
            if plan.judged[i].reported:
                reported += 1
                if plan.judged[i].quality or not plan.judged[i].valued:
                    flags = FLAG_QUALITY
        if reported == 0:
            return 0
        if reported < plan.count:
            flags |= FLAG_PARTIAL
        if plan.batch != self.batch:
            found = self.plans.get(plan)
            plan.batch = self.batch
            plan.shape = -1 if found is None else found
        if plan.shape < 0:
            self.plans[plan] = plan.shape = self.b.shape_count
            self.declare(plan, boot_ms, flags)
        else:
            self.put_record(plan.shape, boot_ms, flags)
        self.put_samples(plan, &self.b.shapes[self.b.last_shape], flags)
        self.enter(boot_ms, reported)
        self.work += plan.count
        return reported

    cdef int declare(self, ScanPlan plan, int64_t boot_ms, int flags) except -1:
        """The shape of a plan, with its first record."""
        cdef PlanField* point
        cdef Scale scale
        cdef uint32_t number
        cdef Field* f
        cdef int i
        if plan.model is not None:
            like = self.models.get(plan.model)
            self.models[plan.model] = self.b.shape_count
            if like is not None:
                self.put_shape_like(plan, like, flags)
                self.put_first_time(boot_ms, flags)
                return 0
        self.put_shape(plan.period, plan.count, flags)
        for i in range(plan.count):
            point = &plan.fields[i]
            number = 0
            if point.form & KIND_SCALED:
                number = self.scale_of(point.rule.multiplier, point.rule.addend, point.rule.exponent, &scale)
            f = self.put_field(point.number)
            f.kind = KIND_NONE if is_float(point) else point.kind
            f.scale = number
            put_form(&self.encoder, &self.b, f.kind, 0, number, &scale)
        self.put_first_time(boot_ms, flags)
        return 0

    cdef void put_samples(self, ScanPlan plan, Shape* shape, int flags) noexcept:
        cdef Field* fields = self.b.fields + shape.first
        cdef Judged* one
        cdef int i
        if flags & FLAG_PARTIAL:
            self.put_presence(plan, shape)
        if flags & FLAG_QUALITY:
            self.put_qualities(plan, fields)
        for i in range(plan.count):
            one = &plan.judged[i]
            if not one.reported:
                continue
            if not flags & FLAG_QUALITY:
                fields[i].code = 0
            if one.valued:
                self.put_judged(&plan.fields[i], &fields[i], one.bits)

    cdef void put_judged(self, PlanField* point, Field* f, uint64_t bits) noexcept:
        if is_float(point):
            self.put_point(point, f, as_double(widen(<uint32_t>bits) if point.kind == KIND_FLOAT32 else bits))
        elif point.kind == KIND_FLOAT32:
            self.work += _SCALED_FLOAT
            put_value(&self.encoder, &self.b, f, ordered32(<uint32_t>bits))
        elif point.kind == KIND_FLOAT64:
            self.work += _SCALED_FLOAT
            put_value(&self.encoder, &self.b, f, ordered64(bits))
        else:
            put_value(&self.encoder, &self.b, f, bits)

    cdef void put_presence(self, ScanPlan plan, Shape* shape) noexcept:
        """Which fields the record has, four in a symbol."""
        cdef int groups = (plan.count + 3) >> 2
        cdef int i, j, mask
        if shape.groups < 0:
            groups_start(&self.b, shape)
        for i in range(groups):
            mask = 0
            for j in range(4 * i, min(4 * i + 4, plan.count)):
                mask |= plan.judged[j].reported << (j & 3)
            put_symbol(&self.encoder, &self.b.groups[shape.groups + i], mask)

    cdef void put_qualities(self, ScanPlan plan, Field* fields) noexcept:
        """The quality of every sample of the record."""
        cdef int before = 0
        cdef int i
        for i in range(plan.count):
            if plan.judged[i].reported:
                before = put_quality(&self.encoder, &self.b, &fields[i], plan.judged[i].quality << 1 | (not plan.judged[i].valued), before)

    cdef void put_point(self, PlanField* point, Field* f, double value) noexcept:
        """A float of a plan; a batch begins with the form that the last one ended with."""
        cdef Form form
        if f.known:
            float_form(f, value, &form)
        else:
            first_form(f, value, &point.usual, &form)
        put_float(&self.encoder, &self.b, f, &form)
        point.usual.kind = f.kind
        point.usual.digits = f.digits
        point.usual.round = f.round

    # A single value

    cdef bint append_one(self, Series series, int64_t boot_ms, value, int quality) except -1:
        self.check(boot_ms, quality, 1)
        if unlikely(series.state.window != NULL):
            self.close_window(series, boot_ms, False)
        if type(value) is int and not series.sentinels and not series.rule.limited:
            return self.append_int(series, boot_ms, value, quality)
        if type(value) is float or isinstance(value, float):
            return self.append_float(series, boot_ms, value, quality)
        if value is None:
            return self.append_none(series, boot_ms, quality)
        if not isinstance(value, (int, str, bytes, _Decimal)):
            raise TypeError(f"a value is None, bool, int, float, Decimal, str or bytes, not {type(value).__name__}")
        if isinstance(value, _Decimal) and not value.is_finite():
            raise ValueError(f"{value} is no finite decimal")
        if series.sentinels or series.rule.limited:
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

    cdef Field* single(self, Series series, int64_t boot_ms, int quality, bint valued, int kind, double value=0) except NULL:
        """Begin the record of one sample: its time and quality; the field whose value follows.

        A series that is new to the batch is declared as of that kind; as a QUOTIENT means in the shortest form of `value`.
        """
        cdef int code = quality << 1 | (not valued)
        cdef int flags = FLAG_QUALITY if code else 0
        cdef int32_t index
        cdef Field* f
        cdef Form form
        form.kind = kind
        form.digits = 0
        if series.batch != self.batch:
            found = self.singles.get(series.number)
            series.batch = self.batch
            series.shape = -1 if found is None else found
        index = series.shape
        if index < 0:
            index = self.b.shape_count
            self.singles[series.number] = index
            series.shape = index
            self.put_shape(0, 1, flags)
            f = self.put_field(series.number)
            if kind == KIND_QUOTIENT:
                plain_form(value, &form)
            put_form(&self.encoder, &self.b, form.kind, form.digits, 0, NULL)
            change_form(f, form.kind, form.digits, 0)
            self.put_first_time(boot_ms, flags)
        else:
            self.put_record(index, boot_ms, flags)
            f = &self.b.fields[self.b.shapes[index].first]
        if code:
            put_quality(&self.encoder, &self.b, f, code, 0)
        f.code = code
        self.enter(boot_ms, 1)
        self.work += 1
        return f

    cdef bint append_none(self, Series series, int64_t boot_ms, int quality) except -1:
        if quality == 0:
            quality = 2  # a sample without value is never good
        if not judge(&series.rule, &series.state, boot_ms, FORM_NONE, 0, quality):
            return False
        self.single(series, boot_ms, quality, False, KIND_NONE)
        return True

    cdef void put_integer(self, Field* f, int kind, uint64_t bits) noexcept:
        """An integer of 64 bits, in the field's form if that says it."""
        cdef int64_t power = WHOLE_POWERS[f.digits]
        cdef int64_t most = 0x7FFFFFFFFFFFFFFF // power
        if kind == KIND_INT and (f.kind == KIND_QUOTIENT or f.kind == KIND_MIXED) and -most <= <int64_t>bits <= most:
            if f.kind == KIND_MIXED:
                put_value(&self.encoder, &self.b, f, bits * <uint64_t>power)
                return
            put_change(&self.encoder, &self.b, f, KIND_MIXED, f.digits, 0, NULL)
            put_moved(&self.encoder, &self.b, f, bits * <uint64_t>power)
        elif f.scale == 0 and (f.kind == kind or (kind == KIND_INT and f.kind == KIND_UINT and <int64_t>bits >= 0)):
            put_value(&self.encoder, &self.b, f, bits)
        else:
            put_change(&self.encoder, &self.b, f, kind, 0, 0, NULL)
            put_moved(&self.encoder, &self.b, f, bits)

    cdef bint append_bits(self, Series series, int64_t boot_ms, int kind, uint64_t bits, int quality) except -1:
        if unlikely(series.state.counter != NULL) and quality == 0:
            quality = series.state.count(&series.rule, series.state.counter, kind, bits)
        if not judge(&series.rule, &series.state, boot_ms, kind, bits, quality):
            return False
        self.put_integer(self.single(series, boot_ms, quality, True, kind), kind, bits)
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
        cdef Form form
        cdef Field* f
        if isnan(value):
            if (quality & 3) != 2:
                quality = 2 | 4 << 2
        elif series.sentinels or series.rule.limited:
            quality = series.judged_quality(value, quality)
            if quality < 0:
                return self.append_none(series, boot_ms, -quality)
        if unlikely(series.state.counter != NULL) and quality == 0:
            quality = series.state.count(&series.rule, series.state.counter, KIND_FLOAT64, as_bits(value))
        if not judge(&series.rule, &series.state, boot_ms, KIND_FLOAT64, as_bits(value), quality):
            return False
        f = self.single(series, boot_ms, quality, True, KIND_QUOTIENT, value)
        float_form(f, value, &form)
        put_float(&self.encoder, &self.b, f, &form)
        return True

    cdef bint append_decimal(self, Series series, int64_t boot_ms, value, int quality) except -1:
        cdef Scale scale
        cdef Field* f
        cdef uint32_t number
        cdef uint64_t bits
        cdef int kind
        sign, digits, exponent = value.as_tuple()
        if not -MAX_EXPONENT <= exponent <= MAX_EXPONENT or len(digits) > 20:
            return self.append_text(series, boot_ms, KIND_NUMBER, value, number_text(sign, digits, exponent), quality)
        mantissa = int(_EXACT.scaleb(value, -exponent))
        if not -0x8000000000000000 <= mantissa <= 0xFFFFFFFFFFFFFFFF or (mantissa == 0 and sign):
            return self.append_text(series, boot_ms, KIND_NUMBER, value, number_text(sign, digits, exponent), quality)
        quality = series.counted_object(value, quality)
        if not series.judge_object(boot_ms, value, quality):
            return False
        kind = KIND_UINT if mantissa > 0x7FFFFFFFFFFFFFFF else KIND_INT
        bits = mantissa & 0xFFFFFFFFFFFFFFFF
        number = self.scale_of(1, 0, exponent, &scale)
        f = self.single(series, boot_ms, quality, True, KIND_NONE)
        if f.kind == kind and f.scale == number:
            put_value(&self.encoder, &self.b, f, bits)
        else:
            put_change(&self.encoder, &self.b, f, kind, 0, number, &scale)
            put_moved(&self.encoder, &self.b, f, bits)
        return True

    cdef bint append_text(self, Series series, int64_t boot_ms, int kind, value, bytes text, int quality) except -1:
        cdef Field* f
        cdef bint same
        limit = MAX_NUMBER_BYTES if kind == KIND_NUMBER else MAX_TEXT_BYTES
        if len(text) > limit:
            raise ValueError(f"a value of {len(text)} bytes; at most {limit}")
        self.check_work(1 + _TEXT + _LETTER * len(text))
        self.reserve(RECORD_BYTES + DECLARED_BYTES + SAMPLE_BYTES + LETTER_BYTES * len(text))
        quality = series.counted_object(value, quality)
        if not series.judge_object(boot_ms, value, quality):
            return False
        f = self.single(series, boot_ms, quality, True, KIND_NONE)
        if f.kind != kind:
            put_change(&self.encoder, &self.b, f, kind, 0, 0, NULL)
            f.known = True
        else:
            same = self.texts[series.number] == text
            put_symbol(&self.encoder, &self.b.models[M_SAME], 0 if same else 1)
            if same:
                return True
        self.texts[series.number] = text
        self.work += _TEXT + _LETTER * len(text)
        put_text(&self.encoder, &self.b, <const uint8_t*><const char*>text, len(text))
        return True
