"""What a configuration may say of a bus and its devices."""

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator

from config.units import MINUTE, SECOND, duration_between
from drivers.base import Options
from drivers.modbus.pdu import MAX_BITS, MAX_REGISTERS, Table

LATER = ("rtu", "rtu-over-tcp", "ascii", "tls")  # transports that other versions have or will have
DEFAULT_GAP = 32  # registers read for nothing: 64 bytes cost less than the 12 of a request, its answer's 9 and the wait
MIN_TIMEOUT = 10  # ms; no device answers faster than its TCP stack

Timeout = Annotated[int, BeforeValidator(duration_between(MIN_TIMEOUT, MINUTE))]


class BusOptions(Options):
    """A Modbus TCP server: a device, or a gateway with devices behind it."""

    transport: str
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%-]{1,253}$")]  # RFC 1035 2.3.4; also an IPv6 address with zone
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 502  # registered for Modbus TCP: TCP 3.1.3
    timeout: Timeout = 500
    connect_timeout: Timeout = 3 * SECOND

    @model_validator(mode="before")
    @classmethod
    def _only_tcp(cls, data: object) -> object:
        # The keys of another transport are no errors of their own: the transport is the one thing to tell.
        if isinstance(data, dict) and data.get("transport", "tcp") != "tcp":
            return {"transport": data["transport"], "host": "other"}
        return data

    @field_validator("transport", mode="before")
    @classmethod
    def _known_transport(cls, value: object) -> object:
        if value in LATER:
            raise ValueError(f'transport "{value}" is not in this version; "tcp" is')
        if value != "tcp":
            raise ValueError('must be "tcp"')
        return value


class DeviceOptions(Options):
    """One unit, and how much it takes in one request."""

    address: Annotated[int, Field(strict=True, ge=0, le=255)]  # 255 for a server that is itself the device: TCP 4.4.1
    max_registers: Annotated[int, Field(strict=True, ge=1, le=MAX_REGISTERS)] = MAX_REGISTERS
    max_coils: Annotated[int, Field(strict=True, ge=1, le=MAX_BITS)] = MAX_BITS
    max_gap: Annotated[int, Field(strict=True, ge=0, le=MAX_REGISTERS)] = DEFAULT_GAP
    """Registers that nobody wants and that are read all the same to save a request; 16 coils count as one."""
    high_registers: Annotated[bool, Field(strict=True)] = False
    """Registers from 10001 up are meant as they stand, not as 1xxxx, 3xxxx or 4xxxx numbers."""

    def cap(self, table: Table) -> int:
        """The most addresses of one request."""
        return self.max_coils if table.single_bits else self.max_registers

    def gap(self, table: Table) -> int:
        """The most unwanted addresses in a row of one request."""
        return self.max_gap * 16 if table.single_bits else self.max_gap
