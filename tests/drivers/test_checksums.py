"""CRCs against the check values of the CRC catalogue (reveng.sourceforge.io/crc-catalogue): of the text 123456789."""

import pytest

from drivers.checksums import CHECKSUMS, CRCS, named

CHECKS = {
    "CRC-8/AUTOSAR": 0xDF, "CRC-8/DVB-S2": 0xBC, "CRC-8/I-432-1": 0xA1, "CRC-8/MAXIM-DOW": 0xA1, "CRC-8/NRSC-5": 0xF7,
    "CRC-8/ROHC": 0xD0, "CRC-8/SAE-J1850": 0x4B, "CRC-8/SMBUS": 0xF4, "CRC-16/ARC": 0xBB3D, "CRC-16/DNP": 0xEA82,
    "CRC-16/EN-13757": 0xC2B7, "CRC-16/GENIBUS": 0xD64E, "CRC-16/IBM-3740": 0x29B1, "CRC-16/IBM-SDLC": 0x906E,
    "CRC-16/KERMIT": 0x2189, "CRC-16/MAXIM-DOW": 0x44C2, "CRC-16/MCRF4XX": 0x6F91, "CRC-16/MODBUS": 0x4B37,
    "CRC-16/SPI-FUJITSU": 0xE5CC, "CRC-16/UMTS": 0xFEE8, "CRC-16/USB": 0xB4C8, "CRC-16/XMODEM": 0x31C3,
    "CRC-32/BZIP2": 0xFC891918, "CRC-32/CKSUM": 0x765E7680, "CRC-32/ISCSI": 0xE3069283, "CRC-32/ISO-HDLC": 0xCBF43926,
    "CRC-32/JAMCRC": 0x340BC6D9, "CRC-32/MPEG-2": 0x0376E6E7,
}  # fmt: skip


def test_every_crc_has_a_check_value() -> None:
    assert set(CRCS) == set(CHECKS)


@pytest.mark.parametrize("name", CRCS)
def test_check_values_of_the_catalogue(name: str) -> None:
    assert named(name)(b"123456789") == CHECKS[name]


@pytest.mark.parametrize(
    ("alias", "check"),
    [("CRC-8/MAXIM", 0xA1), ("CRC-16/CCITT-FALSE", 0x29B1), ("CRC-16/X-25", 0x906E), ("CRC-32", 0xCBF43926),
     ("CRC-16", 0xBB3D), ("CRC-16/CCITT", 0x2189), ("CRC-32C", 0xE3069283), ("CRC-8", 0xF4), ("CRC-8/ITU", 0xA1),
     ("CRC-16/AUG-CCITT", 0xE5CC), ("CRC-16/BUYPASS", 0xFEE8), ("CRC-16/IBM", 0xBB3D)],
)  # fmt: skip
def test_aliases_of_the_catalogue(alias: str, check: int) -> None:
    assert named(alias)(b"123456789") == check


def test_sums() -> None:
    assert named("sum8")(b"\xff\x02") == 1
    assert named("sum16")(b"\xff\x02") == 0x101
    assert named("xor8")(b"WIMWV,39,R,1.3,M,A") == 0x06  # Vaisala M210822EN-F
    assert named("sum8-negated")(bytes.fromhex("0300300002337a")) == 0x1E  # Intel HEX specification: :0300300002337A1E


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no checksum is called 'crc16'; there are: CRC-16, .*xor8"):
        named("crc16")
    assert len(CHECKSUMS) > len(CRCS)
