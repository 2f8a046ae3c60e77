"""A short run of every fuzz target with sanitizers, and proof that findings are found."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext import FormatError, unpack, unpack_columns
from tests.ext.vectors import Vector, read_vectors
from tests.fuzz import symbols
from tests.fuzz.build import SOURCES, Toolchain, build, gcc
from tests.fuzz.mutator import Mutator, blocks_in, framed
from tests.fuzz.run import TARGETS, fuzz
from tests.fuzz.seeds import CORPUS, seeds
from tests.fuzz.targets import scripts
from tests.fuzz.watch import Overspent, Watch
from tests.reference_decoder import ReferenceFormatError, decode

pytestmark = [
    pytest.mark.xdist_group("fuzz"),  # the kernels are built once
    pytest.mark.timeout(400),  # which is twenty seconds of CPU, and part of the first test's time
]

SECONDS = 2.0  # of each target
CLAIMS = sorted(CORPUS.glob("*.bin"))


@pytest.fixture(scope="module")
def sanitized() -> Toolchain:
    """The kernels built with sanitizers; skips only where the compiler has none."""
    chain = gcc()
    if chain is None:
        pytest.skip("the C compiler brings no AddressSanitizer (Debian: gcc)")
    if not list(SOURCES.glob("*.c")):
        pytest.skip("the kernels were not built in this checkout: make")
    build(chain)
    return chain


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(target: str, sanitized: Toolchain) -> None:
    outcomes = fuzz("plain", target, SECONDS, random.getrandbits(31), sanitized)
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes[-1].log
    assert outcomes[0].figures["inputs"] > 15
    assert outcomes[0].figures["accepted"] > 0


OVERREAD = "import ctypes; b = ctypes.create_string_buffer(40); ctypes.string_at(ctypes.addressof(b), 80)"
WHICH = "import ext.unpacker, ext.packer; print(ext.unpacker.__file__, ext.packer.__file__)"


def _python(chain: Toolchain, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=chain.environment(), capture_output=True, text=True, check=False
    )


def test_a_bad_access_ends_the_process(sanitized: Toolchain) -> None:
    done = _python(sanitized, OVERREAD)
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr


def test_the_kernels_under_test_are_the_sanitized_ones(sanitized: Toolchain) -> None:
    paths = [Path(path) for path in _python(sanitized, WHICH).stdout.split()]
    assert [path.parent for path in paths] == [sanitized.folder / "ext"] * 2
    assert all(b"__asan_report_load" in path.read_bytes() and b"__ubsan_handle" in path.read_bytes() for path in paths)


def busy(_: bytes) -> None:
    """Take twice the CPU time that an input may."""
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass


def test_what_is_too_slow_or_too_large_is_a_finding() -> None:
    watch = Watch(None)
    assert watch.call(len, b"abc") == 3
    with pytest.raises(Overspent, match="ms of CPU"):
        watch.call(busy, b"")
    with pytest.raises(Overspent, match="MB more resident"):
        watch.call(bytearray(b"x").__mul__, 40 << 20)


def test_with_sanitizers_it_is_a_suspect(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.call(len, b"abc")
    watch.input_done(b"quick")
    watch.call(busy, b"")
    watch.input_done(b"slow")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"slow"]


@pytest.mark.parametrize("vector", read_vectors(), ids=lambda vector: vector.name)
def test_symbols_say_the_blocks_they_came_from(vector: Vector) -> None:
    heard = symbols.symbols_of(vector.blocks)
    assert symbols.blocks_of([[*script, 7] for script in heard]) == vector.blocks


def test_mutations_are_repeatable_and_reach_far() -> None:
    start = seeds("blocks")
    mutator = Mutator(start)
    made = [mutator.mutate(start[seed % len(start)], seed) for seed in range(400)]
    assert made == [mutator.mutate(start[seed % len(start)], seed) for seed in range(400)]
    messages = set()
    for data in made:
        try:
            unpack(blocks_in(data))
            messages.add("")
        except FormatError as error:
            messages.add(str(error).partition(": ")[2][:12])
    assert len(messages) > 8
    assert all(framed(blocks_in(data))[: len(data)] == data[: len(framed(blocks_in(data)))] for data in start)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_scripts_come_out_again(data: bytes) -> None:
    scripts(data, Watch(None))


@pytest.mark.parametrize("path", CLAIMS, ids=lambda path: path.stem)
@pytest.mark.parametrize("reader", [unpack, unpack_columns])
def test_little_that_claims_much_is_refused_in_time(path: Path, reader: object) -> None:
    assert callable(reader)
    with pytest.raises(FormatError, match=r"more work than 1048576|more than 65536 samples"):
        Watch(None).call(reader, blocks_in(path.read_bytes()))


def test_the_reference_refuses_too_much_work_as_well() -> None:
    with pytest.raises(ReferenceFormatError, match="too much work"):
        decode(blocks_in((CORPUS / "scaled-floats.bin").read_bytes()))
