"""The simulated mast: correct sentences, at the pace of the line, exactly accounted."""

from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from drivers.nmea import NmeaDriver
from drivers.simulated.mast import BAUD, SENTENCES
from drivers.simulated.speaker import BITS
from tests.drivers.simulated.support import Said, devices, driver_of, listen, number


@pytest.mark.parametrize("n", [0, 1, 7, 299, 40_000, 1_000_000])
def test_every_sentence_says_what_is_noted(tmp_path: Path, n: int) -> None:
    spoken = [sentence(n) for sentence in SENTENCES]
    said = Said()
    text = "\n".join(s.data.decode().strip() for s in spoken)
    driver_of(tmp_path, NmeaDriver, "mast").replay(text, said)  # type: ignore[arg-type]
    assert [point for point, _ in said.samples] == [point for s in spoken for point, _ in s.samples]
    assert dict(said.samples) == {point: value for s in spoken for point, value in s.samples}


@pytest.mark.parametrize("n", range(0, 900, 13))
def test_sentences_are_well_formed(n: int) -> None:
    for sentence in SENTENCES:
        data = sentence(n).data
        body, _, checksum = data[1:-2].partition(b"*")
        assert data[:1] == b"$"
        assert data[-2:] == b"\r\n"
        assert len(data) <= 82 or body.startswith(b"WIMDA")  # IEC 61162-1, 7.3; MDA is longer on real sensors too
        assert int(checksum, 16) == reduce(xor, body)


def test_the_line_speaks_at_its_pace_only_while_somebody_listens_and_accounts_exactly(tmp_path: Path) -> None:
    with devices(tmp_path, "--meters", "0", "--lights", "0", "--no-p1", "--interval", "0.1") as running:
        assert running.served() == []
        heard = listen(running.mast, 2.5)
    served = running.served()
    text = b"".join(piece for _, piece in heard)
    # a byte takes 2.08 ms at 4800 baud; the line is never faster, and hardly slower
    length = heard[-1][0] - heard[0][0]
    assert 0.8 < length / (len(text) * BITS / BAUD) < 1.5
    assert max(len(piece) for _, piece in heard) < 60
    sentences = [line for line in text.decode().split("\r\n")[:-1] if line.startswith("$")]
    said = Said()
    driver_of(tmp_path, NmeaDriver, "mast").replay("\n".join(sentences), said)  # type: ignore[arg-type]
    noted = [(line["point"], number(line["value"])) for line in served]
    # the last sentence may not be ended
    assert len(said.samples) > 10
    assert noted[: len(said.samples)] == said.samples
    assert 0 <= len(noted) - len(said.samples) <= 6
