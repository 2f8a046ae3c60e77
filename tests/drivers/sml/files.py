"""SML files of the golden cases, as bytes."""

from pathlib import Path

CASES = Path(__file__).parents[3] / "drivers" / "sml" / "testcases"


def file(case: str) -> bytes:
    """The file of a golden case as it goes over the line."""
    lines = (CASES / case / "frames.txt").read_text().splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


ISKRA = file("iskra-mt681")
HOLLEY = file("holley-dtz541")
