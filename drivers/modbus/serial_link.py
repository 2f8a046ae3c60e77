"""A serial port, owned by this process alone."""

from drivers.modbus.conversation import Receiver
from drivers.port import Port, SerialBus


class SerialLink:
    """The port of `options`, found again by its name each time it is opened."""

    def __init__(self, options: SerialBus) -> None:
        self._port = Port(options)
        self._name = options.port

    @property
    def name(self) -> str:
        """The device file."""
        return self._name

    async def open(self, receiver: Receiver) -> None:
        """Open it anew; raises `BusError`."""
        await self._port.open()
        self._port.attach(receiver.received, receiver.lost)

    async def close(self) -> None:
        """Close it."""
        await self._port.close()

    async def set_baud(self, baud: int) -> None:
        """Speak at another rate from now on; raises `BusError`."""
        await self._port.set_baud(baud)

    def send(self, data: bytes) -> None:
        """Send without waiting; raises `BusError`."""
        self._port.send_now(data)

    def pause(self, seconds: float) -> None:
        """Look for nothing that long."""
        self._port.pause(seconds)

    def look(self) -> None:
        """Give what has come meanwhile."""
        self._port.look()
