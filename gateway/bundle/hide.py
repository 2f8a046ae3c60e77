"""What may leave the box: values of a configuration by an allow-list, other texts without what looks secret."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from config.errors import HIDDEN, secret
from gateway.plain import plain

SHOWN = frozenset((
    "id", "site", "timezone", "led", "path", "size", "keep_free", "commit", "history", "endurance", "acknowledge",
    "batch", "version", "brokers", "driver", "bus", "profile", "base", "of", "transport", "host", "port", "adapter",
    "scan", "parity", "every", "timeout", "table", "type", "order", "unit", "priority", "quantity", "on", "deadband",
    "window", "min_interval", "max_interval", "keep", "rollover", "address",
))  # fmt: skip
"""Keys whose texts are shown. A key that is new is hidden until it stands here."""
SECRET_WORDS = frozenset(
    ("pin", "puk", "key", "code", "login", "auth", "credential", "credentials", "psk", "apn", "user")
)
"""Parts of names of numbers that are hidden beside those of `config.errors`."""
TABLES = frozenset((
    "gateway", "uplink", "buffer", "buses", "devices", "points", "tls", "report", "limits", "counter", "writable",
    "rs485", "advertisement", "options",
))  # fmt: skip
NAMED = frozenset(("buses", "devices", "points"))
"""Tables whose keys are names of the installation's own."""
NAME = re.compile(r"[a-z0-9-]{1,32}")
KEY = re.compile(r"[A-Za-z0-9_-]{1,32}")
MEASURE = re.compile(r"[0-9]{1,15}(ms|s|m|h|d|B|kB|MB|GB|TB)")
"""A duration or size (config.units): no secret is one."""
TEXT_MAX = 4096
KNOWN_MIN = 4
"""Characters of a secret that is looked for in other texts: shorter ones stand in half of all words."""

_PEM = re.compile(r"-----BEGIN [^-]{1,64}-----.*?(-----END [^-]{1,64}-----|\Z)", re.DOTALL)
_USERINFO = re.compile(r"(?<=://)[^\s\"']{1,500}@")
"""To the last @, whatever stands before it: people do not write the @ and / of a password as %40 and %2F."""
_QUERY = re.compile(r"(?<=://)([^\s?]{1,500})\?[^\s\"']{1,2000}")
_NAMED = re.compile(
    r"(?i)((?:\b[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|credential|psk|pin|authorization|cookie|session)"
    r"[\w.-]*|\(hidden\))[\"']?\s{0,4}(?:[:=]|\bis\b)\s{0,4})"
    r"(?:\"[^\"]{0,500}\"|'[^']{0,500}'|(?:bearer|basic|digest)\s+\S{1,500}|\S{1,500})"
)
"""What is said to be a secret; also after a name that was hidden for being the value of another key."""
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]{1,}){0,2}")
_LONG = re.compile(r"(?<![A-Za-z0-9+=])(?=[A-Za-z+=]*[0-9])(?=[0-9+=]*[A-Za-z])[A-Za-z0-9+=]{28,}")
"""Keys and tokens as hex or base64. Ids of 16 bytes (boot, stream) look the same, and go with them."""


def scrub(text: str, known: Iterable[str] = ()) -> str:
    """`text` without PEM blocks, credentials in URLs, values that are named secret, long keys, and what is `known`."""
    for word in sorted(known, key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    text = _PEM.sub(HIDDEN, text)
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1?{HIDDEN}", text)
    text = _NAMED.sub(rf"\1{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return _LONG.sub(HIDDEN, _JWT.sub(HIDDEN, text))


def scrubbed(value: object, known: Iterable[str] = ()) -> Any:  # noqa: ANN401 - any JSON
    """Every text in a JSON value scrubbed, keys too, and what a terminal could obey replaced."""
    known = tuple(known)
    if isinstance(value, str):
        return scrub(plain(value[:TEXT_MAX]), known)
    if isinstance(value, Mapping):
        return {scrubbed(str(key), known): scrubbed(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item, known) for item in value]
    return value if isinstance(value, bool | int | float) or value is None else scrubbed(str(value), known)


def shown(table: Mapping[str, object], where: str = "") -> dict[str, Any]:
    """A table of a configuration, as it was read and not checked: names and numbers, and texts by the allow-list."""
    return {_key(str(key), where): _value(str(key), value, where) for key, value in table.items()}


def hidden(table: Mapping[str, object], where: str = "") -> set[str]:
    """The texts of a configuration that `shown` hides: they are looked for in everything else."""
    found: set[str] = set()
    for key, value in table.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping) and _open(str(key), where):
                found |= hidden(one, str(key))
            elif isinstance(one, Mapping):
                found |= set(_texts(one))
            elif isinstance(one, str) and _value(str(key), one, where) != one:
                found |= {one, *_credentials(one)}
    return {text for text in found if len(text) >= KNOWN_MIN}


def _open(key: str, where: str) -> bool:
    return key in TABLES or where in NAMED


def _key(key: str, where: str) -> str:
    return key if (NAME if where in NAMED else KEY).fullmatch(key) else HIDDEN


def _value(key: str, value: object, where: str) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        return shown(value, key) if _open(key, where) else HIDDEN
    if isinstance(value, list):
        return [_value(key, item, where) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal | datetime | date | time):
        return HIDDEN if _secret(key) else str(value) if not isinstance(value, int | float) else value
    if isinstance(value, str) and key in SHOWN:
        return scrubbed(value)
    return value if isinstance(value, str) and MEASURE.fullmatch(value) and not _secret(key) else HIDDEN


def _secret(key: str) -> bool:
    return secret(key, "") or bool(SECRET_WORDS & set(re.split(r"[_-]", key.lower())))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _credentials(url: str) -> Iterable[str]:
    """User and password of a URL, apart: a log may tell either alone."""
    found = re.search(r"://([^\s/@]*)@", url)
    yield from found[1].split(":", 1) if found else ()
