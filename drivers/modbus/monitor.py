"""Says of the bytes on a Modbus bus what they are; no I/O. It judges by itself, not by what the client made of them."""

from dataclasses import dataclass

from drivers.errors import BadAnswer
from drivers.modbus import ascii as ascii_frames
from drivers.modbus import rtu
from drivers.modbus.encode import MASK_WRITE, WRITE_COIL, WRITE_COILS, WRITE_REGISTER, WRITE_REGISTERS
from drivers.modbus.identification import IDENTIFY
from drivers.modbus.mbap import HEADER, MAX_LENGTH, parse_frame
from drivers.modbus.pdu import ERROR_BIT, EXCEPTIONS, Request, parse_request
from drivers.tap import Monitor, Shown

MAX_HELD = 2048  # bytes that may become a frame: an echo and an answer in ASCII are less than 1100

_WRITES = {
    WRITE_COIL: "write coil", WRITE_REGISTER: "write register", WRITE_COILS: "write coils",
    WRITE_REGISTERS: "write registers", MASK_WRITE: "mask register",
}  # fmt: skip
_SAME = (WRITE_COIL, WRITE_REGISTER, MASK_WRITE)  # answered by the request itself: APP 6.5, 6.6, 6.16


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame with its transaction, 0 on a line."""

    data: bytes
    transaction: int
    unit: int
    pdu: bytes


class ModbusMonitor(Monitor):
    """Cuts frames, and pairs answers with the request before them."""

    def __init__(self, transport: str) -> None:
        super().__init__()
        self._transport = transport
        self._asked: _Frame | None = None
        self._answered = True

    def feed(self, at: float, sent: bool, data: bytes) -> list[Shown]:
        """Take a piece; the frames that it completes."""
        if sent:
            return [*self.flush(), *self._unanswered(at), self._request(at, data)]
        if not self._held:
            self._at = at
        self._held = (self._held + data)[-MAX_HELD:]
        shown = []
        while (size := self._size(self._held)) is not None:
            frame, self._held = self._held[:size], self._held[size:]
            shown.append(self._answer(self._at, frame))
            self._at = at
        return shown

    def flush(self) -> list[Shown]:
        """What is held becomes no frame any more, unless one stands behind noise."""
        held, self._held = self._held, b""
        shown, noise = [], 0
        while noise < len(held):
            size = self._size(held[noise:])
            if size is None:
                noise += 1
                continue
            shown += [self._noise(held[:noise])] if noise else []
            shown.append(self._answer(self._at, held[noise : noise + size]))
            held, noise = held[noise + size :], 0
        return [*shown, self._noise(held)] if held else shown

    def _unanswered(self, at: float) -> list[Shown]:
        if self._answered or self._asked is None:
            return []
        unit = self._asked.unit
        return [Shown(at, sent=False, data=b"", what=f"no answer of unit {unit}", fields={"unit": unit})]

    def _request(self, at: float, data: bytes) -> Shown:
        self._asked, self._answered = self._parse(data), False
        if self._asked is None:
            return Shown(at, sent=True, data=data, what="no Modbus frame")
        what, fields = _question(self._asked.unit, self._asked.pdu)
        return Shown(at, sent=True, data=data, what=what, fields=fields)

    def _answer(self, at: float, data: bytes) -> Shown:
        frame, asked = self._parse(data), self._asked
        if frame is None:
            return self._noise(data)
        said, fields = _said(frame)
        kind = self._kind(frame, asked)
        if kind == "answer":
            self._answered = True
        if kind == "echo":
            said = "the request"
        return Shown(at, sent=False, data=data, what=f"{kind}: {said}", fields={"kind": kind, **fields})

    def _kind(self, frame: _Frame, asked: _Frame | None) -> str:
        """What the frame is to the request before it."""
        if asked is None or (self._answered and frame.transaction == asked.transaction):
            return "late or foreign"
        if frame.transaction != asked.transaction:
            return "late"
        if frame.data == asked.data and asked.pdu[0] not in _SAME:
            return "echo"
        if frame.unit != asked.unit:
            return "foreign"
        if frame.pdu[0] & ~ERROR_BIT != asked.pdu[0]:
            return "late or foreign"
        request = parse_request(asked.unit, asked.pdu)
        whole = request is None or frame.pdu[0] & ERROR_BIT or len(frame.pdu) == request.length
        return "answer" if whole else "late or foreign"

    def _noise(self, data: bytes) -> Shown:
        damaged = len(data) >= 4 and self._asked is not None and data[:1] == bytes((self._asked.unit,))
        what = "damaged: wrong checksum or cut off" if damaged else "no Modbus frame"
        return Shown(self._at, sent=False, data=data, what=what, fields={"kind": "damaged"})

    def _parse(self, data: bytes) -> _Frame | None:
        try:
            if self._transport in ("tcp", "tls"):
                frame = parse_frame(data)
                return _Frame(data, frame.transaction, frame.unit, frame.pdu)
            if self._transport == "ascii":
                return _Frame(data, 0, *ascii_frames.decode(data.removesuffix(ascii_frames.END)))
            return _Frame(data, 0, *rtu.decode(data))
        except BadAnswer:
            return None

    def _size(self, held: bytes) -> int | None:
        """How many of the bytes are one frame; None when they do not begin with a whole one."""
        if self._transport in ("tcp", "tls"):
            length = int.from_bytes(held[4:6], "big")
            whole = len(held) > HEADER and held[2:4] == b"\0\0" and 2 <= length <= MAX_LENGTH
            return 6 + length if whole and len(held) >= 6 + length else None
        if self._transport == "ascii":
            end = held.find(ascii_frames.END)
            return end + len(ascii_frames.END) if held.startswith(ascii_frames.START) and end >= 0 else None
        own = None if self._asked is None else self._asked.data
        sizes = [len(own)] if own is not None and held.startswith(own) else []
        if (size := rtu.declared(held)) is not None:
            sizes.append(size)
        return next((size for size in sizes if len(held) >= size and self._parse(held[:size]) is not None), None)


def _question(unit: int, pdu: bytes) -> tuple[str, dict[str, object]]:
    request = parse_request(unit, pdu)
    if isinstance(request, Request):
        table, address, count = request.table.value, request.address, request.count
        what = f"unit {unit}, read {table} {address}" + (f" to {address + count - 1}" if count > 1 else "")
        return what, {"unit": unit, "function": pdu[0], "table": table, "address": address, "count": count}
    fields: dict[str, object] = {"unit": unit, "function": pdu[0]}
    if pdu[0] in _WRITES and len(pdu) >= 3:
        fields["address"] = int.from_bytes(pdu[1:3], "big")
        return f"unit {unit}, {_WRITES[pdu[0]]} {fields['address']}", fields
    what = "device identification" if pdu[:2] == IDENTIFY else f"function {pdu[0]}"
    return f"unit {unit}, {what}", fields


def _said(frame: _Frame) -> tuple[str, dict[str, object]]:
    function = frame.pdu[0] & ~ERROR_BIT
    fields: dict[str, object] = {"unit": frame.unit, "function": function}
    if frame.pdu[0] & ERROR_BIT and len(frame.pdu) > 1:
        code = frame.pdu[1]
        text = EXCEPTIONS.get(code, "not a code of the standard")
        return f"unit {frame.unit}, exception {code}: {text}", {**fields, "exception": code}
    size = len(frame.pdu) - 2 if 1 <= function <= 4 else len(frame.pdu) - 1
    return f"unit {frame.unit}, function {function}, {size} bytes", fields
