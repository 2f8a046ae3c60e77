"""Checksums by name: sums, exclusive or, and the CRCs of the CRC catalogue (reveng.sourceforge.io/crc-catalogue)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import xor


@dataclass(frozen=True, slots=True)
class Crc:
    """A CRC by the catalogue's parameters; refin and refout are alike in all that are used on wires."""

    width: int
    poly: int
    init: int
    reflected: bool
    xorout: int

    def __call__(self, data: bytes) -> int:
        """The checksum of `data`."""
        table, top = _table(self), self.width - 8
        if self.reflected:
            register = _mirrored(self.init, self.width)
            for byte in data:
                register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
            return register ^ self.xorout
        register, mask = self.init, (1 << self.width) - 1
        for byte in data:
            register = (register << 8 & mask) ^ table[register >> top ^ byte]
        return register ^ self.xorout


@dataclass(frozen=True, slots=True)
class Sum:
    """The bytes added up, or its two's complement, which makes the sum of all 0."""

    width: int
    negated: bool = False

    def __call__(self, data: bytes) -> int:
        """The checksum of `data`."""
        total = sum(data)
        return (-total if self.negated else total) & ((1 << self.width) - 1)


@dataclass(frozen=True, slots=True)
class Xor:
    """All bytes, exclusive or."""

    width: int = 8

    def __call__(self, data: bytes) -> int:
        """The checksum of `data`."""
        return reduce(xor, data, 0)


Checksum = Crc | Sum | Xor

CRCS: Mapping[str, Crc] = {
    "CRC-8/AUTOSAR": Crc(8, 0x2F, 0xFF, reflected=False, xorout=0xFF),
    "CRC-8/DVB-S2": Crc(8, 0xD5, 0x00, reflected=False, xorout=0x00),
    "CRC-8/I-432-1": Crc(8, 0x07, 0x00, reflected=False, xorout=0x55),
    "CRC-8/MAXIM-DOW": Crc(8, 0x31, 0x00, reflected=True, xorout=0x00),
    "CRC-8/NRSC-5": Crc(8, 0x31, 0xFF, reflected=False, xorout=0x00),
    "CRC-8/ROHC": Crc(8, 0x07, 0xFF, reflected=True, xorout=0x00),
    "CRC-8/SAE-J1850": Crc(8, 0x1D, 0xFF, reflected=False, xorout=0xFF),
    "CRC-8/SMBUS": Crc(8, 0x07, 0x00, reflected=False, xorout=0x00),
    "CRC-16/ARC": Crc(16, 0x8005, 0x0000, reflected=True, xorout=0x0000),
    "CRC-16/DNP": Crc(16, 0x3D65, 0x0000, reflected=True, xorout=0xFFFF),
    "CRC-16/EN-13757": Crc(16, 0x3D65, 0x0000, reflected=False, xorout=0xFFFF),
    "CRC-16/GENIBUS": Crc(16, 0x1021, 0xFFFF, reflected=False, xorout=0xFFFF),
    "CRC-16/IBM-3740": Crc(16, 0x1021, 0xFFFF, reflected=False, xorout=0x0000),
    "CRC-16/IBM-SDLC": Crc(16, 0x1021, 0xFFFF, reflected=True, xorout=0xFFFF),
    "CRC-16/KERMIT": Crc(16, 0x1021, 0x0000, reflected=True, xorout=0x0000),
    "CRC-16/MAXIM-DOW": Crc(16, 0x8005, 0x0000, reflected=True, xorout=0xFFFF),
    "CRC-16/MCRF4XX": Crc(16, 0x1021, 0xFFFF, reflected=True, xorout=0x0000),
    "CRC-16/MODBUS": Crc(16, 0x8005, 0xFFFF, reflected=True, xorout=0x0000),
    "CRC-16/SPI-FUJITSU": Crc(16, 0x1021, 0x1D0F, reflected=False, xorout=0x0000),
    "CRC-16/UMTS": Crc(16, 0x8005, 0x0000, reflected=False, xorout=0x0000),
    "CRC-16/USB": Crc(16, 0x8005, 0xFFFF, reflected=True, xorout=0xFFFF),
    "CRC-16/XMODEM": Crc(16, 0x1021, 0x0000, reflected=False, xorout=0x0000),
    "CRC-32/BZIP2": Crc(32, 0x04C11DB7, 0xFFFFFFFF, reflected=False, xorout=0xFFFFFFFF),
    "CRC-32/CKSUM": Crc(32, 0x04C11DB7, 0x00000000, reflected=False, xorout=0xFFFFFFFF),
    "CRC-32/ISCSI": Crc(32, 0x1EDC6F41, 0xFFFFFFFF, reflected=True, xorout=0xFFFFFFFF),
    "CRC-32/ISO-HDLC": Crc(32, 0x04C11DB7, 0xFFFFFFFF, reflected=True, xorout=0xFFFFFFFF),
    "CRC-32/JAMCRC": Crc(32, 0x04C11DB7, 0xFFFFFFFF, reflected=True, xorout=0x00000000),
    "CRC-32/MPEG-2": Crc(32, 0x04C11DB7, 0xFFFFFFFF, reflected=False, xorout=0x00000000),
}

_ALIASES = {  # the catalogue's own aliases that manuals use most
    "CRC-8": "CRC-8/SMBUS",
    "CRC-8/ITU": "CRC-8/I-432-1",
    "CRC-8/MAXIM": "CRC-8/MAXIM-DOW",
    "CRC-16": "CRC-16/ARC",
    "CRC-16/AUG-CCITT": "CRC-16/SPI-FUJITSU",
    "CRC-16/BUYPASS": "CRC-16/UMTS",
    "CRC-16/CCITT": "CRC-16/KERMIT",
    "CRC-16/CCITT-FALSE": "CRC-16/IBM-3740",
    "CRC-16/IBM": "CRC-16/ARC",
    "CRC-16/X-25": "CRC-16/IBM-SDLC",
    "CRC-32": "CRC-32/ISO-HDLC",
    "CRC-32C": "CRC-32/ISCSI",
}

CHECKSUMS: Mapping[str, Checksum] = {
    "sum8": Sum(8),
    "sum16": Sum(16),
    "sum8-negated": Sum(8, negated=True),
    "xor8": Xor(),
    **CRCS,
    **{alias: CRCS[name] for alias, name in _ALIASES.items()},
}
"""Every checksum that a profile may name."""


def named(name: str) -> Checksum:
    """The checksum of that name; raises `ValueError`, which names those that there are."""
    if name not in CHECKSUMS:
        raise ValueError(f"no checksum is called {name[:40]!r}; there are: {', '.join(sorted(CHECKSUMS))}")
    return CHECKSUMS[name]


@lru_cache(maxsize=len(CRCS))
def _table(crc: Crc) -> tuple[int, ...]:
    return tuple(_entry(crc, byte) for byte in range(256))


def _entry(crc: Crc, byte: int) -> int:
    """What one byte does to an empty register."""
    if crc.reflected:
        poly, register = _mirrored(crc.poly, crc.width), byte
        for _ in range(8):
            register = register >> 1 ^ (poly if register & 1 else 0)
        return register
    register, high = byte << crc.width - 8, 1 << crc.width - 1
    for _ in range(8):
        register = (register << 1) ^ (crc.poly if register & high else 0)
    return register & ((1 << crc.width) - 1)


@lru_cache
def _mirrored(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)
