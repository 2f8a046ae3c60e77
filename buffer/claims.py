"""What a batch answers for: its own samples, or those of the batches whose place it has taken (docs/format.md)."""

from collections.abc import Iterable
from dataclasses import replace

from buffer.header import Header, Replaced


def claims_of(header: Header, digest: bytes) -> tuple[Replaced, ...]:
    """What a batch that takes this one's place must claim: all that it answers for, and its number."""
    own = Replaced(header.number, header.number, digest, 0 if header.replaces else header.samples)
    return (*header.replaces, own)


def merged(claims: Iterable[Replaced]) -> tuple[Replaced, ...]:
    """The same claims, in order and with what adjoins made one. No sample may be in two of them.

    A number without samples of its own may be: that of a batch that was split, by each of its pieces.
    """
    found: list[Replaced] = []
    for claim in sorted(claims, key=lambda claim: (claim.first, claim.start or 0)):
        if found and (joined := _joined(found[-1], claim)):
            found[-1] = joined
        else:
            found.append(claim)
    return tuple(found)


def piece(header: Header, digest: bytes, start: int, samples: int) -> tuple[Replaced, ...]:
    """The claims of a batch that carries `samples` of this one's from place `start` on, as they were committed."""
    if not header.replaces:
        return (Replaced(header.number, header.number, digest, samples, start),)
    (whole,) = (claim for claim in header.replaces if claim.samples)
    part = replace(whole, samples=samples, start=(whole.start or 0) + start)
    return tuple(part if claim is whole else claim for claim in claims_of(header, digest))


def _joined(one: Replaced, other: Replaced) -> Replaced | None:
    samples = one.samples + other.samples
    if one.start is None and other.start is None and other.first <= one.last + 1:
        end = max(one, other, key=lambda claim: claim.last)
        return Replaced(one.first, end.last, end.hash, samples)
    if one.start is not None and one.last == other.first and one.start + one.samples == other.start:
        return replace(one, samples=samples)
    return None
