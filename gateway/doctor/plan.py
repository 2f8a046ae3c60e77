"""What of an installation is to be looked at with the service's eyes."""

from config import Bus, Config, Uplink
from gateway.doctor.net import Target
from gateway.doctor.probe import Plan


def plan(config: Config, *, ports: bool, brokers: bool) -> Plan:
    """The certificates and the disk, and what is asked for."""
    uplink = config.uplink
    return Plan(
        ports={bus.id: path for bus in config.buses.values() if ports and (path := device_file(bus))},
        brokers=tuple(_targets(config.gateway.id, uplink)) if brokers and uplink is not None else (),
        certificates=_certificates(uplink),
        buffer=str(config.buffer.path),
    )


def device_file(bus: Bus) -> str:
    """The serial port of a bus; "" for one that is none."""
    path = bus.options.get("port")
    return path if isinstance(path, str) and path.startswith("/") else ""


def _targets(gateway: str, uplink: Uplink) -> list[Target]:
    tls = uplink.tls
    ca, cert, key = (None, None, None) if tls is None else (_text(tls.ca), _text(tls.cert), _text(tls.key))
    way = uplink.proxy
    proxy = None if way is None else (way.kind, way.host, way.port)
    return [
        Target(
            broker.url, broker.host, broker.port, broker.tls, f"lamppost-{gateway}-doctor", ca, cert, key,
            uplink.username, _text(uplink.password_file), broker.path, proxy, uplink.proxy_username,
            _text(uplink.proxy_password_file),
        )
        for broker in uplink.brokers
    ]  # fmt: skip


def _certificates(uplink: Uplink | None) -> tuple[str, ...]:
    tls = None if uplink is None else uplink.tls
    return () if tls is None else tuple(str(path) for path in (tls.cert, tls.ca) if path is not None)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
