"""A Modbus TCP server (pymodbus's) with simulated units behind it."""

from collections.abc import Iterable, Sequence
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import SimData, SimDevice

from drivers.simulated.log import ServedLog
from drivers.simulated.unit import COILS, DISCRETES, HOLDINGS, INPUTS, Unit

WRITE_REGISTERS = (6, 16)  # Modbus Application Protocol V1.1b3, 6.6 and 6.12
_READS = (COILS, DISCRETES, HOLDINGS, INPUTS)


class _Units:
    """What the server asks for values; a unit that is not there stays silent."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self.by_number = {unit.number: unit for unit in units}

    async def async_getValues(  # noqa: N802 pymodbus's name
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        unit = self._unit(device_id)
        function = HOLDINGS if func_code in WRITE_REGISTERS else func_code
        if function not in _READS:
            return ExcCodes.ILLEGAL_FUNCTION
        return unit.read(function, address, count) if unit.knows(address, count) else ExcCodes.ILLEGAL_ADDRESS

    async def async_setValues(  # noqa: N802 pymodbus's name
        self, device_id: int, func_code: int, address: int, values: Sequence[int]
    ) -> ExcCodes | None:
        unit = self._unit(device_id)
        if func_code not in WRITE_REGISTERS:
            return ExcCodes.ILLEGAL_FUNCTION
        if not unit.knows(address, len(values)):
            return ExcCodes.ILLEGAL_ADDRESS
        return None if unit.write(address, values) else ExcCodes.ILLEGAL_VALUE

    def _unit(self, number: int) -> Unit:
        unit = self.by_number.get(number)
        if unit is None:
            raise NoSuchIdException("no such unit")
        return unit


class _Connection(ServerRequestHandler):
    """Notes what an answer said once the transport has taken it."""

    def server_send(self, pdu: ModbusPDU, addr: Any) -> None:  # noqa: ANN401 pymodbus's signature
        request, transport = self.last_pdu, self.transport
        if transport is None or transport.is_closing():
            return
        super().server_send(pdu, addr)  # type: ignore[no-untyped-call]
        self.server.note(request, pdu)


class SimulatedServer(ModbusTcpServer):
    """Serves `units` and writes down in `log` what it served."""

    def __init__(self, host: str, port: int, units: Sequence[Unit], log: ServedLog) -> None:
        super().__init__(SimDevice(0, [SimData(0)]), address=(host, port), ignore_missing_devices=True)
        self.context: Any = _Units(units)
        self._units = {unit.number: unit for unit in units}
        self._log = log

    @property
    def port(self) -> int:
        """The port it listens on."""
        number: int = self.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return number

    def callback_new_connection(self) -> ServerRequestHandler:
        """A handler that notes what it sends."""
        return _Connection(  # type: ignore[no-untyped-call]
            self, self.trace_packet, self.trace_pdu, self.trace_connect
        )

    def note(self, request: ModbusPDU | None, answer: ModbusPDU) -> None:
        """Log the values of an answer that was sent."""
        unit = self._units.get(answer.dev_id)
        if request is None or unit is None or answer.isError() or request.function_code not in _READS:
            return
        bits = request.function_code in (COILS, DISCRETES)
        cells = [int(bit) for bit in answer.bits] if bits else answer.registers
        self._log.write(unit.served(request.function_code, request.address, cells[: request.count]))
