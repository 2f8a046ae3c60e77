"""What a configuration may say of a bus: one model for each transport.

LINE is Modbus over Serial Line V1.02, TCP the Modbus Messaging on TCP/IP Implementation Guide V1.0b, TLS the
MODBUS/TCP Security Protocol Specification v3.6.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from config.scalars import FilePath
from config.units import MINUTE, SECOND, duration_between
from drivers.base import Options
from drivers.port import MAX_BAUD, SerialBus

TRANSPORTS = ("tcp", "rtu", "rtu-over-tcp", "ascii", "tls")
MIN_TIMEOUT = 10  # ms; no device answers faster than its TCP stack
DEFAULT_BAUD = 9600  # what meters and sensors leave the factory with; LINE 2.2 asks for 19200 as the default

Timeout = Annotated[int, BeforeValidator(duration_between(MIN_TIMEOUT, MINUTE))]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%-]{1,253}$")]  # RFC 1035 2.3.4; also an IPv6 address with zone
TcpPort = Annotated[int, Field(strict=True, ge=1, le=65535)]


class BusOptions(Options):
    """What all transports have."""

    transport: Literal["tcp", "rtu", "rtu-over-tcp", "ascii", "tls"]
    timeout: Timeout = 500
    """How long a unit may take until it begins to answer; over TCP, until it has answered."""

    @model_validator(mode="before")
    @classmethod
    def _known_transport(cls, data: object) -> object:
        # The keys of another transport are no errors of their own: the transport is the one thing to tell.
        if cls is BusOptions and isinstance(data, dict):
            return {key: value for key, value in data.items() if key == "transport"}
        return data

    @classmethod
    def variant(cls, raw: dict[str, Any]) -> type[Options]:
        """The model of the transport."""
        transport = raw.get("transport")
        return _MODELS.get(transport, cls) if isinstance(transport, str) else cls


class TcpBus(BusOptions):
    """A Modbus TCP server: a device, or a gateway with devices behind it."""

    host: Host
    port: TcpPort = 502  # registered for Modbus TCP: TCP 3.1.3
    connect_timeout: Timeout = 3 * SECOND


class TlsBus(TcpBus):
    """The same in TLS, where each side shows a certificate (TLS 5)."""

    port: TcpPort = 802  # registered for Modbus/TCP Security: TLS 5
    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None
    server_name: Host | None = None
    """The name in the server's certificate where that is not `host`."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        return self


class RtuOverTcpBus(BusOptions):
    """RTU frames through a converter that passes bytes to and from a line."""

    host: Host
    port: TcpPort
    connect_timeout: Timeout = 3 * SECOND
    baud: Annotated[int, Field(strict=True, gt=0, le=MAX_BAUD)] = DEFAULT_BAUD
    """The rate of the line behind the converter."""

    @property
    def byte_ms(self) -> float:
        """How long one byte is on the line: 11 bits (LINE 2.5.1)."""
        return 11 * 1000 / self.baud


class RtuBus(SerialBus, BusOptions):
    """A serial line with RTU frames.

    No parity and two stop bits, as LINE 2.5.1 has it for no parity: devices set to one stop bit, most of those without
    parity, take it as a pause and answer all the same.
    """

    data_bits: Literal[8] = 8  # LINE 2.5.1
    stop_bits: Literal[1, 2] = 2

    @model_validator(mode="before")
    @classmethod
    def _eleven_bits(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("parity", "none") != "none":
            return {"stop_bits": 1, **data}
        return data


class AsciiBus(SerialBus, BusOptions):
    """A serial line with ASCII frames: seven bits and even parity (LINE 2.5.2)."""

    data_bits: Literal[7, 8] = 7
    parity: Literal["none", "even", "odd"] = "even"


_MODELS: dict[str, type[BusOptions]] = {
    "tcp": TcpBus,
    "tls": TlsBus,
    "rtu-over-tcp": RtuOverTcpBus,
    "rtu": RtuBus,
    "ascii": AsciiBus,
}
