"""A weather mast on a serial line: NMEA 0183 sentences."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce

from drivers.simulated.quantity import sweep, wave
from drivers.simulated.speaker import Samples, Spoken

BAUD = 4800  # IEC 61162-1, 5.2

# Positions move in steps of 0.006 minutes, which are 0.0001 degrees exactly.
_LATITUDE, _LONGITUDE = 435890, 796440


def wind(n: int) -> Spoken:
    """MWV, relative, metres a second."""
    angle, speed = _decimal(wave(180, 170, 90)(n), 1), _decimal(wave(7, 6, 70)(n), 2)
    samples: Samples = [("wind/direction", angle), ("wind/speed", speed)]
    return _sentence(f"WIMWV,{angle:05.1f},R,{speed:.2f},M,A", samples)


def weather(n: int) -> Spoken:
    """MDA: pressure, temperature, humidity, dew point, wind."""
    pressure, temperature = _decimal(wave(1.013, 0.02, 900)(n), 4), _decimal(sweep(-152, 387)(n) / 10, 1)
    humidity, dew = _decimal(wave(60, 35, 500)(n), 1), _decimal(sweep(-200, 150)(n) / 10, 1)
    direction, knots = _decimal(wave(180, 170, 90)(n), 1), _decimal(wave(14, 12, 70)(n), 1)
    speed = _decimal(wave(7, 6, 70)(n), 1)
    body = (
        f"WIMDA,{pressure * Decimal('29.53'):.2f},I,{pressure},B,{temperature},C,,,{humidity},,{dew},C,"
        f"{direction},T,,,{knots},N,{speed},M"
    )
    samples: Samples = [
        ("weather/pressure", pressure),
        ("weather/temperature", temperature),
        ("weather/humidity", humidity),
        ("weather/dew-point", dew),
        ("weather/wind-direction", direction),
        ("weather/wind-speed", speed),
    ]
    return _sentence(body, samples)


def fix(n: int) -> Spoken:
    """GGA: where the mast stands."""
    latitude, longitude = _LATITUDE + n % 7, _LONGITUDE + n % 11
    satellites, hdop, altitude = 7 + n % 5, _decimal(0.8 + n % 10 / 10, 1), _decimal(sweep(1500, 1600)(n) / 10, 1)
    body = (
        f"GPGGA,{_clock():%H%M%S}.00,{_arc(latitude, 2)},N,{_arc(longitude, 3)},W,1,{satellites:02d},"
        f"{hdop},{altitude},M,-34.0,M,,"
    )
    samples: Samples = [
        ("place/latitude", Decimal(latitude).scaleb(-4)),
        ("place/longitude", Decimal(-longitude).scaleb(-4)),
        ("place/altitude", altitude),
        ("place/fix", 1),
        ("place/satellites", satellites),
        ("place/hdop", hdop),
    ]
    return _sentence(body, samples)


def course(n: int) -> Spoken:
    """RMC: how it moves, which a mast hardly does."""
    latitude, longitude = _LATITUDE + n % 7, _LONGITUDE + n % 11
    speed, heading, now = _decimal(n % 50 / 100, 2), _decimal(sweep(0, 3599)(n) / 10, 1), _clock()
    body = f"GPRMC,{now:%H%M%S}.00,A,{_arc(latitude, 2)},N,{_arc(longitude, 3)},W,{speed},{heading},{now:%d%m%y},,,A"
    return _sentence(body, [("place/speed", speed), ("place/course", heading)])


SENTENCES: tuple[Callable[[int], Spoken], ...] = (wind, weather, fix, course)


def _sentence(body: str, samples: Samples) -> Spoken:
    """A sentence as it goes over the line: IEC 61162-1, 7.2 and 7.3."""
    checksum = reduce(lambda total, byte: total ^ byte, body.encode(), 0)
    return Spoken(f"${body}*{checksum:02X}\r\n".encode(), samples)


def _decimal(value: float, digits: int) -> Decimal:
    return Decimal(f"{value:.{digits}f}")


def _arc(ten_thousandths: int, width: int) -> str:
    degrees, rest = divmod(ten_thousandths, 10_000)
    return f"{degrees:0{width}d}{Decimal(rest * 6).scaleb(-3):07.4f}"


def _clock() -> datetime:
    return datetime.now(UTC)
