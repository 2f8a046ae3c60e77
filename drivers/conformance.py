"""What every driver keeps, as checks that its author runs: on the class and the folder it lives in.

In pytest: `@pytest.mark.parametrize("check", checks(MyDriver), ids=str)` and `check()`; docs/drivers.md says what the
folder holds.
"""

import asyncio
import inspect
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from config import ConfigError, Point, Profile, load, load_profile
from drivers.base import AskingDriver, BusSetup, Driver, ListeningDriver, Options, Read, points_of
from drivers.errors import DeviceError, DriverError
from drivers.setup import prepare
from ext import BAD_ANSWER, GOOD, Packer, ScanPlan, Series, Value, describe, unpack

MAX_CASE_BYTES = 1_000_000  # of one file of a test case: people must be able to read it


class ConformanceError(DriverError, AssertionError):
    """A driver does not keep what all drivers keep."""


@dataclass(frozen=True)
class Check:
    """One thing that a driver keeps; called, it raises `ConformanceError` when the driver does not."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def checks(kind: type[Driver], folder: Path | None = None) -> list[Check]:
    """Everything to check of a driver and its `folder` (default: that of its source)."""
    home = folder or Path(inspect.getfile(kind)).parent
    one = _Subject(kind, home)
    made = [
        Check("README.md", one.readme),
        Check("options", one.options),
        Check("sample.toml", one.sample),
        Check("constructor", one.constructor),
        Check("close", one.close),
        Check("reads", one.reads),
        Check("profiles", one.profiles),
        Check("testcases", one.has_cases),
    ]
    return made + [Check(f"testcases/{case.name}", _case_check(one, case)) for case in one.cases]


def check(kind: type[Driver], folder: Path | None = None) -> None:
    """Run all `checks`; raises one `ConformanceError` that holds what every failed one said."""
    failed = []
    for one in checks(kind, folder):
        try:
            one()
        except ConformanceError as error:
            failed.append(f"{one}: {error}")
    if failed:
        raise ConformanceError("\n".join(failed))


@dataclass(frozen=True)
class _Subject:
    kind: type[Driver]
    home: Path

    @property
    def cases(self) -> list[Path]:
        return sorted(path for path in (self.home / "testcases").glob("*") if path.is_dir())

    def drivers(self, file: Path) -> list[Driver]:
        """The drivers that a configuration makes, all of this kind."""
        folders = [self.kind.profiles] if self.kind.profiles is not None else []
        return prepare(load(file, profiles=folders), lambda _: self.kind)

    def sample_drivers(self) -> list[Driver]:
        file = self.home / "sample.toml"
        _must(file.is_file(), "there is no sample.toml")
        try:
            return self.drivers(file)
        except (ConfigError, DriverError) as error:
            raise ConformanceError(f"sample.toml: {error}") from error

    def readme(self) -> None:
        file = self.home / "README.md"
        _must(file.is_file() and bool(file.read_text("utf-8").strip()), "there is no README.md, or it says nothing")

    def options(self) -> None:
        for name in ("BusOptions", "DeviceOptions", "PointOptions"):
            model = getattr(self.kind, name)
            _must(isinstance(model, type) and issubclass(model, Options), f"{name} is not an Options model")
            config = model.model_config
            _must(config.get("extra") == "forbid" and config.get("frozen") is True, f"{name} takes unknown keys")
        _must(issubclass(self.kind, AskingDriver | ListeningDriver), "neither an AskingDriver nor a ListeningDriver")

    def sample(self) -> None:
        made = self.sample_drivers()
        _must(any(list(points_of(driver.setup)) for driver in made), "sample.toml has no point")

    def constructor(self) -> None:
        self.sample_drivers()  # whatever is loaded on first use is loaded now
        before = _resources()
        made = self.sample_drivers()
        _must(_resources() == before, "the constructor opened a file or socket, or started a thread")
        del made

    def close(self) -> None:
        for driver in self.sample_drivers():
            asyncio.run(_close_twice(driver))

    def reads(self) -> None:
        for driver, again in zip(self.sample_drivers(), self.sample_drivers(), strict=True):
            _check_reads(driver)
            same = list(driver.reads()) == list(driver.reads()) == list(again.reads())
            _must(same, "reads() differs from call to call, or from life to life")

    def profiles(self) -> None:
        if self.kind.profiles is None:
            return
        beside = Path(inspect.getfile(self.kind)).parent / "profiles"
        _must(self.kind.profiles == beside, f"the agent looks for profiles in {beside}")
        used = "".join(_text(case / "config.toml") for case in self.cases)
        for file in sorted(self.kind.profiles.glob("*.toml")):
            try:
                profile = load_profile(file, [self.kind.profiles])
            except ConfigError as error:
                raise ConformanceError(str(error)) from error
            _must(bool(profile.source), f"{file.name} names no public source")
            tried = f'"{profile.name}"' in used or profile.tests or profile.untested
            _must(bool(tried), f"no test case uses {file.name}, and it has no [[tests]] and does not say why")
            _rehearse(self.kind, profile)

    def has_cases(self) -> None:
        _must(bool(self.cases), "there is no testcases/<name>/ with config.toml, frames.txt, expected.json")

    def case(self, folder: Path) -> None:
        frames, expected = _text(folder / "frames.txt"), _expected(folder / "expected.json")
        _must(any(line.startswith("#") for line in frames.splitlines()), "frames.txt names no source in a # line")
        try:
            heard = self.replay(folder / "config.toml", frames)
        except (ConfigError, DriverError) as error:
            wanted = expected.get("error")
            _must(wanted is not None and wanted in str(error), f"raised {error}; expected {wanted or 'samples'}")
            return
        _must("error" not in expected, f"raised nothing; expected {expected.get('error')}")
        for what, got in heard.told().items():
            wanted = expected.get(what, [])
            same = len(got) == wanted if isinstance(wanted, int) else got == wanted
            _must(same, f"{what} are\n{_lines(got)}\nexpected\n{_lines(wanted)}")

    def replay(self, file: Path, frames: str) -> "Heard":
        drivers = self.drivers(file)
        _must(len(drivers) == 1, "config.toml has not exactly one bus")
        heard = Heard(drivers[0].setup)
        drivers[0].replay(frames, heard)
        return heard


@dataclass
class Heard:
    """A `Sink` that keeps what it is told as text, decoded by the same kernels as in the agent."""

    setup: BusSetup
    samples: list[list[str | None]] = field(default_factory=list)
    failures: list[list[str]] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        points = [setup.point for _, setup in points_of(self.setup)]
        self._names = [point.id for point in points]
        self._series = {point.id: _series(number, point) for number, point in enumerate(points)}
        self._packer = Packer()

    def scan(self, read: Read, payload: bytes, quality: int = GOOD) -> None:
        """Keep what the kernels decode, judged by sentinels and limits, report rules left out."""
        plan = ScanPlan([(layout, self._series[name]) for name, layout in read.points], read.every)
        if len(payload) < plan.size:
            self._packer.fail_scan(plan, 0, BAD_ANSWER)
        else:
            self._packer.append_scan(plan, payload, 0, quality)
        self._keep()

    def value(self, point: str, value: Value, quality: int = GOOD) -> None:
        """Keep one value."""
        _must(point in self._series, f"a value for {point}, which is no point of the configuration")
        self._packer.append(self._series[point], 0, value, quality)
        self._keep()

    def values(self, device: str, values: Sequence[tuple[str, Value, int]]) -> None:
        """Keep values of one device."""
        for point, value, quality in values:
            _must(point.startswith(f"{device}/"), f"a value for {point} from {device}")
            self.value(point, value, quality)

    def failed(self, device: str, error: DeviceError) -> None:
        """Keep device and text."""
        self.failures.append([device, str(error)])

    def stranger(self, description: str) -> None:
        """Keep the description."""
        self.strangers.append(description)

    def time(self, utc_ms: int, accuracy_ms: int) -> None:
        """Object: a recording says nothing of now."""
        raise ConformanceError(f"a time from a recording: {utc_ms} ms, within {accuracy_ms} ms")

    def told(self) -> dict[str, Sequence[object]]:
        """All of it, by the keys of expected.json."""
        return {"samples": self.samples, "failed": self.failures, "strangers": self.strangers}

    def _keep(self) -> None:
        for number, _, value, quality in unpack([self._packer.commit()]):
            self.samples.append([self._names[number], exact_text(value), describe(quality)])
        self._packer.reset()


def exact_text(value: Value) -> str | None:
    """A value as expected.json writes it: decimals without an exponent or closing zeros, bytes in hex."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        text = format(value, "f")
        return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"
    return value.hex() if isinstance(value, bytes) else str(value)


def _series(number: int, point: Point) -> Series:
    multiplier, addend, exponent = point.scaling
    limits = point.limits
    return Series(
        number,
        multiplier=multiplier,
        addend=addend,
        exponent=exponent,
        sentinels=point.sentinel,
        minimum=None if limits is None or limits.min is None else float(limits.min),
        maximum=None if limits is None or limits.max is None else float(limits.max),
    )


def _case_check(subject: _Subject, case: Path) -> Callable[[], None]:
    return lambda: subject.case(case)


def _rehearse(kind: type[Driver], profile: Profile) -> None:
    from drivers.rehearsal import rehearse  # it stands on this module

    try:
        faults = [fault for outcome in rehearse(kind, profile) for fault in outcome.faults]
    except DriverError as error:
        raise ConformanceError(f"{profile.name}: {error}") from error
    _must(not faults, f"{profile.name}: {'; '.join(faults)}")


def _check_reads(driver: Driver) -> None:
    names = [f"{device.device.id}/{point.point.name}" for device, point in points_of(driver.setup)]
    series = {setup.point.id: _series(number, setup.point) for number, (_, setup) in enumerate(points_of(driver.setup))}
    carried: list[str] = []
    for read in driver.reads():
        for name in read.names:
            _must(name in names and name.startswith(f"{read.device}/"), f"{name} is no point of {read.device}")
        if read.points:
            ScanPlan([(layout, series[name]) for name, layout in read.points], read.every)
        _must((read.every > 0) == isinstance(driver, AskingDriver), f"a read of {read.device} every {read.every} ms")
        carried += read.names
    _must(len(set(carried)) == len(carried), "a point is carried by two reads")
    missing = set(names) - set(carried) if isinstance(driver, AskingDriver) else ()
    _must(not missing, f"no read carries {', '.join(sorted(missing))}")


async def _close_twice(driver: Driver) -> None:
    await driver.close()
    await driver.close()


def _resources() -> tuple[frozenset[str], int]:
    """Open descriptors with what they are open to, and the number of threads."""
    return frozenset(_descriptors()), threading.active_count()


def _descriptors() -> Iterator[str]:
    folder = Path("/proc/self/fd")
    for name in os.listdir(folder):  # noqa: PTH208 - iterdir would hold a descriptor of its own while we look
        try:
            yield f"{name} {(folder / name).readlink()}"
        except FileNotFoundError:  # the descriptor that listed the folder
            continue


def _expected(file: Path) -> dict[str, Any]:
    try:
        expected = json.loads(_text(file))
    except ValueError as error:
        raise ConformanceError(f"{file.name} is not JSON: {error}") from error
    if isinstance(expected, list):
        return {"samples": expected}
    keys = {"samples", "failed", "strangers", "error"}
    _must(isinstance(expected, dict) and expected.keys() <= keys, f"{file.name} is neither a list nor a table of these")
    return dict(expected)


def _text(file: Path) -> str:
    _must(file.is_file() and file.stat().st_size <= MAX_CASE_BYTES, f"{file.name} is missing or too long")
    return file.read_text("utf-8")


def _lines(rows: Sequence[object] | int) -> str:
    if isinstance(rows, int):
        return str(rows)
    return "\n".join(json.dumps(row, ensure_ascii=True) for row in rows) or "(none)"


def _must(kept: bool, message: str) -> None:
    if not kept:
        raise ConformanceError(message)
