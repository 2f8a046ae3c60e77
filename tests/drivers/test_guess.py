"""What speaks, guessed from bytes of real devices; and nothing from noise."""

import random
from pathlib import Path

import pytest

from config import load_profile
from drivers import decoding
from drivers.guess import Guess, Known, guess

FOLDER = Path(decoding.__file__).parent

# hekmon/linkytic's tests; Vaisala M210822EN-F; avaldebe/PyPMS; the example telegram of DSMR 5.0.2 P1 (its head)
LINKY = b"\nEAST\t003519703\t+\r\nIRMS1\t001\t/\r\nURMS1\t241\tA\r"
WIND = b".3,M,A*06\r\n$WIMWV,39,R,1.3,M,A*06\r\n"
NOVA = bytes.fromhex("c943ab" + "aac00600060058d93dab" * 3)
P1 = b"/ISk5\\2MT382-1000\r\n\r\n1-3:0.2.8(50)\r\n"
SML = bytes.fromhex("1b1b1b1b01010101" + "76050000000162006200726301017601")


def even(data: bytes) -> bytes:
    """As eight bits without parity show what was sent with seven and even parity."""
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in data)


@pytest.fixture(scope="module")
def known() -> list[Known]:
    files = [(kind, file) for kind in ("line", "frame") for file in (FOLDER / kind / "profiles").glob("*.toml")]
    profiles = [(kind, load_profile(file)) for kind, file in files]
    return [(profile, decoding.load(kind)) for kind, profile in profiles if "checksum" in profile.options]


@pytest.mark.parametrize(
    ("heard", "wanted"),
    [
        (WIND, Guess("nmea")),
        (P1, Guess("p1")),
        (SML, Guess("sml")),
        (NOVA, Guess("frame", "nova-sds011")),
        (even(LINKY), Guess("line", "linky-standard", seven_even=True)),
        (LINKY, Guess("line", "linky-standard")),
        (b"21.5;40\r\n21.6;41\r\n21.7;40\r\n", Guess("line")),
        (b"", None),
        (b"21.5", None),
    ],
)
def test_what_speaks(known: list[Known], heard: bytes, wanted: Guess | None) -> None:
    assert guess(heard, known) == wanted


def test_noise_is_nothing(known: list[Known]) -> None:
    rng = random.Random(7)
    assert {guess(rng.randbytes(300), known) for _ in range(100)} == {None}
