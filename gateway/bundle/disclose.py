"""The text of a configuration file as it may leave the box: the same, but for what looks secret."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal

from config.errors import HIDDEN, secret
from gateway.bundle.hide import KNOWN_MIN, NAMED, scrub

WORDS = frozenset((
    "pin", "puk", "psk", "pwd", "pass", "passkey", "apikey", "auth", "community", "login", "credential", "credentials",
))  # fmt: skip
"""Parts of names of texts that are hidden beside those of `config.errors`; and `key` in a name of several words."""
MIN_PIN = 1000
"""A number of such a name that is no pin of a board: those of SIM cards have four digits, of Bluetooth six."""
PRIVATE = "PRIVATE KEY-----"  # RFC 7468, 10 and 11; also of the older forms

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # the four strings of TOML 1.0, and comments: neither begins within the other
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*",
    re.DOTALL,
)


def disclosed(text: str) -> tuple[str, int]:
    """`text`, which is TOML, with secrets hidden, and how many values that changed; raises `ValueError`.

    No key of ours holds a password, they name files; labels, keys of partners' drivers and comments may hold anything.
    """
    secrets = set()
    for value in _secrets(tomllib.loads(text, parse_float=Decimal)):
        if not isinstance(value, str):
            raise ValueError("a number is a secret")  # noqa: TRY004 - one error for what cannot be hidden
        secrets.add(value)
    known = [value for value in secrets if len(value) >= KNOWN_MIN]
    count = 0

    def judged(match: re.Match[str]) -> str:
        nonlocal count
        token = match[0]
        if token.startswith("#"):
            return scrub(token, known)
        value = tomllib.loads(f"x = {token}")["x"]
        if value not in secrets and not any(word in value for word in known):
            return token
        count += 1
        return f'"{HIDDEN}"'

    found = _TOKEN.sub(judged, text)
    if any(True for _ in _secrets(tomllib.loads(found, parse_float=Decimal))):
        raise ValueError("a secret could not be taken out")
    return found, count


def _secrets(table: Mapping[str, object], where: str = "", *, inside: bool = False) -> Iterator[object]:
    for key, value in table.items():
        named = inside or (where not in NAMED and secret(key, ""))
        likely = named or (where not in NAMED and not key.endswith("_file") and _likely(_words(key)))
        for one in _flat(value):
            if isinstance(one, Mapping):
                yield from _secrets(one, key, inside=named)
            elif isinstance(one, str):
                if one not in ("", HIDDEN) and (likely or secret("", one) or PRIVATE in one):
                    yield one
            elif not isinstance(one, bool) and (named or (likely and isinstance(one, int) and one >= MIN_PIN)):
                yield one


def _likely(words: set[str]) -> bool:
    return bool(words & WORDS) or ("key" in words and len(words) > 1)


def _words(key: str) -> set[str]:
    return set(re.split(r"[_-]", key.lower()))


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value
