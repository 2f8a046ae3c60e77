"""What an installation is: the gateway, its uplink and buffer, buses, devices, profiles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from config.point import Point
from config.scalars import Every, Expected, FilePath, Id, Labels, Lamp, Place, Text, Zone
from config.table import Table
from config.units import DAY, DURATION_PATTERN, HOUR, MINUTE, SIZE_PATTERN, duration_between, size_between
from config.uplink import Uplink

MIN_BUFFER = 10**6  # bytes; room for the largest batch (2**20) would be nearly all of it, so nothing smaller is of use
MAX_BUFFER = 10**12  # bytes; larger than any card or disk of a gateway
MIN_ENDURANCE = 10**9  # bytes; a card that stands less is worn by its first image
MAX_ENDURANCE = 10**16  # bytes; ten times the rating of a data centre's drive
MIN_COMMIT = 100  # ms; a flash card takes about 10 flushes a second for years, not more. "0s": each scan at once
MAX_COMMIT = 10 * MINUTE  # what a power cut may cost at most
MAX_ORDER = 1000  # devices along one cable; RS-485 takes 32, with good transceivers 256
MAX_HISTORY = 366 * DAY

_DURATION: dict[str, Any] = {"type": "string", "pattern": DURATION_PATTERN}
_SIZE: dict[str, Any] = {"type": "string", "pattern": SIZE_PATTERN}


def _commit(value: object, info: ValidationInfo) -> int:
    found = duration_between(0, MAX_COMMIT)(value, info)
    if 0 < found < MIN_COMMIT:
        raise ValueError(f"must be from {MIN_COMMIT}ms to 10m, or 0s: each scan at once, which wears a card out")
    return found


class Gateway(Table):
    """Who this gateway is."""

    id: Id = Field(description="Name of this gateway, unique at the platform.", examples=["gw-0017"])
    site: Id = Field(description="The site it stands on.", examples=["nord"])
    key: FilePath = Field(
        default=Path("/etc/lamppost/keys/batch.key"), description="Private key that signs batches (PKCS#8 PEM, 0600)."
    )
    timezone: Zone = Field(
        default="UTC", description="IANA time zone, of schedules and for people.", examples=["America/Toronto"]
    )
    location: Place | None = Field(
        default=None, description="Where it stands, for the sun of schedules; a device's own wins.",
        examples=[[43.589, -79.644]],
    )  # fmt: skip
    led: Lamp | None = Field(
        default=None, description="A lamp in /sys/class/leds that tells how the agent does.", examples=["ACT"]
    )


class Buffer(Table):
    """Where samples are kept until the platform has them."""

    path: FilePath = Field(default=Path("/var/lib/lamppost/buffer.db"), description="The store.")
    size: Annotated[
        int,
        BeforeValidator(size_between(MIN_BUFFER, MAX_BUFFER)),
        WithJsonSchema(_SIZE),
    ] = Field(default=512 * 10**6, description="Most that the store takes on disk.", examples=["512MB"])
    keep_free: Annotated[int, BeforeValidator(size_between(0, MAX_BUFFER)), WithJsonSchema(_SIZE)] = Field(
        default=100 * 10**6, description="What the file system has left when the store stops growing.", examples=["1GB"]
    )
    commit: Annotated[int, BeforeValidator(_commit), WithJsonSchema(_DURATION)] = Field(
        default=5000, description="How often samples reach the disk: what a power cut may cost.", examples=["5s"]
    )
    history: Annotated[int, BeforeValidator(duration_between(0, MAX_HISTORY)), WithJsonSchema(_DURATION)] = Field(
        default=24 * HOUR, description="How long delivered batches are kept.", examples=["24h"]
    )
    endurance: (
        Annotated[int, BeforeValidator(size_between(MIN_ENDURANCE, MAX_ENDURANCE)), WithJsonSchema(_SIZE)] | None
    ) = Field(default=None, description="What the card may write in its life, by its maker.", examples=["30TB"])


class Bus(Table):
    """One connection and the driver that owns it. `options` holds the driver's own keys as they were read."""

    derived = frozenset({"id", "options"})

    id: Id
    driver: Id = Field(description="Name of an installed driver.", examples=["modbus"])
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def speaks(self) -> str:
        """The driver whose devices are on it: its own, or the one whose recording it plays."""
        of = self.options.get("of")
        return of if self.driver == "replay" and isinstance(of, str) else self.driver


class Device(Table):
    """Something on a bus. `options` holds the driver's own keys (its address too) as they were read."""

    derived = frozenset({"id", "options"})

    id: Id
    bus: Id = Field(description="The bus it is on.", examples=["panel"])
    profile: Id | None = Field(default=None, description="A device model whose points it has.", examples=["nmea-mwv"])
    every: Every | None = Field(default=None, description="How often its points are read.", examples=["10s"])
    order: Annotated[int, Field(strict=True, ge=1, le=MAX_ORDER)] | None = Field(
        default=None, description="Its place on the cable, counted from the gateway.", examples=[3]
    )
    asset_id: Text | None = Field(default=None, description="The owner's number for it.", examples=["E-1044"])
    location: Place | None = Field(
        default=None, description="Latitude and longitude, WGS 84 degrees.", examples=[[43.589, -79.644]]
    )
    labels: Labels = Field(
        default_factory=dict, description="Anything else to find it by.", examples=[{"street": "Main"}]
    )
    points: dict[str, Point] = Field(default_factory=dict, description="Its points, on top of those of the profile.")
    options: dict[str, Any] = Field(default_factory=dict)


class ProfileTest(Table):
    """What a device said, by a public document, and what the points say of it; `given` are the driver's own keys."""

    derived = frozenset({"given"})

    source: str = Field(
        min_length=1, max_length=2000, description="The document or capture.", examples=["Example M1 manual, 3.8"]
    )
    values: dict[Id, Expected] = Field(
        default_factory=dict, description="Points and their values as the document prints them.",
        examples=[{"voltage": 230.2}],
    )  # fmt: skip
    missing: tuple[Id, ...] = Field(
        default=(), description="Points that have no value in it.", examples=[["voltage-l2"]]
    )
    given: dict[str, Any] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The points that it tries."""
        return (*self.values, *self.missing)

    @model_validator(mode="after")
    def _agree(self) -> "ProfileTest":
        if not self.names:
            raise ValueError("give values, for example values = { voltage = 230.2 }, or missing")
        if twice := self.values.keys() & set(self.missing):
            raise ValueError(f"has a value and is missing: {', '.join(sorted(twice))}")
        return self


class Profile(Table):
    """A device model as data. `options` are a driver's keys for each device of the model; the device's own win."""

    derived = frozenset({"name", "options"})

    name: Id
    driver: Id = Field(description="The driver that understands its points.", examples=["modbus"])
    source: str = Field(default="", max_length=2000, description="The public document that the points come from.")
    title: str = Field(default="", max_length=200, description="Maker and model.")
    every: Every | None = Field(default=None, description="How often, where the device does not say.", examples=["10s"])
    points: dict[str, Point] = Field(default_factory=dict, description="Its points.")
    base: Id | None = Field(default=None, description="A profile that this one adds to.", examples=["eastron-sdm630"])
    identify: dict[str, Any] = Field(default_factory=dict, description="How a scan recognises it; the driver's keys.")
    tests: tuple[ProfileTest, ...] = Field(default=(), description="What devices said, and what the points say of it.")
    untested: str = Field(default="", max_length=2000, description="Why there are no tests.")
    options: dict[str, Any] = Field(default_factory=dict)


class Config(Table):
    """A whole checked installation; `files` says which file each table came from, `fingerprint` is of all of them."""

    derived = frozenset({"files", "fingerprint"})

    gateway: Gateway
    uplink: Uplink | None = None
    buffer: Buffer = Buffer()
    buses: dict[str, Bus] = Field(default_factory=dict)
    devices: dict[str, Device] = Field(default_factory=dict)
    files: Mapping[str, str] = Field(default_factory=dict, repr=False, exclude=True)
    fingerprint: str = Field(default="", repr=False, exclude=True)

    def where(self, path: str) -> str:
        """The file that a key path such as `devices.lamp7.points.level` came from; "" where none did."""
        parts = path.split(".")
        for end in range(len(parts), -1, -1):
            file = self.files.get(".".join(parts[:end]))
            if file is not None:
                return file
        return ""
