"""Telegrams of the golden cases, as bytes."""

from pathlib import Path

CASES = Path(__file__).parents[3] / "drivers" / "p1" / "testcases"


def telegram(case: str) -> bytes:
    """The telegram of a golden case as it goes over the line."""
    lines = (CASES / case / "frames.txt").read_text().splitlines()
    return "".join(f"{line}\r\n" for line in lines if not line.startswith("#")).encode()


XS210 = telegram("esmr-5-xs210")  # DSMR 5, with a checksum
OLD = telegram("dsmr-3")  # without
