# cython: language_level=3, boundscheck=False, wraparound=False
"""How the points of one response are read: compiled once, run at each scan."""

import struct

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from ext.series cimport Series
from ext.wire cimport KIND_BOOL, KIND_FLOAT32, KIND_FLOAT64, KIND_INT, KIND_SCALED, KIND_UINT

from ext.layout import CODINGS, Layout
from ext.limits import MAX_SENTINELS, MAX_SHAPE_FIELDS, MAX_TIME_MS

if MAX_SENTINELS > SENTINELS:
    raise ImportError(f"a field holds {SENTINELS} sentinels, not {MAX_SENTINELS}")


cdef class ScanPlan:
    """The points of one response; ValueError when a layout or a sentinel does not fit."""

    def __cinit__(self, fields, period=0):
        cdef Series series
        cdef int i
        fields = list(fields)
        if not 0 < len(fields) <= MAX_SHAPE_FIELDS:
            raise ValueError(f"a plan of {len(fields)} points; 1..{MAX_SHAPE_FIELDS} are allowed")
        if not 0 <= period <= MAX_TIME_MS:
            raise ValueError(f"period {period} ms is not within 0..{MAX_TIME_MS}")
        self.period = period
        self.series = []
        forms = []
        self.fields = <Field*>PyMem_Calloc(len(fields), sizeof(Field))
        self.judged = <Judged*>PyMem_Calloc(len(fields), sizeof(Judged))
        if self.fields == NULL or self.judged == NULL:
            raise MemoryError
        for i in range(len(fields)):
            layout, series = fields[i]
            if series is None:
                raise TypeError("a point of the plan has no series")
            self.compile(&self.fields[i], layout, series)
            self.series.append(series)
            forms.append(_form(&self.fields[i]))
        self.count = len(fields)
        if self.count >= LIKENESS:
            self.model = repr((period, forms)).encode()

    def __dealloc__(self):
        PyMem_Free(self.fields)
        PyMem_Free(self.judged)

    cdef int compile(self, Field* field, object layout, object point) except -1:
        cdef Series series = point
        cdef int i
        cdef int width = layout.width
        field.offset = layout.offset
        field.width = width
        positions = layout.positions()
        if width in (2, 4, 8) and positions == tuple(range(width)):
            field.words = width // 2
        for i, place in enumerate(positions):
            field.place[i] = 8 * (width - 1 - place)
        bits = _kind(field, layout)
        field.coding = CODINGS.index(layout.coding) + 1 if layout.coding else CODING_NONE
        field.form = field.kind
        if series.rule.scaled and field.kind != KIND_BOOL:
            field.form |= KIND_SCALED
            self.scaled_floats += field.kind == KIND_FLOAT32 or field.kind == KIND_FLOAT64
        field.rule = &series.rule
        field.state = &series.state
        field.number = series.number
        self.windowed = self.windowed or series.state.window != NULL
        self.size = max(self.size, layout.offset + width)
        return _sentinels(field, layout, series.sentinels, bits)


cdef object _kind(Field* field, layout):
    """Set how the raw bits are read; the bits there are."""
    cdef int bits = layout.bits or 8 * layout.width
    field.shift = layout.shift
    field.kind = KIND_UINT if layout.type == "uint64" else KIND_INT
    if layout.type == "bool":
        bits = 1
        field.kind = KIND_BOOL
    elif layout.type.startswith("float"):
        field.kind = KIND_FLOAT32 if bits == 32 else KIND_FLOAT64
    elif layout.type.startswith("int") and not layout.bits:
        field.sign = 64 - bits
    elif layout.bits == 64:
        field.kind = KIND_UINT
    field.mask = <uint64_t>0xFFFFFFFFFFFFFFFF >> (64 - bits)
    return bits


cdef tuple _form(const Field* field):
    """How the values of a point are written."""
    if not field.form & KIND_SCALED:
        return (field.form,)
    return field.form, field.rule.multiplier, field.rule.addend, field.rule.exponent


cdef int _sentinels(Field* field, layout, tuple sentinels, bits) except -1:
    """Sentinels as the raw bits they are found by: a signed or unsigned number of the width, or the float equal to it."""
    for value in sentinels:
        if field.kind == KIND_FLOAT32 or field.kind == KIND_FLOAT64:
            raw = int.from_bytes(struct.pack(">f" if bits == 32 else ">d", value), "big")
        elif -(1 << (bits - 1)) <= value < 1 << bits:
            raw = value & ((1 << bits) - 1)
        else:
            raise ValueError(f"sentinel {value} does not fit the {bits} bits of {layout}")
        field.sentinel[field.sentinels] = raw
        field.sentinels += 1
    return 0
