"""The walk of a technician along the points, as far as it has come, and the signed record at its end.

The agent notes what it knows of a point at the moment of the verdict: who asks cannot say which value was seen.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buffer.commissioning import MAX_NAME, MAX_NOTE, MAX_VALUE, Look, Record, Verdict
from ext.quality import describe
from gateway.control.server import Args
from gateway.control.status import value_json
from gateway.errors import BadRequest, GatewayError
from gateway.files import save
from gateway.reporting.system import COMMISSIONING

if TYPE_CHECKING:
    from gateway.agent import Agent

log = logging.getLogger(__name__)

NAME = "commissioning.json"
RECORD = "commissioning.cose"
VERSION = 1
MAX_FILE = 1 << 24
"""8192 points with the longest texts that there may be take less."""
PACE_S = 0.2
"""Between two verdicts: faster than a thumb, slower than what wears a card."""
SIGN_PACE_S = 2.0
"""Between two records: each is a commit."""


class Walk:
    """The verbs `walk`, `tick`, `sign` and `record` of one agent. The file beside the store keeps it over restarts."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._lock = asyncio.Lock()
        self._looks: dict[str, Look] | None = None

    @property
    def _path(self) -> Path:
        return self._agent.config.buffer.path.with_name(NAME)

    @property
    def _record(self) -> Path:
        return self._agent.config.buffer.path.with_name(RECORD)

    async def walk(self, _: Args) -> dict[str, Any]:
        """Every point, and what was said of it."""
        async with self._lock:
            looks = await self._known()
        return {
            "points": [asdict(look) for look in self._all(looks)],
            "record": await asyncio.to_thread(_changed_ms, self._record),
        }

    async def tick(self, args: Args) -> dict[str, Any]:
        """Say `verdict` of `point`, with a `note`; what is noted of it then. `*` and `open`: the walk begins again."""
        point, note = _text(args, "point", 1, 256), _text(args, "note", 0, MAX_NOTE)
        try:
            verdict = Verdict(_text(args, "verdict", 1, MAX_NAME))
        except ValueError as error:
            raise BadRequest(f"verdict: one of {', '.join(Verdict)}") from error
        if point not in self._agent.points and not (point == "*" and verdict is Verdict.OPEN):
            raise BadRequest("point: no such point")
        async with self._lock:
            looks = dict(await self._known())
            if point == "*":
                looks.clear()
                look = Look("*", "")
            else:
                look = looks[point] = self._look(point, verdict, note)
            await self._save(looks)
            await asyncio.sleep(PACE_S)
        return asdict(look)

    async def sign(self, args: Args) -> dict[str, Any]:
        """Sign a record of the walk as it is, `who` saying so; it is told in the chain, and kept until the next."""
        agent, who, note = self._agent, _text(args, "who", 1, MAX_NAME), _text(args, "note", 0, MAX_NOTE)
        gateway, estimate = agent.config.gateway, agent.clock.estimate()
        async with self._lock:
            looks = tuple(self._all(await self._known()))
            record = Record(gateway.id, gateway.site, who, note, agent.clock.utc_ms(), estimate.state, looks)
            message = await asyncio.to_thread(record.sign, agent.keys.signing)
            await self._write(self._record, message)
            told = {
                "who": who,
                "at_ms": record.at_ms,
                **{verdict.value: record.count(verdict) for verdict in Verdict},
                "hash": hashlib.sha256(message).hexdigest(),
            }
            agent.recorder.value(COMMISSIONING, json.dumps(told, ensure_ascii=False, separators=(",", ":")))
            log.info(
                "commissioning: a record was signed: %d ok, %d fault, %d open", told["ok"], told["fault"], told["open"]
            )
            await asyncio.sleep(SIGN_PACE_S)
        return told

    async def record(self, _: Args) -> dict[str, Any]:
        """The last record, its message in hex."""
        try:
            message = await asyncio.to_thread(self._record.read_bytes)
        except OSError as error:
            raise GatewayError("no record was signed yet") from error
        return {"message": message.hex(), "hash": hashlib.sha256(message).hexdigest()}

    def _all(self, looks: dict[str, Look]) -> Iterable[Look]:
        """One of each point; what was noted of one that is no more is left out."""
        return [looks.get(name) or Look(name, point.unit) for name, point in self._agent.points.items()]

    def _look(self, name: str, verdict: Verdict, note: str) -> Look:
        agent, point = self._agent, self._agent.points[name]
        last = agent.recorder.last(name)
        if verdict is Verdict.OK and last is None:
            raise BadRequest(f"{name} has said nothing yet: it cannot be right")
        if verdict is Verdict.OPEN:
            return Look(name, point.unit, note=note)
        now = agent.clock.utc_ms()
        if last is None:
            return Look(name, point.unit, verdict, note, seen_ms=now)
        boot_ms, value, quality = last
        said = "" if value is None else str(value_json(value))[:MAX_VALUE]
        return Look(name, point.unit, verdict, note, said, describe(quality), now - agent.clock.now() + boot_ms)

    async def _known(self) -> dict[str, Look]:
        if self._looks is None:
            self._looks = await asyncio.to_thread(_load, self._path)
        return self._looks

    async def _save(self, looks: dict[str, Look]) -> None:
        content = {"version": VERSION, "points": [asdict(look) for look in looks.values()]}
        await self._write(self._path, json.dumps(content, separators=(",", ":")).encode())
        self._looks = looks

    async def _write(self, path: Path, data: bytes) -> None:
        try:
            await asyncio.to_thread(save, path, data)
        except OSError as error:
            raise GatewayError(f"{path} could not be written: {error.strerror}", "lamppost doctor") from error


def _load(path: Path) -> dict[str, Look]:
    """What is kept; nothing when there is no file, or none that can be read: a walk can be walked again."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(MAX_FILE))
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r}")
        looks = [Look(**{**one, "verdict": Verdict(one["verdict"])}) for one in content["points"]]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read (%s): the walk begins again", path, error)
        return {}
    return {look.point: look for look in looks}


def _changed_ms(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def _text(args: Args, name: str, least: int, most: int) -> str:
    found = args.get(name, "")
    if not isinstance(found, str) or not least <= len(found) <= most or not found.isprintable():
        raise BadRequest(f"{name}: a text of {least} to {most} characters on one line")
    return found
