"""What a technician probably meant."""

from collections.abc import Iterable

from config.errors import quote_key

LISTED = 12  # names told when none is near
COMPARED = 64  # characters of a name that are compared: difflib is quadratic


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`did you mean "x"?` or "" when nothing is near."""
    from difflib import get_close_matches  # an agent whose configuration is right never needs it

    close = get_close_matches(name[:COMPARED], sorted(known), n=1, cutoff=cutoff)
    return f'did you mean "{close[0]}"?' if close else ""


def listing(known: Iterable[str]) -> str:
    """`there are: a, b, c`, cut after `LISTED`."""
    names = sorted(known)
    if not names:
        return "there are none"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return "there are: " + ", ".join(quote_key(name) for name in names[:LISTED]) + more


def choice(name: str, known: Iterable[str]) -> str:
    """What is near, and what there is."""
    names = list(known)
    return " ".join(part for part in (nearest(name, names), listing(names)) if part)
