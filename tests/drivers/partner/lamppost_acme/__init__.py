"""Acme T1 thermometers behind a TCP gateway: (number, address) is asked, (number, temperature, humidity) answered."""

import asyncio
from pathlib import Path
from typing import ClassVar, Literal, cast

from pydantic import Field

from drivers.base import BusSetup, DeviceSetup, Options, PolledDriver, Read, Sink
from drivers.errors import BadAnswer, BusError, NoAnswer
from ext import Layout

ANSWER = 5  # bytes: number, temperature in 0.1 Cel (signed), humidity in 0.1 % (Acme T1 data sheet, table 2)
SECONDS = 1.0  # the data sheet: an answer takes at most 0.6 s
EVERY = 10_000  # ms, where the configuration does not say
PLACES = {"temperature": Layout(0, "int16"), "humidity": Layout(2, "uint16")}


class AcmeBus(Options):
    """`[buses.x]`: where the gateway is."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=4001, gt=0, lt=65536)


class AcmeDevice(Options):
    """`[devices.x]`: the address set at the thermometer."""

    address: int = Field(ge=0, le=255)


class AcmePoint(Options):
    """`[devices.x.points.y]`: which of the two."""

    quantity: Literal["temperature", "humidity"]


class AcmeDriver(PolledDriver):
    """Acme T1 thermometers."""

    BusOptions: ClassVar[type[Options]] = AcmeBus
    DeviceOptions: ClassVar[type[Options]] = AcmeDevice
    PointOptions: ClassVar[type[Options]] = AcmePoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._options = cast("AcmeBus", setup.options)
        self._reads = [_read(device) for device in setup.devices]
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._number = 0

    def reads(self) -> list[Read]:
        """One request for each thermometer."""
        return self._reads

    async def open(self) -> None:
        """Connect; raises `BusError`."""
        try:
            self._streams = await asyncio.open_connection(self._options.host, self._options.port)
        except OSError as error:
            raise BusError(f"no gateway at {self._options.host}: {error}") from error

    async def close(self) -> None:
        """Disconnect."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()

    async def read(self, read: Read) -> bytes:
        """Ask one thermometer; a late answer to an earlier question has another number and is passed over."""
        if self._streams is None:
            raise BusError("the gateway is not connected")
        reader, writer = self._streams
        self._number = (self._number + 1) % 256
        writer.write(bytes([self._number, cast("int", read.request)]))
        try:
            async with asyncio.timeout(SECONDS):
                while (answer := await reader.readexactly(ANSWER))[0] != self._number:
                    continue
        except TimeoutError as error:
            raise NoAnswer(f"{read.device} says nothing") from error
        except (OSError, EOFError) as error:
            raise BusError("the gateway hung up") from error
        return answer[1:]

    def replay(self, recording: str, sink: Sink) -> None:
        """A device and its answer in hex, without the number, a line."""
        reads = {read.device: read for read in self._reads}
        for line in recording.splitlines():
            device, _, answer = line.partition(" ")
            if device in reads:
                sink.scan(reads[device], bytes.fromhex(answer))
            elif line and not line.startswith("#"):
                raise BadAnswer(f"no device {device!r}")


def _read(setup: DeviceSetup) -> Read:
    points = [(point.point.id, PLACES[cast("AcmePoint", point.options).quantity]) for point in setup.points]
    address = cast("AcmeDevice", setup.options).address
    return Read(setup.device.id, tuple(points), address, setup.device.every or EVERY)
