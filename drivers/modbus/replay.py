"""Recorded frames through the same judgement as live ones; no I/O."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from drivers.base import Read, Sink
from drivers.errors import BadAnswer, DeviceError, NoAnswer
from drivers.modbus import ascii as ascii_frames
from drivers.modbus import rtu
from drivers.modbus.answers import Answers
from drivers.modbus.client import BITS_A_BYTE, WIDER, narrow
from drivers.modbus.mbap import Frame, parse_frame
from drivers.modbus.pdu import Request, parse_request, payload
from drivers.modbus.recording import lines

_LINES: dict[str, Callable[[bytes], tuple[int, bytes]]] = {
    "rtu": rtu.decode,
    "rtu-over-tcp": rtu.decode,
    "ascii": lambda data: ascii_frames.decode(data.removesuffix(ascii_frames.END)),
}


class Replay:
    """Pairs requests and answers: by transaction number, or on a line by their order."""

    def __init__(self, transport: str, reads: Sequence[Read], answers: Answers, sink: Sink) -> None:
        self._decode = _LINES.get(transport)
        self._reads = {read.request: read for read in reads}
        self._answers = answers
        self._sink = sink
        self._waiting: dict[int, tuple[Request, Read]] = {}

    def run(self, recording: str) -> None:
        """All of it; a request that is not one of the reads is a stranger, one left unanswered failed."""
        for line in lines(recording):
            try:
                frame = self._parse(line.data)
            except BadAnswer as error:
                self._sink.stranger(f"line {line.number}: {error}")
                continue
            if line.asked:
                self._ask(frame)
            elif frame.transaction in self._waiting:
                self._answer(*self._waiting.pop(frame.transaction), frame)
            else:
                self._sink.stranger(f"line {line.number}: an answer that nobody waits for")
        for number in tuple(self._waiting):
            self._silent(number)

    def _parse(self, data: bytes) -> Frame:
        return parse_frame(data) if self._decode is None else Frame(0, *self._decode(data))

    def _ask(self, frame: Frame) -> None:
        self._silent(frame.transaction)
        request = parse_request(frame.unit, frame.pdu)
        read = None if request is None else self._read(request)
        if request is None or read is None:
            self._sink.stranger(f"a request that is not one of ours: unit {frame.unit}, {frame.pdu.hex(' ')}")
        else:
            self._waiting[frame.transaction] = request, read

    def _read(self, request: Request) -> Read | None:
        """The read that was asked, perhaps a little wider than it is (`LineClient`)."""
        if request in self._reads:
            return self._reads[request]
        step = BITS_A_BYTE if request.table.single_bits else 1
        less = (replace(request, count=request.count - more * step) for more in range(1, WIDER + 1))
        return next((self._reads[one] for one in less if one in self._reads), None)

    def _silent(self, number: int) -> None:
        if number in self._waiting:
            self._sink.failed(self._waiting.pop(number)[1].device, NoAnswer("no answer in the recording"))

    def _answer(self, request: Request, read: Read, frame: Frame) -> None:
        try:
            data = payload(request, frame.unit, frame.pdu)
        except DeviceError as error:
            self._sink.failed(read.device, error)
        else:
            self._answers.give(read, narrow(cast("Request", read.request), data), self._sink)
