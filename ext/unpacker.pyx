# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Blocks to samples. Every byte is hostile: bounds come before memory, and nothing is read past the end."""

import re
from decimal import Context, Decimal

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.math cimport NAN
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ext.coder cimport (
    POWERS_OF_TEN, TAIL, WHOLE_POWERS, Cdf, Decoder, decoder_start, get_bits, get_magnitude, get_mixed, get_number, get_symbol,
)
from ext.model cimport *
from ext.reading cimport get_time, get_twin, move
from ext.twin cimport field_like, take_over
from ext.unpacker cimport Arrays, is_small
from ext.wire cimport *

from ext.columns import Columns
from ext.errors import FormatError
from ext.limits import FORMAT_VERSION, OLD_VERSION, MAX_BATCH_BYTES, MAX_DIGITS, MAX_EXPONENT, MAX_FIELDS, MAX_NUMBER_BYTES
from ext.limits import MAX_SAMPLES, MAX_SCALES, MAX_SERIES_NUMBER, MAX_SHAPE_FIELDS, MAX_TEXT_BYTES, MAX_TEXT_EXPONENT
from ext.limits import LETTER_WORK, MAX_TIME_MS, MAX_WORK, SCALED_FLOAT_WORK, TEXT_WORK
from ext.value import scaled_float

cdef enum:
    WIDEST = 2048  # ext.limits.MAX_SHAPE_FIELDS

    DECIMALS_BITS = 11
    DECIMALS = 1 << DECIMALS_BITS  # kept to be used again

    AS_NOTHING = 0  # ext.columns
    AS_INTEGER = 1
    AS_UNSIGNED = 2
    AS_FLOAT = 3
    AS_BOOL = 4
    AS_DECIMAL = 5
    AS_OBJECT = 6

if MAX_SHAPE_FIELDS > WIDEST:
    raise ImportError(f"a reader holds {WIDEST} fields of a shape, not {MAX_SHAPE_FIELDS}")

cdef extern from "Python.h":
    void Py_XDECREF(PyObject* value)
    PyObject* PyList_GetItem(object items, Py_ssize_t place) except NULL
    int PyList_Append(object items, object item) except -1
    object PyTuple_Pack(Py_ssize_t count, PyObject* a, PyObject* b, PyObject* c, PyObject* d)


cdef list _QUALITIES = list(range(256))
cdef object _Decimal = Decimal
cdef object _EXACT = Context(prec=60, Emax=999_999, Emin=-999_999)
cdef object _multiply = _EXACT.multiply
cdef object _NUMBER = re.compile(rb"-?[0-9]{1,512}(?:E(-?[0-9]{1,4}))?").fullmatch
cdef int64_t _TIME = MAX_TIME_MS
cdef int64_t _SHAPE_FIELDS = MAX_SHAPE_FIELDS
cdef int64_t _FIELDS = MAX_FIELDS
cdef int64_t _SAMPLES = MAX_SAMPLES
cdef int64_t _WORK = MAX_WORK
cdef int _LETTER = LETTER_WORK
cdef int _TEXT = TEXT_WORK
cdef int _SCALED_FLOAT = SCALED_FLOAT_WORK
cdef int64_t _NUMBERS = MAX_SERIES_NUMBER
cdef int64_t _SCALES = MAX_SCALES
cdef uint64_t MIX = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: spreads neighbours (Knuth, TAOCP 3, 6.4)


def unpack(blocks):
    """(series number, boot_ms, value, quality) of the blocks of one batch, in order; FormatError on anything wrong."""
    cdef _Reader reader = _Reader(False)
    reader.read(blocks)
    return reader.rows


def unpack_columns(blocks):
    """The same as columns: buffers that numpy and pyarrow take without a copy."""
    cdef _Reader reader = _Reader(True)
    reader.read(blocks)
    return reader.as_columns()


cdef struct Decimals:
    uint64_t raw
    uint64_t scale  # doubled, + 1 for an unsigned raw value
    PyObject* value


cdef class _Reader:
    cdef Batch b
    cdef Decoder d
    cdef const uint8_t* begin
    cdef bint columns
    cdef int last_head  # of the version
    cdef Arrays out
    cdef int64_t room
    cdef int64_t count
    cdef int64_t work
    cdef Decimals[DECIMALS] decimals  # a place for each hash of scale and raw value
    cdef dict objects  # values of the columns that only an object holds
    cdef list rows
    cdef list units  # 10**exponent of each scale, as a decimal
    cdef list powers  # 10**abs(exponent), as an integer
    cdef Scale* scales
    cdef int32_t scale_room
    cdef list numbers  # each field's series number
    cdef dict texts
    cdef object time  # the record's, as an object
    cdef uint8_t[WIDEST] present

    def __cinit__(self, bint columns):
        self.columns = columns
        self.objects = {}
        self.rows = []
        self.units = [None]
        self.powers = [None]
        self.numbers = []
        self.texts = {}
        batch_start(&self.b)

    def __dealloc__(self):
        cdef int i
        for i in range(DECIMALS):
            Py_XDECREF(self.decimals[i].value)
        PyMem_Free(self.b.shapes)
        PyMem_Free(self.b.fields)
        PyMem_Free(self.b.groups)
        PyMem_Free(self.scales)
        PyMem_Free(self.out.series)
        PyMem_Free(self.out.boot_ms)
        PyMem_Free(self.out.quality)
        PyMem_Free(self.out.kind)
        PyMem_Free(self.out.value)
        PyMem_Free(self.out.integer)
        PyMem_Free(self.out.exponent)

    cdef int read(self, blocks) except -1:
        total = 0
        for block in blocks:
            if not isinstance(block, bytes):
                raise TypeError(f"a block is bytes, not {type(block).__name__}")
            total += len(block)
        if total > MAX_BATCH_BYTES:
            raise FormatError(f"{total} bytes of blocks; at most {MAX_BATCH_BYTES}")
        for index, block in enumerate(blocks):
            try:
                self.read_block(block, index == 0)
            except FormatError as error:
                raise FormatError(f"block {index}, byte {self.position(len(block))}: {error}") from None
        return 0

    cdef object position(self, size):
        """About where the decoder stands."""
        return min(size, max(0, self.d.p - self.begin - TAIL)) if self.d.p else 0

    cdef int read_block(self, bytes block, bint first) except -1:
        cdef const uint8_t* p = <const uint8_t*><const char*>block
        cdef const uint8_t* end = p + len(block)
        cdef int head
        self.begin = p
        self.d.p = NULL
        if p == end:
            raise FormatError("the block is empty")
        if first:
            if not OLD_VERSION <= p[0] <= FORMAT_VERSION:
                raise FormatError(f"version {p[0]} is not known, only {OLD_VERSION} and {FORMAT_VERSION}")
            self.last_head = HEAD_LIKE_FLAGS if p[0] == FORMAT_VERSION else HEAD_END
            p += 1
        decoder_start(&self.d, p, end)
        while True:
            head = self.head()
            if head == HEAD_END:
                break
            self.read_record(head)
            if self.d.cut:
                raise FormatError("cut: the block ends inside a record")
        if self.d.cut:
            raise FormatError("cut: the block ends without its end")
        if self.d.p < end:
            raise FormatError(f"{end - self.d.p} bytes behind the end")
        return 0

    cdef int head(self) noexcept:
        if self.b.last_shape < 0:
            return get_symbol(&self.d, &self.b.models[M_HEAD])
        return get_mixed(&self.d, &self.b.models[M_HEAD], &self.b.shapes[self.b.last_shape].head)

    # Records

    cdef int read_record(self, int head) except -1:
        cdef Batch* b = &self.b
        cdef int32_t index
        cdef int64_t boot_ms
        cdef int flags = 0
        if head > self.last_head:
            raise FormatError(f"head {head} is not known")
        if head >= HEAD_NEW:
            index = self.read_like() if head >= HEAD_LIKE else self.read_shape()
            boot_ms = b.last_ms + clip(get_number(&self.d, &b.models[N_FIRST_TIME]), 60)
        else:
            if b.last_shape < 0:
                raise FormatError("the first record declares no shape")
            index = self.read_other() if head >= HEAD_OTHER else b.shapes[b.last_shape].successor
            if index < 0:
                raise FormatError("the shape that follows is not known")
            boot_ms = expected(&b.shapes[index], b.last_ms)
            if head != HEAD_EXACT:
                boot_ms += get_time(&self.d, b, &b.shapes[index])
        if not 0 <= boot_ms <= _TIME:
            raise FormatError(f"time {boot_ms} ms is not within 0..{_TIME}")
        settle_record(b, index, boot_ms)
        if head == HEAD_NEXT_FLAGS or head == HEAD_OTHER_FLAGS or head == HEAD_NEW_FLAGS or head == HEAD_LIKE_FLAGS:
            flags = get_symbol(&self.d, &b.models[M_FLAGS])
            if not 1 <= flags <= 3:
                raise FormatError(f"flags {flags} are not known")
        return self.read_samples(&b.shapes[index], boot_ms, flags)

    cdef int32_t read_other(self) except -2:
        """The shape of a record that is not the expected one."""
        cdef Batch* b = &self.b
        cdef int symbol = get_symbol(&self.d, &b.models[M_RANK])
        cdef int64_t number
        if symbol < RANK_FRESH:
            number = -1 if b.shape_count > RANKED_SHAPES else ranked(b, symbol)
            if number < 0:
                raise FormatError(f"no shape is number {symbol} to come")
            return <int32_t>number
        number = get_number(&self.d, &b.models[N_RANK])
        if symbol == RANK_FAR:
            number = clip(number, 32) + b.last_shape
            if not 0 <= number < b.shape_count:
                raise FormatError(f"shape {number} is not declared")
            return <int32_t>number
        number = fresh_at(b, number) if b.shape_count <= RANKED_SHAPES and number >= 0 else -1
        if number < 0:
            raise FormatError("there is no such shape that was seen once")
        b.fresh = <int32_t>number
        return <int32_t>number

    cdef int32_t read_shape(self) except -1:
        cdef Batch* b = &self.b
        cdef int64_t period = get_number(&self.d, &b.models[N_SHAPE])
        cdef int64_t count = get_number(&self.d, &b.models[N_SHAPE])
        cdef int i
        cdef Field* f
        if not 0 <= period <= _TIME:
            raise FormatError(f"a period of {period} ms")
        if not 0 < count <= _SHAPE_FIELDS:
            raise FormatError(f"a shape of {count} fields; 1..{_SHAPE_FIELDS} are allowed")
        self.start_shape(period, <int>count)
        for i in range(<int>count):
            f = self.read_field()
            self.read_form(f, get_symbol(&self.d, &b.models[M_KIND]))
        return b.shape_count - 1

    cdef int32_t read_like(self) except -1:
        """A shape that is declared like another."""
        cdef Batch* b = &self.b
        cdef int64_t distance = get_number(&self.d, &b.models[N_LIKE])
        cdef Shape* like
        cdef int i
        if not 0 <= distance < b.shape_count:
            raise FormatError(f"no shape was declared {distance} before")
        like = &b.shapes[b.shape_count - 1 - distance]
        first, count = like.first, like.count
        self.start_shape(like.period, like.count)
        for i in range(count):
            field_like(b, self.read_field(), first + i, i > 0)
        return b.shape_count - 1

    cdef int start_shape(self, int64_t period, int count) except -1:
        """One more shape; its fields follow."""
        cdef Batch* b = &self.b
        if b.field_count + count > _FIELDS:
            raise FormatError(f"more than {_FIELDS} fields")
        if not room_for(b, count):
            raise MemoryError
        shape_start(&b.shapes[b.shape_count], period, count, b.field_count)
        b.shape_count += 1
        return 0

    cdef Field* read_field(self) except NULL:
        """The series of a new field."""
        cdef Field* f = &self.b.fields[self.b.field_count]
        cdef int64_t number = clip(get_number(&self.d, &self.b.models[N_SERIES]), 40) + self.b.last_number + 1
        if not 0 <= number <= _NUMBERS:
            raise FormatError(f"series number {number} is not within 0..{_NUMBERS}")
        self.b.last_number = number
        field_start(f, <uint32_t>number)
        self.numbers.append(number)
        self.b.field_count += 1
        return f

    cdef int read_form(self, Field* f, int kind) except -1:
        """What a kind asks for."""
        cdef int digits = 0
        cdef int64_t scale = 0
        if kind >= KINDS or kind == KIND_ONCE:
            raise FormatError(f"kind {kind} is not known")
        if kind >= KIND_QUOTIENT:
            digits = get_symbol(&self.d, &self.b.models[M_DIGITS])
            if digits > MAX_DIGITS:
                raise FormatError(f"a float of {digits} digits; at most {MAX_DIGITS}")
        elif KIND_INT <= kind <= KIND_FLOAT64:
            scale = get_number(&self.d, &self.b.models[N_SCALE])
            if not 0 <= scale <= self.b.scale_count + 1 or scale > _SCALES:
                raise FormatError(f"scale {scale} is not declared")
            if scale > self.b.scale_count:
                self.read_scale()
        change_form(f, kind, digits, <uint32_t>scale)
        return 0

    cdef int read_scale(self) except -1:
        cdef Cdf* pair = &self.b.models[N_SCALE]
        cdef Scale* scale
        multiplier, addend, exponent = get_number(&self.d, pair), get_number(&self.d, pair), get_number(&self.d, pair)
        if not -MAX_EXPONENT <= exponent <= MAX_EXPONENT or multiplier == 0:
            raise FormatError(f"a scale of {multiplier} and 10 to the power {exponent}")
        self.units.append(_Decimal((0, (1,), exponent)))
        self.powers.append(10 ** abs(exponent))
        if not grown(<void**>&self.scales, &self.scale_room, self.b.scale_count + 2, sizeof(Scale)):
            raise MemoryError
        self.b.scale_count += 1
        scale = &self.scales[self.b.scale_count]
        scale.multiplier = multiplier
        scale.addend = addend
        scale.exponent = exponent
        return 0

    # Samples

    cdef int read_samples(self, Shape* shape, int64_t boot_ms, int flags) except -1:
        cdef Field* fields = self.b.fields + shape.first
        cdef int first = shape.first
        cdef int count = shape.count
        cdef int before = 0
        cdef int i
        if flags & FLAG_PARTIAL:
            self.read_presence(shape)
        if self.count + count > _SAMPLES:
            raise FormatError(f"more than {_SAMPLES} samples")
        self.take_work(count)
        if self.columns:
            self.grow(count)
        else:
            self.time = boot_ms
        if flags & FLAG_QUALITY:
            for i in range(count):
                if not flags & FLAG_PARTIAL or self.present[i]:
                    before = self.read_quality(&fields[i], before)
        for i in range(count):
            if flags & FLAG_PARTIAL and not self.present[i]:
                continue
            if not flags & FLAG_QUALITY:
                fields[i].code = 0
            if fields[i].code & 1:
                self.emit_nothing(first + i, boot_ms)
            else:
                self.read_value(first + i, boot_ms)
            if self.d.cut:
                raise FormatError("cut: the block ends inside a record")
        return 0

    cdef int take_work(self, int64_t work) except -1:
        """Refuse a batch that keeps its reader busy for nothing."""
        self.work += work
        if self.work > _WORK:
            raise FormatError(f"more work than {_WORK}")
        return 0

    cdef int read_presence(self, Shape* shape) except -1:
        cdef int i, mask, some
        if shape.groups < 0:
            groups_start(&self.b, shape)
        some = 0
        for i in range((shape.count + 3) >> 2):
            mask = get_symbol(&self.d, &self.b.groups[shape.groups + i])
            some |= mask
            if 4 * i + 4 > shape.count and mask >> (shape.count - 4 * i):
                raise FormatError("a sample of a field beyond the shape")
            self.present[4 * i] = mask & 1
            self.present[4 * i + 1] = mask >> 1 & 1
            self.present[4 * i + 2] = mask >> 2 & 1
            self.present[4 * i + 3] = mask >> 3
        if not some:
            raise FormatError("a record without samples")
        return 0

    cdef int read_quality(self, Field* f, int before) except -1:
        cdef int symbol = get_symbol(&self.d, &self.b.models[M_QUALITY + (before != 0) + 2 * (f.code != 0)])
        cdef int code = 0
        if symbol == QUALITY_BEFORE:
            code = before
        elif symbol == QUALITY_LAST:
            code = f.code
        elif symbol == QUALITY_OTHER:
            code = <int>get_bits(&self.d, 9)
        elif symbol != QUALITY_GOOD:
            raise FormatError(f"quality symbol {symbol} is not known")
        if code >> 1 & 3 == 3:
            raise FormatError(f"{code >> 1} is no quality")
        f.code = code
        return code

    cdef int read_value(self, int place, int64_t boot_ms) except -1:
        cdef Field* f = &self.b.fields[place]
        cdef int symbol
        cdef uint64_t bits
        if not f.known:
            if f.twin >= 0 and get_twin(&self.d, &self.b, f):
                return self.emit(place, boot_ms)
            if f.twin >= 0 or f.kind == KIND_NONE:
                return self.read_change(place, boot_ms, get_symbol(&self.d, &self.b.models[M_KIND]))
            return self.read_moved(place, boot_ms)
        if unlikely(f.twin >= 0):
            take_over(&self.b, f)
        if KIND_TEXT <= f.kind <= KIND_NUMBER:
            symbol = get_symbol(&self.d, &self.b.models[M_SAME])
            if symbol == 2:
                return self.read_change(place, boot_ms, get_symbol(&self.d, &self.b.models[M_KIND]))
            if symbol > 2:
                raise FormatError("a text that is neither the last nor another")
            return self.read_text(place, boot_ms) if symbol else self.emit_object(place, boot_ms, self.texts[place])
        if f.count:
            symbol = get_mixed(&self.d, &self.b.models[value_context(f)], &f.own)
        else:
            symbol = get_symbol(&self.d, &self.b.models[M_SECOND])
        if symbol == ESCAPE:
            symbol = get_symbol(&self.d, &self.b.models[N_VALUE])
            if symbol == 0:
                return self.read_change(place, boot_ms, get_symbol(&self.d, &self.b.models[M_KIND]))
            move(&self.d, &self.b, f, get_magnitude(&self.d, &self.b.models[N_VALUE], symbol))
        else:
            move(&self.d, &self.b, f, from_token(symbol, <int64_t>get_bits(&self.d, token_bits(symbol))))
        return self.emit(place, boot_ms)

    cdef int read_change(self, int place, int64_t boot_ms, int kind) except -1:
        """Another form, another step, or one float out of the ordinary."""
        cdef Field* f = &self.b.fields[place]
        cdef int64_t difference
        if kind == KIND_ONCE:
            return self.emit_float(place, boot_ms, as_double(get_bits(&self.d, 64)))
        if kind == CHANGE_STEP:
            if f.step <= 1:
                raise FormatError("a smaller step where there is none")
            difference = get_number(&self.d, &self.b.models[N_CHANGE])
            settle(f, break_step(f, difference))
            self.b.beside = f.difference
            return self.emit(place, boot_ms)
        self.read_form(f, kind)
        if KIND_TEXT <= kind <= KIND_NUMBER:
            f.known = True
            return self.read_text(place, boot_ms)
        return self.read_moved(place, boot_ms)

    cdef int read_moved(self, int place, int64_t boot_ms) except -1:
        """The first value, or the one right after a change of form."""
        cdef Field* f = &self.b.fields[place]
        if f.known:
            settle(f, get_number(&self.d, &self.b.models[N_CHANGE]))
            self.b.beside = f.difference
        elif KIND_TEXT <= f.kind <= KIND_NUMBER:
            f.known = True
            return self.read_text(place, boot_ms)
        else:
            f.last = <uint64_t>get_number(&self.d, &self.b.models[N_FIRST])
            f.known = True
            self.b.beside = 0
        return self.emit(place, boot_ms)

    cdef int read_text(self, int place, int64_t boot_ms) except -1:
        cdef int kind = self.b.fields[place].kind
        cdef int64_t size = get_number(&self.d, &self.b.models[N_LENGTH])
        cdef int64_t limit = MAX_NUMBER_BYTES if kind == KIND_NUMBER else MAX_TEXT_BYTES
        cdef int high = 0
        cdef int64_t i
        cdef uint8_t* p
        if not 0 <= size <= limit:
            raise FormatError(f"a value of {size} bytes; at most {limit}")
        self.take_work(_TEXT + _LETTER * size)
        data = bytearray(size)
        p = data
        for i in range(size):
            high = get_symbol(&self.d, &self.b.models[M_HIGH + high])
            p[i] = <uint8_t>(high << 4 | get_symbol(&self.d, &self.b.models[M_LOW + high]))
            if self.d.cut:
                raise FormatError("cut: the block ends inside a text")
        value = _text(kind, bytes(data))
        self.texts[place] = value
        return self.emit_object(place, boot_ms, value)

    # What comes out

    cdef int grow(self, int count) except -1:
        """Room in the columns for so many samples more."""
        cdef int64_t room = self.room
        if self.count + count <= room:
            return 0
        room = min(_SAMPLES, max(MORE_ROOM(room), self.count + count))
        self.out.series = <uint32_t*>_larger(self.out.series, room * sizeof(uint32_t))
        self.out.boot_ms = <int64_t*>_larger(self.out.boot_ms, room * sizeof(int64_t))
        self.out.quality = <uint8_t*>_larger(self.out.quality, room)
        self.out.kind = <uint8_t*>_larger(self.out.kind, room)
        self.out.value = <double*>_larger(self.out.value, room * sizeof(double))
        self.out.integer = <int64_t*>_larger(self.out.integer, room * sizeof(int64_t))
        self.out.exponent = <int8_t*>_larger(self.out.exponent, room)
        self.room = room
        return 0

    cdef void put(self, int place, int64_t boot_ms, int kind, double value, int64_t integer, int exponent) noexcept:
        """One sample into the columns."""
        cdef Field* f = &self.b.fields[place]
        self.out.series[self.count] = f.number
        self.out.boot_ms[self.count] = boot_ms
        self.out.quality[self.count] = <uint8_t>(f.code >> 1)
        self.out.kind[self.count] = <uint8_t>kind
        self.out.value[self.count] = value
        self.out.integer[self.count] = integer
        self.out.exponent[self.count] = <int8_t>exponent
        self.count += 1

    cdef int row(self, int place, value) except -1:
        """One sample as a tuple."""
        return self.row_of(place, <PyObject*>value)

    cdef int row_of(self, int place, PyObject* value) except -1:
        cdef int quality = self.b.fields[place].code >> 1
        PyList_Append(self.rows, PyTuple_Pack(4, PyList_GetItem(self.numbers, place), <PyObject*>self.time, value,
                                              PyList_GetItem(_QUALITIES, quality)))
        self.count += 1
        return 0

    cdef int emit_nothing(self, int place, int64_t boot_ms) except -1:
        if self.columns:
            self.put(place, boot_ms, AS_NOTHING, NAN, 0, 0)
            return 0
        return self.row(place, None)

    cdef int emit_float(self, int place, int64_t boot_ms, double value) except -1:
        if self.columns:
            self.put(place, boot_ms, AS_FLOAT, value, 0, 0)
            return 0
        return self.row(place, value)

    cdef int emit_object(self, int place, int64_t boot_ms, value) except -1:
        if not self.columns:
            return self.row(place, value)
        self.objects[self.count] = value
        self.put(place, boot_ms, AS_OBJECT, NAN if isinstance(value, (str, bytes)) else _as_float(value), 0, 0)
        return 0

    cdef int emit(self, int place, int64_t boot_ms) except -1:
        """The value that the field's state says."""
        cdef Field* f = &self.b.fields[place]
        cdef int kind = f.kind
        cdef int64_t whole = <int64_t>f.last
        cdef int64_t power
        if kind == KIND_QUOTIENT:
            return self.emit_float(place, boot_ms, <double>whole / POWERS_OF_TEN[f.digits])
        if kind == KIND_SINGLE:
            return self.emit_float(place, boot_ms, <double><float>(<double>whole / POWERS_OF_TEN[f.digits]))
        if kind == KIND_MIXED:
            power = WHOLE_POWERS[f.digits]
            if whole % power:
                return self.emit_float(place, boot_ms, <double>whole / POWERS_OF_TEN[f.digits])
            return self.emit_integer(place, boot_ms, AS_INTEGER, <uint64_t>(whole // power))
        if f.scale:
            return self.emit_scaled(place, boot_ms)
        if kind == KIND_FLOAT64:
            return self.emit_float(place, boot_ms, as_double(ordered64(f.last)))
        if kind == KIND_FLOAT32:
            return self.emit_float(place, boot_ms, as_double(widen(unordered32(f.last))))
        if kind == KIND_NONE:
            raise FormatError("a value in a field that has none")
        if kind == KIND_BOOL:
            return self.emit_integer(place, boot_ms, AS_BOOL, f.last != 0)
        return self.emit_integer(place, boot_ms, AS_INTEGER if kind == KIND_INT else AS_UNSIGNED, f.last)

    cdef int emit_integer(self, int place, int64_t boot_ms, int kind, uint64_t bits) except -1:
        if self.columns:
            self.put(place, boot_ms, kind, <double>bits if kind == AS_UNSIGNED else <double><int64_t>bits, <int64_t>bits, 0)
            return 0
        if kind == AS_BOOL:
            return self.row(place, bits != 0)
        if kind == AS_INTEGER:
            return self.row(place, <int64_t>bits)
        return self.row(place, bits)

    cdef int emit_scaled(self, int place, int64_t boot_ms) except -1:
        """A raw value with a scale; the object is made once for a value that stays."""
        cdef Field* f = &self.b.fields[place]
        cdef int64_t whole = <int64_t>f.last
        cdef Scale* scale = &self.scales[f.scale]
        if f.kind == KIND_FLOAT32 or f.kind == KIND_FLOAT64:
            self.take_work(_SCALED_FLOAT)
            raw = as_double(widen(unordered32(f.last)) if f.kind == KIND_FLOAT32 else ordered64(f.last))
            return self.emit_float(place, boot_ms, scaled_float(raw, scale.multiplier, scale.addend, scale.exponent))
        if self.columns and f.kind == KIND_INT and is_small(scale, whole):
            self.put_decimal(place, boot_ms, whole * scale.multiplier + scale.addend, scale.exponent)
            return 0
        if self.columns:
            return self.put_large(place, boot_ms, self.scaled_number(f), f.scale, scale.exponent)
        return self.row_of(place, self.decimal(f))

    cdef PyObject* decimal(self, const Field* f) except NULL:
        """The decimal of a raw integer, owned here until another takes its place."""
        cdef PyObject* before
        cdef uint64_t scale = 2 * <uint64_t>f.scale + (f.kind == KIND_UINT)
        cdef Decimals* known = &self.decimals[(f.last + scale * MIX) * MIX >> (64 - DECIMALS_BITS)]
        if known.value == NULL or known.raw != f.last or known.scale != scale:
            value = _multiply(self.scaled_number(f), self.units[f.scale])
            before = known.value
            Py_INCREF(value)
            known.value = <PyObject*>value
            known.raw = f.last
            known.scale = scale
            Py_XDECREF(before)
        return known.value

    cdef object scaled_number(self, const Field* f):
        """A raw integer with its scale but for the power of ten."""
        cdef Scale* scale = &self.scales[f.scale]
        if f.kind == KIND_INT and is_small(scale, <int64_t>f.last):
            return <int64_t>f.last * scale.multiplier + scale.addend
        multiplier, addend = scale.multiplier, scale.addend
        if f.kind == KIND_UINT:
            return f.last * multiplier + addend
        return <int64_t>f.last * multiplier + addend

    cdef int put_large(self, int place, int64_t boot_ms, number, uint32_t scale, int exponent) except -1:
        """A decimal that only an object holds, and the double nearest to it."""
        power = self.powers[scale]
        self.objects[self.count] = _EXACT.multiply(number, self.units[scale])
        self.put(place, boot_ms, AS_OBJECT, number / power if exponent < 0 else number * power, 0, 0)
        return 0

    cdef void put_decimal(self, int place, int64_t boot_ms, int64_t number, int exponent) noexcept:
        cdef double power = POWERS_OF_TEN[-exponent if exponent < 0 else exponent]
        self.put(place, boot_ms, AS_DECIMAL, number / power if exponent < 0 else number * power, number, exponent)

    cdef object as_columns(self):
        return Columns(
            _buffer(self.out.series, self.count * sizeof(uint32_t), "I"),
            _buffer(self.out.boot_ms, self.count * sizeof(int64_t), "q"),
            _buffer(self.out.quality, self.count, "B"),
            _buffer(self.out.kind, self.count, "B"),
            _buffer(self.out.value, self.count * sizeof(double), "d"),
            _buffer(self.out.integer, self.count * sizeof(int64_t), "q"),
            _buffer(self.out.exponent, self.count, "b"),
            self.objects,
        )


cdef void* _larger(void* memory, size_t size) except NULL:
    cdef void* grown = PyMem_Realloc(memory, size)
    if grown == NULL:
        raise MemoryError
    return grown


cdef object _buffer(const void* memory, Py_ssize_t size, format):
    return memoryview(PyBytes_FromStringAndSize(<const char*>memory, size)).cast(format)


cdef double _as_float(value) except? -1.0:
    """The nearest double; infinite where there is none."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


cdef object _text(int kind, bytes data):
    if kind == KIND_BYTES:
        return data
    if kind == KIND_NUMBER:
        return _number(data)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"a text that is no UTF-8: {error.reason}") from None


cdef object _number(bytes data):
    """An integer, or with an E a decimal, of any size within the bounds."""
    match = _NUMBER(data)
    if match is None:
        raise FormatError("a number that is none")
    if match[1] is None:
        return int(data)
    if abs(int(match[1])) > MAX_TEXT_EXPONENT:
        raise FormatError(f"a decimal with exponent {int(match[1])}")
    return _Decimal(data.decode())
