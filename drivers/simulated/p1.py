"""A smart meter of a house: DSMR 5 telegrams on its P1 port, with the gas meter that it reads."""

import time
from decimal import Decimal

from drivers.checksums import named
from drivers.simulated.quantity import sweep
from drivers.simulated.speaker import Samples, Spoken

BAUD = 115200  # DSMR 5.0.2 P1

_CRC = named("CRC-16/ARC")  # DSMR 5.0.2 P1, 6.2
_PHASES = ("l1", "l2", "l3")
_WATTS = (((-1800, 2500), 37), ((40, 900), 7), ((0, 3600), 11))  # bounds and step of each; below 0 is given to the grid
_GAS_ROUNDS = 10  # from one reading of the gas meter to the next; a real one takes five minutes


def telegram(n: int) -> Spoken:
    """The n-th telegram: the objects of DSMR 5.0.2 P1, of a three-phase meter with solar panels on its roof."""
    watts = [int(sweep(*bounds)(step * n)) for bounds, step in _WATTS]
    volts = [Decimal(sweep(2250, 2350)(n + 30 * phase)).scaleb(-1) for phase in range(len(_PHASES))]
    samples: Samples = []
    lines = [
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({_clock()})",
        "0-0:96.1.1(4B384547303034303436333935353037)",
        *_energy(n, samples),
        *_power("1", "2", "", sum(watts), samples),
        "0-0:96.7.21(00004)",
        "0-0:96.7.9(00002)",
        "1-0:99.97.0()",
        "0-0:96.13.0()",
    ]
    for base, phase, power, voltage in zip((20, 40, 60), _PHASES, watts, volts, strict=True):
        current = round(abs(power) / voltage)
        samples += [(f"power/voltage-{phase}", voltage), (f"power/current-{phase}", Decimal(current))]
        lines += [f"1-0:{base + 12}.7.0({voltage:05.1f}*V)", f"1-0:{base + 11}.7.0({current:03d}*A)"]
        lines += _power(str(base + 1), str(base + 2), f"-{phase}", power, samples)
    lines += _gas(n, samples)
    return Spoken(_framed(lines), samples)


def _energy(n: int, samples: Samples) -> list[str]:
    """Four counters and the tariff that counts now."""
    tariff = 1 + n // 30 % 2
    counters = {
        "import-tariff-1": ("1.8.1", 4_426_000 + 3 * n),
        "import-tariff-2": ("1.8.2", 123_456_789 + n),
        "export-tariff-1": ("2.8.1", 2_444 + n // 2),
        "export-tariff-2": ("2.8.2", n // 5),
    }
    lines = []
    for point, (code, wh) in counters.items():
        kwh = Decimal(wh).scaleb(-3)
        samples.append((f"power/{point}", kwh))
        lines.append(f"1-0:{code}({kwh:010.3f}*kWh)")
    samples.append(("power/tariff", Decimal(tariff)))
    return [*lines, f"0-0:96.14.0({tariff:04d})"]


def _power(taken: str, given: str, phase: str, watts: int, samples: Samples) -> list[str]:
    """What is taken from the grid and what is given to it: one of them is 0."""
    lines = []
    for code, point, value in ((taken, "import", max(watts, 0)), (given, "export", max(-watts, 0))):
        kw = Decimal(value).scaleb(-3)
        samples.append((f"power/{point}-power{phase}", kw))
        lines.append(f"1-0:{code}.7.0({kw:06.3f}*kW)")
    return lines


def _gas(n: int, samples: Samples) -> list[str]:
    volume = Decimal(12_785_123 + n // _GAS_ROUNDS).scaleb(-3)
    samples.append(("gas/volume", volume))
    serial = "0-1:96.1.0(3232323241424344313233343536373839)"
    return ["0-1:24.1.0(003)", serial, f"0-1:24.2.1({_clock()})({volume:09.3f}*m3)"]


def _framed(lines: list[str]) -> bytes:
    """Identification, an empty line, the objects, "!" and the CRC of all that: DSMR 5.0.2 P1, 6.2."""
    text = "\r\n".join(["/LMP5\\SIMULATED", "", *lines, "!"]).encode()
    return text + f"{_CRC(text):04X}\r\n".encode()


def _clock() -> str:
    """Local time, S in summer and W else: DSMR 5.0.2 P1."""
    now = time.localtime()
    return time.strftime("%y%m%d%H%M%S", now) + ("S" if now.tm_isdst > 0 else "W")
