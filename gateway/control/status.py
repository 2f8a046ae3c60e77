"""What `lamppost status` shows: the daemon's state as one JSON object (docs/cli-json.md)."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from buffer.delivery import Backlog
from buffer.header import ClockState
from buffer.spool import Salvaged
from buffer.stock import Oldest
from ext import Value
from ext.quality import describe
from gateway import VERSION
from gateway.clock import AgentClock
from gateway.keeping.stored import Stored
from gateway.polling.bus import BusTask
from gateway.polling.poller import PollingTask
from gateway.polling.schedule import Slot
from gateway.uplink.trust import SOON_MS
from gateway.uplink.uplink import UplinkTask

if TYPE_CHECKING:
    from gateway.agent import Agent

DAY_MS = 86_400_000
DAYS_A_YEAR = 365.25
WEAR_SEEN_MS = 600_000
"""Ten minutes: less says nothing of a day."""


def value_json(value: Value) -> Any:  # noqa: ANN401 - JSON's own types
    """A value as JSON can say it: decimals to the last digit, bytes as hex, NaN and infinities as words."""
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


async def status(agent: "Agent") -> dict[str, Any]:
    """The whole state, from memory and one short look into the store."""
    return {
        "gateway": agent.config.gateway.id,
        "site": agent.config.gateway.site,
        "version": VERSION,
        "boot": agent.clock.boot.hex(),
        "utc_ms": agent.clock.utc_ms(),
        "clock": agent.clock.estimate().state.value,
        "clock_from": agent.clock.origin.value,
        "stuck": agent.stuck(),
        "config_wrong": list(agent.wrong),
        "buses": [_bus(agent, bus) for bus in agent.buses],
        "points": _points(agent),
        "strangers": agent.recorder.strangers,
        "buffer": await _buffer(agent),
        "uplink": _uplink(agent),
        "commands": agent.office.status(),
        "configuration": agent.configurations.status(),
    }


def _bus(agent: "Agent", bus: BusTask) -> dict[str, Any]:
    now = agent.clock.now()
    turns = bus.turns if isinstance(bus, PollingTask) else None
    paces = {} if turns is None else _paces(turns.schedule.slots)
    return {
        "id": bus.bus.id,
        "driver": bus.bus.driver,
        "up": bus.up,
        "error": bus.error,
        "facts": dict(bus.driver.facts()),
        "missed": None if turns is None else turns.schedule.missed,
        "planned": _planned(bus),
        "busy": round(bus.busy.share(now), 3) if isinstance(bus, PollingTask) else None,
        "devices": [
            {
                "id": health.device,
                "state": health.state.value,
                "since_s": (now - health.since) // 1000,
                "heard_s": None if health.heard_at is None else (now - health.heard_at) / 1000,
                "answers": health.answers,
                "failures": health.failures,
                "skipped": 0 if turns is None else turns.schedule.passed[health.device],
                "period": paces.get(health.device),
                "last_error": health.last_error,
                "errors": health.errors,
            }
            for health in bus.health.values()
        ],
    }


def _planned(bus: BusTask) -> float | None:
    """The part of the bus's time that its plan takes; None when no cost is known."""
    return round(bus.load.share, 3) if isinstance(bus, PollingTask) and bus.load.known else None


def _paces(slots: Iterable[Slot]) -> dict[str, dict[str, float | None]]:
    """The wanted period of each device and what came of it lately, by its most frequent read; seconds."""
    fastest: dict[str, Slot] = {}
    for slot in slots:
        known = fastest.setdefault(slot.read.device, slot)
        if slot.read.every < known.read.every:
            fastest[slot.read.device] = slot
    return {device: _pace(slot) for device, slot in fastest.items()}


def _pace(slot: Slot) -> dict[str, float | None]:
    found = slot.pace.achieved()
    return {
        "wanted_s": slot.read.every / 1000,
        "median_s": None if found is None else found.median / 1000,
        "mean_s": None if found is None else round(found.mean) / 1000,
        "worst_s": None if found is None else found.worst / 1000,
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
    keeper, counts, config = agent.keeper, agent.keeper.counts, agent.config.buffer
    stored = await agent.view.look()
    stock = stored.stock
    return {
        "path": str(config.path),
        "stream": stored.stream.hex(),
        "bytes": stock.bytes,
        "limit": config.size,
        "loss_window_s": config.commit / 1000,
        "error": keeper.disk.error or stored.error,
        "salvage": [_salvaged(one) for one in await agent.mender.refresh()],
        "samples": agent.recorder.samples,
        "committed": counts.committed,
        "commits": counts.commits,
        "sealed": counts.sealed,
        "held": _backlog(stock.held) | {"oldest": _oldest(agent.clock, stock.oldest)},
        "history": _backlog(stock.history) | {"keep_s": config.history / 1000},
        "ledger": {"waiting": stock.ledger},
        "made_room": asdict(stock.made_room),
        "memory": {
            "bytes": keeper.waiting_bytes,
            "limit": keeper.memory,
            "samples": keeper.waiting_samples,
            "given_up": keeper.losses.samples,
        },
        "disk": {
            "state": keeper.disk.state.value,
            "since_s": (agent.clock.now() - keeper.disk.since) // 1000,
            "size": None if stored.disk is None else stored.disk.size,
            "free": None if stored.disk is None else stored.disk.free,
            "keep_free": stored.keep_free,
            "low": stored.low,
        },
        "card": _card(stored, config.endurance),
    }


def _salvaged(one: Salvaged) -> dict[str, Any]:
    return {
        "file": one.name,
        "stream": one.stream.hex(),
        "moved": one.moved,
        "done": one.done,
        "samples": one.samples,
        "lost": one.lost,
        "waiting": one.waiting,
    }


def _backlog(backlog: Backlog) -> dict[str, Any]:
    return {
        "batches": backlog.batches,
        "samples": backlog.samples,
        "bytes": backlog.bytes,
        "refused": backlog.refused,
    }


def _oldest(clock: AgentClock, oldest: Oldest | None) -> dict[str, Any] | None:
    """When the oldest unacknowledged sample was taken; nobody knows of one from another boot without a clock."""
    if oldest is None:
        return None
    found = clock.estimate() if oldest.clock.boot == clock.boot else oldest.clock
    if oldest.clock.boot == clock.boot:
        age: float | None = (clock.now() - oldest.first_ms) / 1000
    else:
        dated = oldest.clock.state is not ClockState.UNSET
        age = max(clock.utc_ms() - oldest.clock.clock_ms - oldest.first_ms, 0) / 1000 if dated else None
    unset = found.state is ClockState.UNSET
    return {"number": oldest.number, "utc_ms": None if unset else oldest.first_ms + found.clock_ms, "age_s": age}


def _card(stored: Stored, endurance: int | None) -> dict[str, Any]:
    """Bytes a day once enough was seen, and the years that they make of a rating."""
    wear = stored.wear
    daily = wear.bytes * DAY_MS // wear.ms if wear.ms >= WEAR_SEEN_MS else None
    return {
        "source": stored.wear_source,
        "written_bytes": wear.bytes,
        "seen_s": wear.ms // 1000,
        "bytes_per_day": daily,
        "endurance": endurance,
        "years": round(endurance / daily / DAYS_A_YEAR, 1) if endurance and daily else None,
    }


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
        "refusal": state.refusal,
        "wire": _wire(uplink),
        "meter": _meter(agent, uplink),
        "dates_by": uplink.connector.dates_by,
        "certificates": [
            {"what": one.what, "until_utc_ms": one.until_ms, "soon": one.until_ms - agent.clock.utc_ms() < SOON_MS}
            for one in uplink.connector.certificates
        ],
    }


def _wire(uplink: UplinkTask) -> dict[str, Any]:
    wire, samples = uplink.state.wire, uplink.state.sent_samples
    return {
        "sent": wire.sent,
        "received": wire.received,
        "samples": samples,
        "bytes_per_sample": round((wire.sent + wire.received) / samples, 3) if samples else None,
    }


def _meter(agent: "Agent", uplink: UplinkTask) -> dict[str, Any] | None:
    meter = uplink.meter
    if not meter.metered:
        return None
    budget = agent.config.uplink and agent.config.uplink.budget
    return {
        "day": meter.usage.day_bytes,
        "month": meter.usage.month_bytes,
        "day_limit": budget and budget.day,
        "month_limit": budget and budget.month,
        "only_critical": uplink.only_critical,
        "batch_s": uplink.interval(agent.keeper.batch_ms) / 1000,
    }
