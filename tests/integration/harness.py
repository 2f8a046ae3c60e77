"""One gateway's whole way as real processes in one folder: agent, a link that can be cut, mosquitto, collector."""

import asyncio
import shutil
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from buffer.batch import decode
from buffer.catalogue import decode as decode_catalogue
from buffer.cose import Kind
from buffer.header import ClockState
from buffer.keys import PublicKey, SigningKey
from collector.identity import registry
from collector.tables.database import Database
from ext import Value, unpack
from gateway.control.client import Client
from gateway.control.sockets import control_socket, status_socket
from gateway.demo.link import Link
from gateway.demo.processes import Children
from gateway.errors import GatewayError
from tests.mosquitto import PATH, Mosquitto

GATEWAY, SITE = "gw-test", "site-test"
WAIT_S = 20.0  # a loaded machine; an idle one starts everything in two
EVERY_S = 0.05

T = TypeVar("T")

HEAD = """\
[gateway]
id = "{gateway}"
site = "{site}"
key = "batch.key"
[uplink]
brokers = ["mqtt://127.0.0.1:{link}"]
authority = "authority.json"
batch = "{batch}"
{uplink}
[buffer]
path = "{buffer}"
commit = "{commit}"
{store}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the collector's table `samples` with its series."""

    point: str
    utc_ms: int
    value: float | None
    exact: str | None
    text: str | None
    quality: int
    batch: int
    unit: str
    type: str

    @property
    def number(self) -> Decimal | None:
        """The exact value, when it is a finite number."""
        if self.exact is not None:
            found = None if self.exact.startswith("nan:") else Decimal(self.exact)
            return found if found is not None and found.is_finite() else None
        return None if self.value is None else Decimal(repr(self.value))


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as decoded from a batch that the collector keeps."""

    point: str
    boot_ms: int
    value: Value
    quality: int
    batch: int
    utc_ms: int


RUNNING = "gateway/running"


class Rig:
    """`async with Rig(folder) as rig:` starts broker, link and collector; the agent starts with `start_agent(config)`.

    Every wait raises `AssertionError` with the ends of the logs when its time is over. No process is left behind.
    """

    def __init__(
        self, folder: Path, *, buffer: Path | None = None, database: Path | None = None, broker: Sequence[str] = ()
    ) -> None:
        """`buffer` and `database`: the agent's and the collector's file elsewhere. `broker`: its further lines."""
        self.folder = folder
        self.buffer = buffer or folder / "buffer.db"
        self.database = database or folder / "collector.db"
        self.config = folder / "lamppost.toml"
        self.public_key = folder / "gateway.json"
        self.children = Children(folder)
        self.link = Link()
        self.run_dir = folder
        self._broker: Mosquitto | None = None
        self._broker_lines = broker
        self._env: dict[str, str] = {}
        self.before: tuple[str, ...] = ()
        """Words before the agent's command: a program that starts it in some other state."""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.children.stop_all()
        await self.link.cut()
        if self._broker is not None:
            await asyncio.to_thread(self._broker.kill)
        if self.run_dir != self.folder:
            await asyncio.to_thread(shutil.rmtree, self.run_dir, ignore_errors=True)

    @property
    def broker(self) -> Mosquitto:
        """The broker; its methods block, call them by `asyncio.to_thread`."""
        assert self._broker is not None
        return self._broker

    # the agent ---------------------------------------------------------------------------------------------------

    async def start_agent(
        self, config: str | None = None, *, batch: str = "1s", commit: str = "200ms", uplink: str = "",
        store: str = "", env: Mapping[str, str] | None = None, heard: bool = False,
    ) -> None:  # fmt: skip
        """Start the agent with the buses and devices of `config`, or as it was; wait until it answers.

        `uplink` and `store` are further lines of [uplink] and [buffer]. With `heard`, wait until each device was heard.
        """
        if config is not None:
            head = HEAD.format(
                gateway=GATEWAY, site=SITE, link=self.link.port, batch=batch, uplink=uplink, buffer=self.buffer,
                commit=commit, store=store,
            )  # fmt: skip
            await asyncio.to_thread(self.config.write_text, head + config)
            self._env = dict(env or {})
        words = ["-m", "gateway", "run", "--config", str(self.config), "--run-dir", str(self.run_dir)]
        await self.children.start("agent", [*self.before, sys.executable, *words], self._env)
        await self.until(lambda: self._answers(heard=heard), "the agent answers" + heard * " and has heard all")

    async def stop_agent(self) -> int:
        """SIGTERM; the exit code."""
        return await self.children.stop("agent")

    async def kill_agent(self) -> None:
        """kill -9."""
        await self.children.kill("agent")

    def status(self) -> dict[str, Any]:
        """What the agent says of itself; raises `GatewayError`. Blocks."""
        with Client(status_socket(self.run_dir)) as client:
            status: dict[str, Any] = client.call("status")
            return status

    def device(self, name: str) -> dict[str, Any]:
        """What the agent says of one device. Blocks."""
        devices = [device for bus in self.status()["buses"] for device in bus["devices"]]
        found: dict[str, Any] = next(device for device in devices if device["id"] == name)
        return found

    def flush(self) -> None:
        """Have the agent commit and seal what it has. Blocks."""
        with Client(control_socket(self.run_dir)) as client:
            client.call("flush")

    async def settle(self, seconds: float = WAIT_S) -> None:
        """With the devices silent: wait until every sample is committed, sealed and acknowledged."""

        def settled() -> bool:
            self.flush()
            state = self.status()["buffer"]
            return bool(state["held"]["batches"] == 0 and state["samples"] == state["committed"])

        await self.until(settled, "everything is delivered", seconds)

    # the collector -----------------------------------------------------------------------------------------------

    async def start_collector(self) -> None:
        """Start the collector on its database."""
        words = ["-m", "collector", "run", "--database", str(self.database), "--key", str(self.folder / "platform.key")]
        await self.children.start("collector", [sys.executable, *words, "--broker", self.broker.url])

    def rows(self, point: str | None = None) -> list[Row]:
        """The samples that the collector has stored, in order of time; of one `device/point`, or all. Blocks.

        Among all is not the text of the configuration, which every gateway tells of itself.
        """
        found = [Row(*row) for row in self.query(ROWS, point=point)]
        return [row for row in found if point is not None or row.point != RUNNING]

    def query(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        """Rows of the collector's database. Blocks."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return db.execute(sql, values).fetchall()

    def samples(self) -> list[Sample]:
        """The same, decoded from the batches that the collector keeps and not from its tables. Blocks."""
        key = PublicKey.from_json(self.public_key.read_text())
        messages = [row[0] for row in self.query("SELECT bytes FROM batches ORDER BY number")]
        boots = dict(self.query("SELECT boot, offset_ms FROM boots WHERE offset_ms IS NOT NULL"))
        return [sample for sample in _decoded(messages, key, boots) if sample.point != RUNNING]

    # waiting -----------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], T], what: str, seconds: float = WAIT_S) -> T:
        """Ask `condition` in a thread until it is true; the value. An agent that does not answer is asked again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            if found := await asyncio.to_thread(_quietly, condition):
                return found
            if loop.time() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}\n{await asyncio.to_thread(self.logs)}")
            await asyncio.sleep(EVERY_S)

    async def until_rows(self, enough: Callable[[list[Row]], bool], what: str, seconds: float = WAIT_S) -> list[Row]:
        """Wait until the stored rows are `enough`; all of them."""

        rows: list[Row] = []

        def asked() -> bool:
            rows[:] = self.rows()
            return bool(rows) and enough(rows)

        try:
            await self.until(asked, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- {len(rows)} rows, the last of them {rows[-12:]}") from error
        return rows

    def logs(self) -> str:
        """The ends of the logs. Blocks."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(self.folder.glob("*.log")))

    # ---------------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        program = await asyncio.to_thread(shutil.which, "mosquitto", path=PATH)
        if program is None:
            pytest.skip("mosquitto is not installed (see debian-packages.txt)")
        # a socket's path is at most 107 bytes, unix(7), and the folder's may be longer
        self.run_dir = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="lamppost-"))
        await asyncio.to_thread(self._make_keys)
        self._broker = await asyncio.to_thread(Mosquitto, self.folder, program, self._broker_lines)
        await asyncio.to_thread(self._broker.start)
        self.link.target = self._broker.port
        await self.link.start()
        await asyncio.to_thread(self._make_known)
        await self.start_collector()

    def _make_keys(self) -> None:
        batch = SigningKey.create(self.folder / "batch.key").public(GATEWAY, SITE, "batch")
        platform = SigningKey.create(self.folder / "platform.key").public("platform", SITE, "acknowledge")
        self.public_key.write_text(batch.to_json() + "\n")
        (self.folder / "authority.json").write_text(platform.to_json() + "\n")

    def _make_known(self) -> None:
        with closing(Database.open(self.database)) as database:
            registry.add(database, PublicKey.from_json(self.public_key.read_text()), time.time_ns() // 1_000_000)

    def _answers(self, *, heard: bool) -> bool:
        if not self.children.running("agent"):
            raise AssertionError(f"the agent ended\n{self.logs()}")
        devices = [device for bus in self.status()["buses"] for device in bus["devices"]]
        return not heard or all(device["heard_s"] is not None for device in devices)


ROWS = """
SELECT series.device || '/' || series.point, ts_ms, value, exact, text, quality, batch, unit, type
FROM samples JOIN series ON series.id = samples.series
WHERE :point IS NULL OR series.device || '/' || series.point = :point
ORDER BY ts_ms, samples.rowid
"""


def same(found: object, expected: object) -> bool:
    """Of one type and equal to the bit; decimals with the same digits behind the point."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, float) and isinstance(expected, float):
        return struct.pack(">d", found) == struct.pack(">d", expected)
    if isinstance(found, Decimal) and isinstance(expected, Decimal):
        return found.as_tuple() == expected.as_tuple()
    return found == expected


def columns(expected: object) -> tuple[float | None, str | None]:
    """(value, what `exact` says, where it says something) of docs/collector.md."""
    if expected is None:
        return None, None
    if isinstance(expected, float):
        bits = struct.pack(">d", expected).hex()
        if expected != expected:
            return None, f"nan:{bits}"
        if bits == "8000000000000000":
            return 0.0, "-0.0"
        return (None, repr(expected)) if expected in (float("inf"), float("-inf")) else (expected, None)
    assert isinstance(expected, int | Decimal)
    return float(expected), None if Decimal(repr(float(expected))) == expected else str(expected)


def _quietly(condition: Callable[[], T]) -> T | None:
    try:
        return condition()
    except GatewayError:
        return None


def _decoded(messages: list[bytes], key: PublicKey, boots: Mapping[str, int]) -> Iterator[Sample]:
    """The catalogues first: a batch may be stored before the one that explains it. `boots` dates unset clocks."""
    batches = [decode(message, key) for message in messages]
    names = {
        entry.number: f"{entry.device}/{entry.point}"
        for batch in batches if batch.header.kind is Kind.CATALOGUE
        for entry in decode_catalogue(batch.blocks)
    }  # fmt: skip
    for batch in batches:
        header = batch.header
        if header.kind is Kind.BATCH:
            unset = header.clock_state is ClockState.UNSET
            clock_ms = boots.get(header.boot.hex(), 0) if unset else header.clock_ms
            for number, boot_ms, value, quality in unpack(batch.blocks):
                yield Sample(names[number], boot_ms, value, quality, header.number, boot_ms + clock_ms)
