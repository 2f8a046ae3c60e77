"""Where a bus is, in a form that can be compared."""

from pathlib import Path

MODBUS_PORT = 502  # Modbus TCP 3.1.3; other drivers' buses with a host must say their port


def place_of(port: str) -> str:
    """A port as places are compared: links such as those in /dev/serial/by-id are followed."""
    return str(Path(port).resolve()) if "/" in port else port


def places(options: dict[str, object]) -> tuple[str, ...]:
    """Where a bus with these options is: a device file, or a host and port."""
    port, host = options.get("port"), options.get("host")
    if host is not None:
        return (f"{host}:{MODBUS_PORT if port is None else port}",)
    return (place_of(str(port)),) if port is not None else ()
