"""Eddystone (github.com/google/eddystone): telemetry (TLM, plain), UID and URL frames. Numbers are big-endian."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from drivers.ble.formats.fields import invalid, scaled
from drivers.ble.formats.report import Locked, Report
from drivers.decoding import Reading
from drivers.errors import BadAnswer
from ext import SENTINEL

SERVICE = "feaa"
UID, URL, TLM = 0x00, 0x10, 0x20  # frame types
TLM_BYTES = 14
TLM_ENCRYPTED = 0x01  # version of TLM
UID_BYTES = (18, 20)  # eddystone-uid: without and with the two reserved bytes
NO_TEMPERATURE = b"\x80\x00"
FRACTION = Decimal(256)  # tlm-plain: signed 8.8 fixed point

# eddystone-url: what the first byte stands for, and bytes within the rest
_SCHEMES = ("http://www.", "https://www.", "http://", "https://")
_ENDS = (".com", ".org", ".edu", ".net", ".info", ".biz", ".gov")
_EXPANSIONS = dict(enumerate([end + "/" for end in _ENDS] + list(_ENDS)))
MAX_URL = 17  # bytes of the encoded URL


class _Eddystone:
    """Eddystone TLM, UID, URL."""

    name = "eddystone"
    companies: frozenset[int] = frozenset()
    services: frozenset[str] = frozenset({SERVICE})
    key_bytes: frozenset[int] = frozenset()

    def decode(self, address: str, data: bytes, key: bytes | None = None) -> Report:  # noqa: ARG002 - `Format`
        """One frame; raises `BadAnswer`, or `Locked` for encrypted telemetry."""
        read = _FRAMES.get(data[0] if data else -1)
        if read is None:
            raise BadAnswer(f"eddystone: a frame of type {data[:1].hex() or 'none'}, neither TLM, UID nor URL")
        return Report(tuple(read(data)))


FORMAT = _Eddystone()


def _telemetry(data: bytes) -> Iterator[Reading]:
    if data[1:2] == bytes([TLM_ENCRYPTED]):
        raise Locked("eddystone: encrypted telemetry, which is not supported")
    if len(data) != TLM_BYTES or data[1] != 0:
        raise BadAnswer(f"eddystone: telemetry of {len(data)} bytes; wanted {TLM_BYTES} of version 0")
    battery = int.from_bytes(data[2:4])  # 0: not supported
    yield Reading("battery", scaled(battery, "0.001"), "V") if battery else invalid("battery", "V", SENTINEL)
    if data[4:6] == NO_TEMPERATURE:
        yield invalid("temperature", "Cel", SENTINEL)
    else:
        yield Reading("temperature", int.from_bytes(data[4:6], signed=True) / FRACTION, "Cel")
    yield Reading("advertisements", int.from_bytes(data[6:10]))
    yield Reading("uptime", scaled(int.from_bytes(data[10:14]), "0.1"), "s")


def _uid(data: bytes) -> Iterator[Reading]:
    if len(data) not in UID_BYTES:
        raise BadAnswer(f"eddystone: UID of {len(data)} bytes")
    yield _power(data)
    yield Reading("namespace", data[2:12].hex())
    yield Reading("instance", data[12:18].hex())


def _url(data: bytes) -> Iterator[Reading]:
    if not 3 <= len(data) <= 3 + MAX_URL or data[2] >= len(_SCHEMES):
        raise BadAnswer(f"eddystone: URL of {len(data)} bytes")
    if any(byte not in _EXPANSIONS and not 0x20 < byte < 0x7F for byte in data[3:]):
        raise BadAnswer("eddystone: URL with bytes that stand for nothing")
    yield _power(data)
    yield Reading("url", _SCHEMES[data[2]] + "".join(_EXPANSIONS.get(byte, chr(byte)) for byte in data[3:]))


_FRAMES: Mapping[int, Callable[[bytes], Iterator[Reading]]] = {TLM: _telemetry, UID: _uid, URL: _url}


def _power(data: bytes) -> Reading:
    return Reading("tx-power", int.from_bytes(data[1:2], signed=True), "dBm")
