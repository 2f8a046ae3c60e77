"""Asks meters for their readout, and gives its objects to the points that want them."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, cast

from pydantic import Field, field_validator

from drivers.base import AskingDriver, BusSetup, DeviceSetup, Options, Read, Sink
from drivers.errors import BadAnswer, NoAnswer, SetupError
from drivers.iec62056.protocol import MAX_READOUT, Answer, Identification, acknowledgement, request
from drivers.iec62056.readout import READ, parse
from drivers.obis import DataObject
from drivers.on_port import PortDriver
from drivers.port import MAX_BAUD, SerialBus
from drivers.telegrams import ObisPoint, Triple, Wanted, only, wanted

DEFAULT_BAUD = 300  # IEC 62056-21: 300 baud, 7 data bits, even parity, 1 stop bit
EVERY = 900_000  # ms, where the configuration does not say: a readout wakes battery meters, and takes up to minutes

# IEC 62056-21, 6.3.14, item 12: a meter answers after 200 to 1500 ms; two characters are at most 1500 ms apart
SILENCE_MS = 1500
REACTION_MS = 200

USUAL_READOUT = 1000  # bytes: meters send between 200 and, with the values of 15 months, 9000
USUAL_NAME = 20  # bytes of an identification
USUAL_BAUD = 4800  # what most meters of mode C go on at

_CONTROL = {"<STX>": "\x02", "<ETX>": "\x03", "<ACK>": "\x06", "<CR>": "\r", "<LF>": "\n"}
_NAMED = re.compile("|".join(_CONTROL))


class Iec62056Bus(SerialBus):
    """`[buses.x]`: a serial port at the rate that meters are first asked at."""

    baud: int = Field(default=DEFAULT_BAUD, gt=0, le=MAX_BAUD)
    data_bits: Literal[7, 8] = 7
    parity: Literal["none", "even", "odd"] = "even"
    max_baud: int = Field(default=19200, ge=300, le=19200)
    checksum: Literal["required", "optional"] = "required"


class Iec62056Device(Options):
    """`[devices.x]`: which meter answers (6.3.14: at most 32 letters, digits and blanks), in which mode."""

    address: str = Field(default="", pattern="^[0-9A-Za-z ]{0,32}$")
    mode: Literal["auto", "A", "C"] = "auto"

    @field_validator("mode", mode="before")
    @classmethod
    def _read(cls, mode: object) -> object:
        if mode in ("B", "D", "E"):
            raise ValueError(f"mode {mode} is not read: A and C are; the README of iec62056 says what to do")
        return mode


class Iec62056Point(ObisPoint):
    """`[devices.x.points.y]`: an object by the code that the meter sends, and how it is read."""

    read: Literal["number", "text", "time"] = "number"


class Iec62056Driver(PortDriver, AskingDriver):
    """IEC 62056-21 meters on an optical head, or on a current loop with a converter."""

    BusOptions: ClassVar[type[Options]] = Iec62056Bus
    DeviceOptions: ClassVar[type[Options]] = Iec62056Device
    PointOptions: ClassVar[type[Options]] = Iec62056Point
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._options = cast("Iec62056Bus", setup.options)
        self._devices = {device.device.id: cast("Iec62056Device", device.options) for device in setup.devices}
        self._points = {device.device.id: wanted(device, Iec62056Point) for device in setup.devices}
        _check_addresses(setup.devices)

    def reads(self) -> list[Read]:
        """One readout of each meter."""
        return [
            Read(one.device.id, (), one.device.id, one.device.every or EVERY, tuple(p.point.id for p in one.points))
            for one in self.setup.devices
            if one.points
        ]

    async def ask(self, read: Read, sink: Sink) -> None:
        """Read one meter out; raises `NoAnswer`, `BadAnswer`, `BusError`."""
        self._tell(read.device, await self._readout(self._devices[read.device]), sink)

    def cost(self, read: Read) -> float:
        """Of a readout of the usual length, at the usual rate where the meter may choose one."""
        device = self._devices[read.device]
        byte_ms, fast_ms = self._options.byte_ms, self._options.byte_ms
        if device.mode != "A":
            fast_ms *= self._options.baud / min(USUAL_BAUD, self._options.max_baud)
        start = len(request(device.address)) + USUAL_NAME + len(acknowledgement("0"))
        return start * byte_ms + USUAL_READOUT * fast_ms + 2 * REACTION_MS

    def patience(self, read: Read) -> float:
        """The request and the silence after it."""
        return len(request(self._devices[read.device].address)) * self._options.byte_ms + SILENCE_MS

    def recording(self, pieces: Sequence[tuple[bool, bytes]]) -> str:
        """What the first meter sent."""
        data = b"".join(data for sent, data in pieces if not sent)
        return "\n".join("".join(map(_shown, line)) for line in data.split(b"\r\n"))

    def replay(self, recording: str, sink: Sink) -> None:
        """The lines that a meter sends, with <STX>, <ETX> and <hh> for bytes; `@device` names who sends them."""
        answers: dict[str, str] = {}
        device = self.setup.devices[0].device.id
        for line in recording.splitlines():
            if line.startswith("@"):
                device = line[1:]
            elif not line.startswith("#"):
                answers[device] = answers.get(device, "") + line + "\r\n"
        for device, text in answers.items():
            try:
                self._tell(device, self._replayed(self._devices[device], _bytes(text)), sink)
            except KeyError:
                raise BadAnswer("the recording names an unknown device") from None
            except (BadAnswer, NoAnswer) as error:
                sink.failed(device, error)

    async def _readout(self, device: Iec62056Device) -> str:
        await self._port.set_baud(self._options.baud)
        answer = self._answer(device)
        found = await self._exchange(request(device.address), answer)
        if isinstance(found, Identification):
            rate = _rate(found, self._options.max_baud)
            await asyncio.sleep(REACTION_MS / 1000)
            found = await self._exchange(acknowledgement(rate[0]), answer, rate[1])
        if isinstance(found, Identification):  # it has been acknowledged, and only a data block can follow
            raise BadAnswer("IEC 62056-21 readout: no data block")
        return found

    async def _exchange(self, message: bytes, answer: Answer, baud: int | None = None) -> Identification | str:
        """Send, then wait for the answer as long as the meter goes on talking."""
        loop, last = asyncio.get_running_loop(), 0.0

        def take(data: bytes) -> Identification | str | None:
            silence.reschedule(loop.time() + SILENCE_MS / 1000)
            return answer.feed(data)

        last = loop.time() + (len(message) * self._port.byte_ms + SILENCE_MS) / 1000
        slowest = min(baud or self._options.baud, self._options.baud)
        longest = SILENCE_MS + MAX_READOUT * self._options.byte_ms * self._options.baud / slowest
        try:
            async with asyncio.timeout_at(last) as silence:
                return await self._port.ask(message, take, longest, then_baud=baud)
        except TimeoutError as error:
            if isinstance(error, NoAnswer):
                raise
            raise NoAnswer(f"silent for {SILENCE_MS} ms") from None

    def _answer(self, device: Iec62056Device) -> Answer:
        return Answer(mode=device.mode, checksum_required=self._options.checksum == "required")

    def _replayed(self, device: Iec62056Device, data: bytes) -> str:
        answer = self._answer(device)
        found = None
        for byte in data:  # what follows an identification is fed to the same answer, as on the line
            found = answer.feed(bytes((byte,)))
            if isinstance(found, str):
                return found
        raise NoAnswer("the readout is not whole")

    def _tell(self, device: str, block: str, sink: Sink) -> None:
        found = parse(block)
        sink.values(device, [_say(point, found) for point in self._points[device]])


def _say(point: Wanted[Iec62056Point], found: list[DataObject]) -> Triple:
    options = point.options
    return point.judge(only([READ[options.read](one) for one in found if one.code == options.code]))


def _rate(found: Identification, most: int) -> tuple[str, int]:
    """The character and the rate to go on at: what the meter offers, or 300 baud where that is too fast here."""
    offered = found.baud or DEFAULT_BAUD
    return (found.rate, offered) if offered <= most else ("0", DEFAULT_BAUD)


def _shown(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F and byte != ord("<") else f"<{byte:02X}>"


def _bytes(text: str) -> bytes:
    named = _NAMED.sub(lambda match: _CONTROL[match[0]], text)
    return re.sub("<([0-9A-F]{2})>", lambda match: chr(int(match[1], 16)), named).encode("latin-1", "replace")


def _check_addresses(devices: tuple[DeviceSetup, ...]) -> None:
    """Meters on one line are told apart by their addresses; raises `SetupError`."""
    seen: set[str] = set()
    problems: list[tuple[str, str, object]] = []
    for device in devices:
        address = cast("Iec62056Device", device.options).address
        if address in seen or (len(devices) > 1 and not address):
            problems.append((f"devices.{device.device.id}.address", "each meter on a bus needs its own", address))
        seen.add(address)
    if problems:
        raise SetupError(problems)
