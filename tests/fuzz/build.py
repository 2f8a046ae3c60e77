"""The kernels built with sanitizers, from the same C as those in use, in a folder of their own below `build/fuzz`."""

import os
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / "build" / "fuzz"
SOURCES: Final = ROOT / "build" / "cython" / "ext"
LIMITED_API: Final = "0x030B0000"  # as in setup.py

# Undefined behaviour ends the process as a bad access does. The code that Cython adds passes all of these checks.
CHECKS: Final = (
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-O1",
    "-g1",
    "-DLAMPPOST_TIGHT",  # ext/model.pxd
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler with its sanitizers, and the library that must be loaded before all others."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...]
    preload: Path

    @property
    def folder(self) -> Path:
        """Where its kernels lie, in a package `ext`."""
        return BUILD / self.name

    def environment(self) -> dict[str, str]:
        """What a process needs so that it runs these kernels; each Python object has memory of its own there."""
        return os.environ | {
            "LD_PRELOAD": str(self.preload),
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
            "PYTHONSAFEPATH": "1",
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:quarantine_size_mb=4:handle_sigill=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
        }


def gcc() -> Toolchain | None:
    """The C compiler that built the agent; None when it brings no AddressSanitizer."""
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        return None
    said = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=False)
    preload = Path(said.stdout.strip())
    return (
        Toolchain("gcc", compiler, CHECKS, ("-lasan", "-lubsan"), preload.resolve()) if preload.is_absolute() else None
    )


def clang() -> Toolchain:
    """Clang for libFuzzer, whose library comes with atheris; ImportError or FileNotFoundError without them."""
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    found = sorted(path for folder in os.get_exec_path() for path in Path(folder).glob("clang*"))
    compiler = next((path for path in found if path.name.removeprefix("clang").removeprefix("-").isdigit()), None)
    if compiler is None:
        raise FileNotFoundError("clang")
    return Toolchain(
        "clang", str(compiler), (*CHECKS, "-fsanitize=fuzzer-no-link"), (), Path(atheris.path()) / "asan_with_fuzzer.so"
    )


def build(chain: Toolchain) -> None:
    """Compile what is older than its source; CalledProcessError, with the compiler's words on stderr."""
    package = chain.folder / "ext"
    package.mkdir(parents=True, exist_ok=True)
    for source in (*(ROOT / "ext").glob("*.py"), ROOT / "ext" / "py.typed"):
        shutil.copy2(source, package)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda source: _compile(chain, source), sorted(SOURCES.glob("*.c"))))


def _compile(chain: Toolchain, source: Path) -> None:
    target = chain.folder / "ext" / f"{source.stem}.abi3.so"
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return
    include = (f"-I{sysconfig.get_path('include')}", f"-I{ROOT / 'ext'}", f"-DPy_LIMITED_API={LIMITED_API}")
    made, part = target.with_suffix(".new"), target.with_suffix(".o")
    subprocess.run([chain.compiler, "-c", "-fPIC", *chain.flags, *include, str(source), "-o", str(part)], check=True)
    subprocess.run([chain.compiler, "-shared", str(part), *chain.libraries, "-o", str(made)], check=True)
    made.replace(target)
