# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Blocks to samples. Every byte is hostile: bounds come before memory, and nothing is read past the end."""

import re
from decimal import Context, Decimal

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ext.wire cimport *

from ext.errors import FormatError
from ext.limits import FORMAT_VERSION, MAX_BATCH_BYTES, MAX_DIGITS, MAX_EXPONENT, MAX_FIELDS, MAX_NUMBER_BYTES
from ext.limits import MAX_SAMPLES, MAX_SERIES_NUMBER, MAX_SHAPE_FIELDS, MAX_TEXT_BYTES, MAX_TEXT_EXPONENT, MAX_TIME_MS
from ext.value import scaled_float

cdef enum:
    WIDEST = 2048  # ext.limits.MAX_SHAPE_FIELDS

if MAX_SHAPE_FIELDS > WIDEST:
    raise ImportError(f"a reader holds {WIDEST} fields of a shape, not {MAX_SHAPE_FIELDS}")

cdef object _Decimal = Decimal
cdef object _EXACT = Context(prec=60, Emax=999_999, Emin=-999_999)
cdef object _NUMBER = re.compile(rb"-?[0-9]{1,512}(?:E(-?[0-9]{1,4}))?").fullmatch
cdef uint64_t _TIME = MAX_TIME_MS
cdef uint64_t _SHAPE_FIELDS = MAX_SHAPE_FIELDS
cdef Py_ssize_t _FIELDS = MAX_FIELDS
cdef Py_ssize_t _SAMPLES = MAX_SAMPLES


def unpack(blocks):
    """(series number, boot_ms, value, quality) of the blocks of one batch, in order; FormatError on anything wrong."""
    total = 0
    for block in blocks:
        if not isinstance(block, bytes):
            raise TypeError(f"a block is bytes, not {type(block).__name__}")
        total += len(block)
    if total > MAX_BATCH_BYTES:
        raise FormatError(f"{total} bytes of blocks; at most {MAX_BATCH_BYTES}")
    cdef _Reader reader = _Reader()
    for index, block in enumerate(blocks):
        try:
            reader.read_block(block, index == 0)
        except FormatError as error:
            raise FormatError(f"block {index}, byte {reader.position()}: {error}") from None
    return reader.samples


cdef class _Reader:
    cdef const uint8_t* start
    cdef const uint8_t* p
    cdef const uint8_t* end
    cdef Shape* shapes
    cdef Py_ssize_t shape_count
    cdef Py_ssize_t shape_room
    cdef Field* fields
    cdef Py_ssize_t field_count
    cdef Py_ssize_t field_room
    cdef list values  # each field's last value as an object, made when first asked for
    cdef list scales
    cdef int64_t last_ms
    cdef int64_t last_number
    cdef Field described
    cdef list samples
    cdef uint8_t[WIDEST] present
    cdef uint16_t[WIDEST] codes

    def __cinit__(self):
        self.values = []
        self.scales = [None]
        self.samples = []
        self.last_number = -1

    def __dealloc__(self):
        PyMem_Free(self.shapes)
        PyMem_Free(self.fields)

    cdef Py_ssize_t position(self):
        return self.p - self.start

    cdef int read_block(self, bytes block, bint first) except -1:
        self.start = self.p = <const uint8_t*><const char*>block
        self.end = self.p + len(block)
        if self.p == self.end:
            raise FormatError("the block is empty")
        if first:
            version = self.varint()
            if version != FORMAT_VERSION:
                raise FormatError(f"version {version} is not known, only {FORMAT_VERSION}")
        while self.p < self.end:
            self.read_record()
        return 0

    # Primitives

    cdef uint64_t varint(self) except? 0xFFFFFFFFFFFFFFFF:
        cdef uint64_t value = 0
        cdef int shift = 0
        cdef uint8_t byte
        while True:
            if self.p == self.end:
                raise FormatError("cut inside a number")
            byte = self.p[0]
            if shift == 63 and byte > 1:
                raise FormatError("a number of more than 64 bits")
            self.p += 1
            value |= <uint64_t>(byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    cdef int64_t signed(self) except? -1:
        return unzigzag(self.varint())

    cdef const uint8_t* take(self, Py_ssize_t size) except NULL:
        cdef const uint8_t* p = self.p
        if size > self.end - p:
            raise FormatError(f"cut: {size} bytes are due, {self.end - p} are left")
        self.p += size
        return p

    cdef uint64_t xor(self, int width) except? 0xFFFFFFFFFFFFFFFF:
        """The difference of two floats, as `put_xor` writes it."""
        cdef uint8_t head = self.take(1)[0]
        cdef int size = head >> 4
        cdef int below = head & 0x0F
        cdef const uint8_t* p
        cdef uint64_t value = 0
        cdef int i
        if size + below > width:
            raise FormatError(f"a float of {size + below} bytes in place of {width}")
        p = self.take(size) if size else self.p
        for i in range(size):
            value |= <uint64_t>p[i] << (8 * (i + below))
        return value

    # Declarations

    cdef int read_shape(self) except -1:
        cdef uint64_t period = self.varint()
        cdef uint64_t count = self.varint()
        cdef Shape* shape
        cdef Py_ssize_t i
        if period > _TIME:
            raise FormatError(f"a period of {period} ms")
        if not 0 < count <= _SHAPE_FIELDS:
            raise FormatError(f"a shape of {count} fields; 1..{_SHAPE_FIELDS} are allowed")
        if self.field_count + <Py_ssize_t>count > _FIELDS:
            raise FormatError(f"more than {_FIELDS} fields")
        if <uint64_t>(self.end - self.p) < 2 * count:
            raise FormatError(f"cut inside the declaration of {count} fields")
        self.grow(count)
        shape = &self.shapes[self.shape_count]
        shape.period = period
        shape.step = 0
        shape.last_ms = self.last_ms
        shape.begun = False
        shape.first = self.field_count
        shape.count = count
        for i in range(<Py_ssize_t>count):
            self.read_field(&self.fields[self.field_count + i])
        self.values.extend([None] * shape.count)
        self.field_count += count
        self.shape_count += 1
        return 0

    cdef int grow(self, Py_ssize_t count) except -1:
        cdef void* grown
        if self.shape_count == self.shape_room:
            grown = PyMem_Realloc(self.shapes, (2 * self.shape_room + 16) * sizeof(Shape))
            if grown == NULL:
                raise MemoryError
            self.shapes = <Shape*>grown
            self.shape_room = 2 * self.shape_room + 16
        if self.field_count + count > self.field_room:
            grown = PyMem_Realloc(self.fields, (2 * self.field_room + count + 16) * sizeof(Field))
            if grown == NULL:
                raise MemoryError
            self.fields = <Field*>grown
            self.field_room = 2 * self.field_room + count + 16
        return 0

    cdef int read_field(self, Field* field) except -1:
        cdef uint64_t step = self.varint()
        cdef int64_t number
        cdef uint8_t kind
        if step > 1 << 40:
            raise FormatError("a series number out of bounds")
        number = self.last_number + 1 + unzigzag(step)
        if not 0 <= number <= <int64_t>0xFFFFFFFF:
            raise FormatError(f"series number {number} is not within 0..{MAX_SERIES_NUMBER}")
        self.last_number = number
        kind = self.take(1)[0]
        if kind != KIND_AS_BEFORE:
            self.describe(kind)
        elif self.described.kind == KIND_AS_BEFORE:
            raise FormatError("the first field is said to be like the one before")
        field[0] = self.described
        field.number = <unsigned int>number
        field.bits = 0
        return 0

    cdef int describe(self, uint8_t kind) except -1:
        cdef uint8_t plain = kind & 0x0F
        self.described.digits = 0
        self.described.scale = 0
        if kind & ~0x1F or plain > KIND_QUOTIENT or not plain or (kind & KIND_SCALED and plain > KIND_FLOAT64):
            raise FormatError(f"kind {kind} is not known")
        self.described.kind = kind
        if kind & KIND_SCALED:
            multiplier, addend, exponent = self.signed(), self.signed(), self.signed()
            if not -MAX_EXPONENT <= exponent <= MAX_EXPONENT or multiplier == 0:
                raise FormatError(f"a scale of {multiplier} and 10 to the power {exponent}")
            self.described.scale = len(self.scales)
            self.scales.append((multiplier, addend, exponent, _Decimal((0, (1,), exponent))))
        elif kind == KIND_QUOTIENT:
            digits = self.varint()
            if digits > MAX_DIGITS:
                raise FormatError(f"a float of {digits} digits; at most {MAX_DIGITS}")
            self.described.digits = digits
        return 0

    # Records

    cdef int read_record(self) except -1:
        cdef uint64_t head = self.varint()
        cdef uint64_t index = head >> RECORD_SHIFT
        cdef int flags = head & 7
        cdef Shape* shape
        cdef int present
        if index > <uint64_t>self.shape_count:
            raise FormatError(f"shape {index} is not declared")
        if index == <uint64_t>self.shape_count:
            self.read_shape()
        shape = &self.shapes[index]
        self.read_time(shape)
        present = self.read_present(shape.count) if flags & RECORD_PARTIAL else self.all_present(shape.count)
        if len(self.samples) + present > _SAMPLES:
            raise FormatError(f"more than {_SAMPLES} samples")
        memset(self.codes, 0, shape.count * sizeof(uint16_t))
        if flags & RECORD_QUALITY:
            self.read_codes(shape.count)
        return self.read_values(shape, flags)

    cdef int read_time(self, Shape* shape) except -1:
        cdef int64_t residual = self.signed()
        cdef int64_t boot_ms
        if not -(<int64_t>1 << 56) < residual < (<int64_t>1 << 56):
            raise FormatError("a time out of bounds")
        boot_ms = shape.last_ms + shape.step + residual
        if not 0 <= boot_ms <= <int64_t>_TIME:
            raise FormatError(f"time {boot_ms} ms is not within 0..{_TIME}")
        if shape.period:
            shape.step = shape.period
        elif shape.begun:
            shape.step = boot_ms - shape.last_ms
        shape.begun = True
        shape.last_ms = self.last_ms = boot_ms
        return 0

    cdef int all_present(self, int count) except -1:
        memset(self.present, 1, count)
        return count

    cdef int read_present(self, int count) except -1:
        cdef uint64_t listed = 0
        cdef int total = 0
        cdef int index = -1
        cdef int i
        if count > WIDE_SHAPE:
            listed = self.varint()
        if listed > <uint64_t>count:
            raise FormatError(f"{listed} samples of a shape of {count} fields")
        if listed:
            memset(self.present, 0, count)
            for i in range(<int>listed):
                index = self.next_index(index, count)
                self.present[index] = 1
            return <int>listed
        self.read_mask(self.present, count)
        for i in range(count):
            total += self.present[i]
        if not total:
            raise FormatError("a record without samples")
        return total

    cdef int next_index(self, int index, int count) except -1:
        cdef uint64_t gap = self.varint()
        if gap >= <uint64_t>(count - index - 1):
            raise FormatError(f"a field beyond the {count} of the shape")
        return index + 1 + <int>gap

    cdef int read_mask(self, uint8_t* into, int count) except -1:
        cdef const uint8_t* p = self.take((count + 7) >> 3)
        cdef int i
        if count & 7 and p[count >> 3] >> (count & 7):
            raise FormatError("bits are set beyond the end of a mask")
        for i in range(count):
            into[i] = p[i >> 3] >> (i & 7) & 1
        return 0

    cdef int read_codes(self, int count) except -1:
        cdef uint64_t listed = self.varint()
        cdef int index = -1
        cdef int i
        cdef int code
        if listed > <uint64_t>count:
            raise FormatError(f"{listed} qualities for a shape of {count} fields")
        if listed == 0:
            code = self.code()
            for i in range(count):
                self.codes[i] = code
        for i in range(<int>listed):
            index = self.next_index(index, count)
            if not self.present[index]:
                raise FormatError("a quality for a field without a sample")
            self.codes[index] = self.code()
        return 0

    cdef int code(self) except -1:
        cdef uint64_t code = self.varint()
        if code > 0x1FF or code >> 1 & 3 == 3:
            raise FormatError(f"{code >> 1} is no quality")
        return <int>code

    cdef int read_values(self, Shape* shape, int flags) except -1:
        cdef uint8_t[WIDEST] changed
        cdef int valued = 0
        cdef int place = 0
        cdef int i
        for i in range(shape.count):
            valued += self.present[i] and not self.codes[i] & 1
        memset(changed, 0 if flags & RECORD_SAME else 1, valued)
        if flags & RECORD_SAME:
            if not valued:
                raise FormatError("values are said to be unchanged where there are none")
            if valued > 1:
                self.read_mask(changed, valued)
        boot_ms = shape.last_ms
        for i in range(shape.count):
            if not self.present[i]:
                continue
            value = None
            if not self.codes[i] & 1:
                value = self.read_value(shape.first + i, changed[place])
                place += 1
            self.samples.append((self.fields[shape.first + i].number, boot_ms, value, self.codes[i] >> 1))
        return 0

    cdef object read_value(self, Py_ssize_t index, bint changed):
        cdef Field* field = &self.fields[index]
        if changed:
            value = self.changed_value(field)
        else:
            value = self.values[index]
            if value is not None:
                return value
            value = self.first_value(field)
        self.values[index] = value
        return value

    cdef object first_value(self, Field* field):
        """What a field that never changed holds: zero, or nothing written."""
        cdef int kind = field.kind & 0x0F
        if kind == KIND_TEXT:
            return ""
        if kind == KIND_BYTES:
            return b""
        if kind == KIND_NUMBER or kind == KIND_NONE:
            raise FormatError("a field's value is said to be unchanged before its first")
        return self.from_bits(field)

    cdef object changed_value(self, Field* field):
        cdef int kind = field.kind & 0x0F
        if kind == KIND_INT or kind == KIND_UINT or kind == KIND_QUOTIENT:
            field.bits += <uint64_t>self.signed()
        elif kind == KIND_FLOAT64:
            field.bits ^= self.xor(8)
        elif kind == KIND_FLOAT32:
            field.bits ^= self.xor(4)
        elif kind == KIND_BOOL:
            field.bits ^= 1
        elif kind == KIND_NONE:
            raise FormatError("a value in a field that has none")
        else:
            return self.text(kind)
        return self.from_bits(field)

    cdef object from_bits(self, Field* field):
        cdef int kind = field.kind & 0x0F
        if kind == KIND_BOOL:
            return field.bits != 0
        if kind == KIND_QUOTIENT:
            return <double><int64_t>field.bits / power_of_ten(field.digits)
        if kind == KIND_FLOAT32 or kind == KIND_FLOAT64:
            number = as_double(widen(<uint32_t>field.bits) if kind == KIND_FLOAT32 else field.bits)
            if not field.scale:
                return number
            multiplier, addend, exponent, _ = self.scales[field.scale]
            return scaled_float(number, multiplier, addend, exponent)
        raw = _integer(kind, field.bits)
        if not field.scale:
            return raw
        multiplier, addend, _, unit = self.scales[field.scale]
        return _EXACT.multiply(raw * multiplier + addend, unit)

    cdef object text(self, int kind):
        cdef uint64_t size = self.varint()
        cdef uint64_t limit = MAX_NUMBER_BYTES if kind == KIND_NUMBER else MAX_TEXT_BYTES
        if size > limit:
            raise FormatError(f"a value of {size} bytes; at most {limit}")
        cdef const uint8_t* p = self.take(size) if size else self.p
        data = PyBytes_FromStringAndSize(<const char*>p, size)
        if kind == KIND_BYTES:
            return data
        if kind == KIND_NUMBER:
            return _number(data)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"a text that is no UTF-8: {error.reason}") from None


cdef object _integer(int kind, uint64_t bits):
    """The bits as a signed or an unsigned number; no conditional expression, whose C type is unsigned throughout."""
    if kind == KIND_INT:
        return <int64_t>bits
    return bits


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
