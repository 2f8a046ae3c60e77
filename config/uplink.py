"""The way to the platform: brokers, TLS, topics, acknowledgement."""

# ruff: noqa: TRY004 - pydantic takes a ValueError, and no TypeError, for a finding

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from config.scalars import FilePath, Text
from config.table import Table
from config.units import DURATION_PATTERN, HOUR, duration_between

MQTT_PORT = 1883  # IANA service name "mqtt"
MQTTS_PORT = 8883  # IANA service name "secure-mqtt"
MAX_BROKERS = 8  # tried in turn; more would only lengthen an outage
MAX_URL = 300  # characters; a host name has at most 253 (RFC 1035 2.3.4)
MAX_ROOT = 128  # characters; a topic has at most 65535 bytes (MQTT 5.0, 1.5.4), and each message carries it
MIN_BATCH = 100  # ms; one signature and one message a batch
MAX_BATCH = HOUR
MIN_TRIAL = 1000  # ms; shorter than any batch takes to be answered it would take every configuration back

URL_HINT = 'a broker is mqtt://host:port or mqtts://host:port, for example "mqtts://broker.example:8883"'


class Broker(BaseModel):
    """One MQTT broker; `tls` is whether its URL says mqtts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int
    tls: bool
    url: str

    @classmethod
    def parse(cls, url: str) -> "Broker":
        """The broker of an mqtt:// or mqtts:// URL; raises `ValueError` with an example, never with a password."""
        if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError(URL_HINT)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(URL_HINT) from error
        if "@" in parts.netloc:
            raise ValueError("user and password do not go into the URL: use username and password_file")
        if port == 0 or not _plain(parts):
            raise ValueError(URL_HINT)
        tls = parts.scheme == "mqtts"
        return cls(host=parts.hostname or "", port=port or (MQTTS_PORT if tls else MQTT_PORT), tls=tls, url=url)


def _plain(parts: SplitResult) -> bool:
    nothing_else = parts.path in ("", "/") and not parts.query and not parts.fragment
    return parts.scheme in ("mqtt", "mqtts") and nothing_else and _host(parts.hostname or "")


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


_BROKER_SCHEMA: dict[str, Any] = {"type": "string", "pattern": "^mqtts?://"}


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
    batch: Annotated[
        int,
        BeforeValidator(duration_between(MIN_BATCH, MAX_BATCH)),
        WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
    ] = Field(default=10_000, description="How often batches are sealed and sent.", examples=["10s"])
    trial: Annotated[
        int,
        BeforeValidator(duration_between(MIN_TRIAL, HOUR)),
        WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
    ] = Field(default=300_000, description="How long a configuration from afar has to prove itself.", examples=["5m"])
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
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        return self
