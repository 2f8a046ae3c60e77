"""Listens to advertisements near one adapter."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from drivers.base import BusSetup, ListeningDriver, Options, Read, Sink
from drivers.ble.advertisements import Listeners
from drivers.ble.formats import short
from drivers.ble.options import BleBus, BleDevice, BlePoint
from drivers.errors import BadAnswer, BusError

if TYPE_CHECKING:
    from drivers.ble.radio import Radio

# address, RSSI in dBm, company id and manufacturer data in hex, or "service", its UUID and its data
_RECORD = re.compile(
    r"((?:[0-9A-F]{2}:){5}[0-9A-F]{2}) (-?[0-9]{1,3}) "
    r"(?:([0-9A-Fa-f]{4})|service ([0-9a-f-]{4,36})) ((?:[0-9A-Fa-f]{2})*)"
)


_short = lru_cache(maxsize=256)(short)  # a street has a dozen services


class BleDriver(ListeningDriver):
    """Bluetooth LE sensors that advertise manufacturer data of a fixed layout."""

    BusOptions: ClassVar[type[Options]] = BleBus
    DeviceOptions: ClassVar[type[Options]] = BleDevice
    PointOptions: ClassVar[type[Options]] = BlePoint
    profiles: ClassVar[Path | None] = Path(__file__).parent / "profiles"

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._listeners = Listeners(setup)
        self._radio: Radio | None = None

    def reads(self) -> list[Read]:
        """The payload of each device."""
        return list(self._listeners.reads)

    def facts(self) -> Mapping[str, str | int]:
        """How the adapter scans, and what was done to heal it."""
        return {} if self._radio is None else self._radio.facts()

    async def open(self) -> None:
        """See that adapter and BlueZ are there; raises `BusError`."""
        from drivers.ble.radio import Radio  # bleak costs 10 MB: only for who has a Bluetooth bus

        if self._radio is None:  # kept from then on: what was done to heal it is not forgotten when it went away
            self._radio = Radio(cast("BleBus", self.setup.options), self._listeners.senders)
        await self._radio.open()

    async def close(self) -> None:
        """Leave the adapter as it was."""
        if self._radio is not None:
            await self._radio.close()

    async def listen(self, sink: Sink) -> None:
        """Scan and feed `sink` until cancelled; raises `BusError` when the adapter or BlueZ is gone."""
        if self._radio is None:
            raise BusError(f"Bluetooth adapter {cast('BleBus', self.setup.options).adapter} is not open")
        take = self._listeners.take

        def heard(
            address: str, rssi: int, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes], name: str
        ) -> None:
            short = {_short(uuid): data for uuid, data in services.items()} if services else services
            take(address, rssi, manufacturer, short, sink, name)

        await self._radio.listen(heard)

    def replay(self, recording: str, sink: Sink) -> None:
        """A line an advertisement: `C4:11:22:33:44:55 -60 0499 0512fc...` or `... service fcd2 40...`; # comments."""
        for number, line in enumerate(recording.splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            match = _RECORD.fullmatch(line)
            if match is None:
                raise BadAnswer(f"line {number} is not: address, RSSI, company id in hex, data in hex")
            data = bytes.fromhex(match[5])
            manufacturer = {int(match[3], 16): data} if match[3] else {}
            services = {short(match[4]): data} if match[4] else {}
            self._listeners.take(match[1], int(match[2]), manufacturer, services, sink)
