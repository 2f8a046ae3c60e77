"""The way to the platform: brokers, TLS, topics, acknowledgement."""

# ruff: noqa: TRY004 - pydantic takes a ValueError, and no TypeError, for a finding

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from config.scalars import FilePath, Text
from config.table import Table
from config.units import DURATION_PATTERN, HOUR, SECOND, SIZE_PATTERN, duration_between, size_between

MQTT_PORT = 1883  # IANA service name "mqtt"
MQTTS_PORT = 8883  # IANA service name "secure-mqtt"
WS_PORT, WSS_PORT = 80, 443  # RFC 6455, 3
WS_PATH = "/mqtt"  # what brokers listen on, where nobody says otherwise (HiveMQ, EMQX); mosquitto takes any
SOCKS_PORT, HTTP_PROXY_PORT = 1080, 8080  # IANA service names "socks" and "http-alt"
MAX_BROKERS = 8  # tried in turn; more would only lengthen an outage
MAX_URL = 300  # characters; a host name has at most 253 (RFC 1035 2.3.4)
MAX_ROOT = 128  # characters; a topic has at most 65535 bytes (MQTT 5.0, 1.5.4), and each message carries it
MIN_BATCH = 100  # ms; one signature and one message a batch. "0s": as often as samples reach the disk
MAX_BATCH = HOUR
MIN_TRIAL = 1000  # ms; shorter than any batch takes to be answered it would take every configuration back
MIN_KEEPALIVE, MAX_KEEPALIVE = 5 * SECOND, HOUR  # MQTT has 16 bits of seconds; networks forget what is silent sooner
MIN_BUDGET = 10**5  # bytes; a connection with TLS takes five thousand, and a day has some
MAX_BUDGET = 10**12
MAX_QUIET = 8  # spans of a day

URL_HINT = (
    "a broker is mqtts://host:port, or wss://host/path where only the web is let through, for example"
    ' "mqtts://broker.example:8883"; mqtt:// and ws:// are not encrypted'
)
PROXY_HINT = 'a proxy is http://host:port or socks5://host:port, for example "http://proxy.example:8080"'
QUIET_HINT = 'must be spans of the day, for example ["22:00-06:00"]'
_PORTS = {"mqtt": MQTT_PORT, "mqtts": MQTTS_PORT, "ws": WS_PORT, "wss": WSS_PORT}
_PROXY_PORTS = {"http": HTTP_PROXY_PORT, "socks5": SOCKS_PORT}


class Broker(BaseModel):
    """One MQTT broker; `tls` is whether its URL says mqtts or wss, `path` that of a WebSocket, "" without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int
    tls: bool
    url: str
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> "Broker":
        """The broker of an mqtt(s):// or ws(s):// URL; raises `ValueError` with an example, never with a password."""
        parts, port = _split(url, _PORTS, URL_HINT, "use username and password_file")
        scheme, path = parts.scheme, parts.path
        web = scheme in ("ws", "wss")
        if (not web and path not in ("", "/")) or not re.fullmatch(r"(/[\w.~%-]*)*", path, re.ASCII):
            raise ValueError(URL_HINT)
        path = (path if path not in ("", "/") else WS_PATH) if web else ""
        return cls(host=parts.hostname or "", port=port, tls=scheme in ("mqtts", "wss"), url=url, path=path)


class Proxy(BaseModel):
    """What carries connections to the brokers: `kind` is "http" (CONNECT) or "socks5"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """The proxy of an http:// or socks5:// URL; raises `ValueError` with an example, never with a password."""
        parts, port = _split(url, _PROXY_PORTS, PROXY_HINT, "use proxy_username and proxy_password_file")
        if parts.path not in ("", "/"):
            raise ValueError(PROXY_HINT)
        return cls(kind=parts.scheme, host=parts.hostname or "", port=port)


class Span(BaseModel):
    """A part of each day, in minutes since midnight of the gateway's time zone; it may go over midnight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    begin: int
    end: int

    def holds(self, minute: int) -> bool:
        """Whether it is that time."""
        if self.begin <= self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


def _split(url: str, ports: dict[str, int], hint: str, instead: str) -> tuple[SplitResult, int]:
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(hint)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(hint) from error
    if "@" in parts.netloc:
        raise ValueError(f"user and password do not go into the URL: {instead}")
    if port == 0 or parts.scheme not in ports or parts.query or parts.fragment or not _host(parts.hostname or ""):
        raise ValueError(hint)
    return parts, port or ports[parts.scheme]


def _host(host: str) -> bool:
    if ":" not in host:
        return re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]{0,252})", host) is not None
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return True


def _brokers(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('must be a list of URLs, for example ["mqtts://broker.example:8883"]')
    if len(value) > MAX_BROKERS:
        raise ValueError(f"must be at most {MAX_BROKERS} brokers")
    return value


def _broker(value: object) -> Broker:
    if isinstance(value, Broker):
        return value
    if not isinstance(value, str):
        raise ValueError(URL_HINT)
    return Broker.parse(value)


def _root(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_ROOT or not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", value, re.ASCII):
        raise ValueError('must be topic levels of letters, digits, "_", "." and "-", for example "city/lamppost"')
    return value


def _proxy(value: object) -> Proxy:
    if isinstance(value, Proxy):
        return value
    if not isinstance(value, str):
        raise ValueError(PROXY_HINT)
    return Proxy.parse(value)


def _quiet(value: object) -> tuple[Span, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_QUIET:
        raise ValueError(QUIET_HINT)
    return tuple(span if isinstance(span, Span) else _span(span) for span in value)


def _span(value: object) -> Span:
    clock = r"([01][0-9]|2[0-3]):([0-5][0-9])"
    match = re.fullmatch(f"{clock}-{clock}", value) if isinstance(value, str) else None
    if match is None or match[0][:5] == match[0][6:]:
        raise ValueError(QUIET_HINT)
    hours = [int(part) for part in match.groups()]
    return Span(begin=60 * hours[0] + hours[1], end=60 * hours[2] + hours[3])


def _batch(value: object, info: ValidationInfo) -> int:
    found = duration_between(0, MAX_BATCH)(value, info)
    if 0 < found < MIN_BATCH:
        raise ValueError(f"must be from {MIN_BATCH}ms to 1h, or 0s: each batch is sent as soon as it is on the disk")
    return found


_BROKER_SCHEMA: dict[str, Any] = {"type": "string", "pattern": "^(mqtt|ws)s?://"}
_DURATION: dict[str, Any] = {"type": "string", "pattern": DURATION_PATTERN}
_SIZE: dict[str, Any] = {"type": "string", "pattern": SIZE_PATTERN}
_Bytes = Annotated[int, BeforeValidator(size_between(MIN_BUDGET, MAX_BUDGET)), WithJsonSchema(_SIZE)]


class Tls(Table):
    """Certificates in PEM files; without `ca` the system's authorities count."""

    ca: FilePath | None = Field(default=None, description="Authorities that the broker's certificate may come from.")
    cert: FilePath | None = Field(default=None, description="This gateway's certificate.")
    key: FilePath | None = Field(default=None, description="The private key of that certificate.")

    @model_validator(mode="after")
    def _agree(self) -> "Tls":
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        return self


class Budget(Table):
    """What a metered link may carry, as its operator counts: all bytes, both ways."""

    day: _Bytes | None = Field(default=None, description="Bytes a day.", examples=["20MB"])
    month: _Bytes | None = Field(default=None, description="Bytes a month.", examples=["500MB"])

    @model_validator(mode="after")
    def _agree(self) -> "Budget":
        if self.day is None and self.month is None:
            raise ValueError('a budget needs day or month, for example { month = "500MB" }')
        return self


class Uplink(Table):
    """Where batches go, and what counts as delivered."""

    brokers: Annotated[
        tuple[Annotated[Broker, BeforeValidator(_broker), WithJsonSchema(_BROKER_SCHEMA)], ...],
        BeforeValidator(_brokers),
    ] = Field(description="Tried in turn.", examples=[["mqtts://broker.example:8883"]])
    root: Annotated[str, BeforeValidator(_root)] = Field(default="lamppost", description="First levels of every topic.")
    tls: Tls | None = Field(default=None, description="Certificates for mqtts.", examples=[{"ca": "ca.pem"}])
    authority: FilePath | None = Field(
        default=None,
        description="A public key of the platform, which signs acknowledgements or keyrings.",
        examples=["authority.json"],
    )
    acknowledge: Literal["platform", "broker"] = Field(
        default="platform",
        description="Whose word frees the buffer: the platform's signed one, or the broker's PUBACK.",
    )
    format: Literal["lamppost", "senml-json", "senml-cbor", "sparkplug-b"] = Field(
        default="lamppost",
        description="What is sent: signed batches, or what other platforms understand.",
    )
    batch: Annotated[int, BeforeValidator(_batch), WithJsonSchema(_DURATION)] = Field(
        default=10_000, description="How often batches are sealed and sent.", examples=["10s"]
    )
    trial: Annotated[
        int,
        BeforeValidator(duration_between(MIN_TRIAL, HOUR)),
        WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
    ] = Field(default=300_000, description="How long a configuration from afar has to prove itself.", examples=["5m"])
    keepalive: Annotated[
        int, BeforeValidator(duration_between(MIN_KEEPALIVE, MAX_KEEPALIVE)), WithJsonSchema(_DURATION)
    ] = Field(default=30_000, description="A silent link is asked after this long.", examples=["60s"])
    proxy: (
        Annotated[Proxy, BeforeValidator(_proxy), WithJsonSchema({"type": "string", "pattern": "^(http|socks5)://"})]
        | None
    ) = Field(default=None, description="Carries every connection.", examples=["http://proxy.example:8080"])
    proxy_username: Text | None = Field(default=None, description="User name at the proxy.", examples=["gw-0017"])
    proxy_password_file: FilePath | None = Field(
        default=None, description="File that holds the password for the proxy.", examples=["proxy.password"]
    )
    budget: Budget | None = Field(
        default=None, description="What a metered link may carry.", examples=[{"month": "500MB"}]
    )
    quiet: Annotated[
        tuple[Span, ...],
        BeforeValidator(_quiet),
        WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": "^[0-9:]{5}-[0-9:]{5}$"}}),
    ] = Field(default=(), description="When only critical batches go.", examples=[["22:00-06:00"]])
    version: Literal["auto", "5", "3.1.1"] = Field(default="auto", description="MQTT version; auto tries 5 first.")
    username: Text | None = Field(default=None, description="User name at the broker.", examples=["gw-0017"])
    password_file: FilePath | None = Field(
        default=None, description="File that holds the password; the password itself never stands here.",
        examples=["mqtt.password"],
    )  # fmt: skip

    @model_validator(mode="after")
    def _agree(self) -> "Uplink":
        if self.acknowledge == "platform" and self.authority is None:
            raise ValueError('acknowledge = "platform" needs authority, the file of the platform\'s public key')
        if self.format != "lamppost" and self.acknowledge == "platform":
            raise ValueError(f'format = "{self.format}" needs acknowledge = "broker": nobody signs for it')
        if self.tls is not None and not any(broker.tls for broker in self.brokers):
            raise ValueError("tls is set, but every broker is mqtt:// (not encrypted); write mqtts://")
        if self.proxy is None and (self.proxy_username is not None or self.proxy_password_file is not None):
            raise ValueError("proxy_username and proxy_password_file need proxy")
        if self.proxy_password_file is not None and self.proxy_username is None:
            raise ValueError("proxy_password_file needs proxy_username")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        return self
