"""What `lamppost status` shows: the daemon's state as one JSON object (docs/cli-json.md)."""

import asyncio
import math
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ext import Value
from ext.quality import describe
from gateway import VERSION
from gateway.poller import BusTask, PollingTask

if TYPE_CHECKING:
    from gateway.agent import Agent


def value_json(value: Value) -> Any:  # noqa: ANN401 - JSON's own types
    """A value as JSON can say it: decimals to the last digit, bytes as hex, NaN and infinities as words."""
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


async def status(agent: "Agent") -> dict[str, Any]:
    """The whole state, from memory and two short look-ups in the store."""
    return {
        "gateway": agent.config.gateway.id,
        "site": agent.config.gateway.site,
        "version": VERSION,
        "boot": agent.clock.boot.hex(),
        "utc_ms": agent.clock.utc_ms(),
        "clock": agent.clock.estimate().state.value,
        "stuck": agent.stuck(),
        "buses": [_bus(agent, bus) for bus in agent.buses],
        "points": _points(agent),
        "strangers": agent.recorder.strangers,
        "buffer": await _buffer(agent),
        "uplink": _uplink(agent),
    }


def _bus(agent: "Agent", bus: BusTask) -> dict[str, Any]:
    now = agent.clock.now()
    return {
        "id": bus.bus.id,
        "driver": bus.bus.driver,
        "up": bus.up,
        "error": bus.error,
        "missed": bus.schedule.missed if isinstance(bus, PollingTask) else None,
        "devices": [
            {
                "id": health.device,
                "state": health.state.value,
                "since_s": (now - health.since) // 1000,
                "heard_s": None if health.heard_at is None else (now - health.heard_at) / 1000,
                "answers": health.answers,
                "failures": health.failures,
                "skipped": health.skipped,
                "last_error": health.last_error,
                "errors": health.errors,
            }
            for health in bus.health.values()
        ],
    }


def _points(agent: "Agent") -> list[dict[str, Any]]:
    rows = []
    now = agent.clock.now()
    for name, point in agent.points.items():
        last = agent.recorder.last(name)
        boot_ms, value, quality = last if last is not None else (None, None, None)
        rows.append(
            {
                "id": name,
                "value": value_json(value),
                "unit": point.unit,
                "quality": "none yet" if quality is None else describe(quality),
                "age_s": None if boot_ms is None else (now - boot_ms) / 1000,
            }
        )
    return rows


async def _buffer(agent: "Agent") -> dict[str, Any]:
    keeper, counts = agent.keeper, agent.keeper.counts
    stored, size = await agent.stored(), await asyncio.to_thread(_disk_bytes, agent.config.buffer.path)
    held = stored.held
    return {
        "path": str(agent.config.buffer.path),
        "stream": stored.stream.hex(),
        "bytes": size,
        "limit": agent.config.buffer.size,
        "loss_window_s": agent.config.buffer.commit / 1000,
        "error": keeper.disk.error or stored.error,
        "samples": agent.recorder.samples,
        "committed": counts.committed,
        "commits": counts.commits,
        "sealed": counts.sealed,
        "held": {
            "batches": held.batches,
            "samples": held.samples,
            "bytes": held.bytes,
            "refused": held.refused,
        },
    }


def _disk_bytes(path: Path) -> int:
    """What the buffer takes on disk, its log included."""
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _uplink(agent: "Agent") -> dict[str, Any] | None:
    uplink = agent.uplink
    if uplink is None:
        return None
    now, state = agent.clock.now(), uplink.state
    return {
        "up": state.up,
        "broker": state.broker,
        "since_s": (now - state.since) // 1000,
        "error": state.error,
        "connections": state.connections,
        "sent": state.sent,
        "sent_bytes": state.sent_bytes,
        "in_flight": uplink.session.in_flight,
        "held": uplink.session.held,
        "acknowledged": state.acknowledged,
        "last_ack_s": None if state.last_ack_at is None else (now - state.last_ack_at) / 1000,
        "bad_acks": state.bad_acks,
    }
