"""What the answers of the devices of a bus say of the cable, its settings, and the devices themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.doctor.facts import Facts
from gateway.doctor.finding import Finding, failure, warning, well

LATELY = 8
"""Outcomes: what a device does now, not what it did before it was mended."""
MANY = 4
"""Bad outcomes of the last 32: fewer are noise that a line may have."""
FOLLOWED = 0.25
"""So many answers that others follow are no accident."""
UNIT_ABSENT = ("exception 10", "exception 11")
"""Gateway path unavailable, target failed to respond: Modbus Application Protocol V1.1b3, 7."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One device: what `status` and `examine` say of it."""

    name: str
    state: str
    last_error: str
    recent: Sequence[str]
    followed: float
    order: int | None
    address: object

    @classmethod
    def of(cls, status: Mapping[str, Any], more: Mapping[str, Any]) -> "Seen":
        """From their JSON."""
        recent = [outcome for outcome in more["recent"] if outcome != "NotAsked"]
        return cls(
            status["id"],
            status["state"],
            status["last_error"],
            recent,
            more["followed"],
            more["order"],
            more["address"],
        )

    @property
    def known(self) -> bool:
        """Whether it was asked, or waited for, long enough to say anything."""
        return bool(self.recent) or self.state == "offline"

    @property
    def well(self) -> bool:
        """It answers; now and then it may not."""
        return self.state != "offline" and "" in self.recent[-LATELY:] and not self.refuses

    @property
    def garbled(self) -> bool:
        """What comes back is no answer."""
        lately = self.recent[-LATELY:]
        return not self.well and 2 * lately.count("BadAnswer") >= max(len(lately), 1)

    @property
    def refuses(self) -> bool:
        """It answers with exceptions alone: each is counted as an answer and as an error."""
        refusals = self.recent.count("ExceptionAnswer")
        return refusals > 0 and refusals == self.recent.count("")

    @property
    def absent(self) -> bool:
        """Nothing comes back, or a gateway says so."""
        if self.refuses:
            return self.last_error.startswith(UNIT_ABSENT)
        return self.known and not self.well and not self.garbled and self.state in ("offline", "suspect")

    @property
    def title(self) -> str:
        """Its name and address."""
        return self.name if self.address is None else f"{self.name} (address {self.address})"


def devices(facts: Facts) -> Iterator[Finding]:
    """Every bus that is open."""
    state = facts.status
    for bus in () if state is None else state["buses"]:
        more = facts.seen["buses"][bus["id"]]
        seen = [Seen.of(device, more["devices"][device["id"]]) for device in bus["devices"]]
        if bus["up"] and seen:
            found = [*_line(bus, more, seen), *_values(more)]
            yield from found or [well("devices", f"Bus {bus['id']}: {_count(seen)}.")]


def _count(seen: Sequence[Seen]) -> str:
    answering = sum(device.well for device in seen)
    return f"{answering} of {len(seen)} devices answer" + (
        "" if answering == len(seen) else ", the others were not asked yet"
    )


def _line(bus: Mapping[str, Any], more: Mapping[str, Any], seen: Sequence[Seen]) -> Iterator[Finding]:
    name, absent, garbled = bus["id"], [d for d in seen if d.absent], [d for d in seen if d.garbled]
    bad = [*absent, *garbled]
    if more["port"] and bad and not any(device.well for device in seen) and not any(device.refuses for device in seen):
        alone = seen[0] if len(seen) == 1 and _address(more, seen[0]) else None
        yield _dead_line(bus, more, garbled) if alone is None else _silent(bus, more, alone)
        return
    open_at = _open_at(seen) if more["port"] else None
    if open_at is not None:
        yield failure(
            "devices",
            "line-open",
            f"Bus {name}: {open_at}.",
            f"measure A, B and power behind {open_at.split()[-1]}",
            name,
        )
        absent = []
    for device in absent:
        yield _silent(bus, more, device)
    for device in seen:
        if device in garbled or device.followed >= FOLLOWED:
            yield _double(name, device)
        elif device.refuses and not device.absent:
            text = f"{device.title} refuses all that it is asked ({device.last_error}): it is another model."
            yield failure("devices", "device-refuses", text, f"lamppost device quirks {device.name}", device.name)
    if not bad:
        yield from _unsteady(name, more, seen)


def _dead_line(bus: Mapping[str, Any], more: Mapping[str, Any], garbled: Sequence[Seen]) -> Finding:
    """Nothing on the line answers: what the port heard says why."""
    name, port, baud = bus["id"], more["port"], more["baud"]
    uart = more["uart_now"] or {}
    if uart.get("breaks", 0) > 0 and uart["breaks"] >= uart["frame"]:
        text = f"Bus {name}: {port} hears nothing but breaks: A and B are swapped."
        return failure("devices", "line-swapped", text, "swap A and B at the gateway", name)
    rates = sorted({one["value"] for one in more["others"] if one["kind"] == "baud"})
    if rates:
        text = f"Bus {name}: the devices on {port} answer at {rates[0]} baud, not at {baud}."
        return failure(
            "devices",
            "wrong-baud",
            text,
            f"sudoedit /etc/lamppost/lamppost.toml  # baud = {rates[0]} for bus {name}",
            name,
        )
    if garbled or uart.get("frame", 0) or uart.get("parity", 0):
        what = (
            f"{garbled[0].last_error}"
            if garbled
            else f"{uart['frame']} framing and {uart['parity']} parity errors a second"
        )
        rate = "" if baud is None else f" (now {baud} baud)"
        text = f"Bus {name}: what comes on {port} is garbled: wrong baud rate or parity{rate}: {what}."
        return failure("devices", "wrong-baud", text, f"lamppost scan modbus {port}", name)
    echo = "; the adapter hears what it sends, so it works" if more["echo"] else ""
    text = f"Bus {name}: no device on {port} says anything: cable, their power, or another baud rate{echo}."
    return failure("devices", "line-silent", text, f"measure between A and B at the terminals of {port}", name)


def _open_at(seen: Sequence[Seen]) -> str | None:
    """Between which two devices the cable is open, where their `order` shows it: all beyond it are silent."""
    if any(device.order is None for device in seen):
        return None
    row = sorted(seen, key=lambda device: device.order or 0)
    first = next((place for place, device in enumerate(row) if device.absent), len(row))
    if (
        first == 0
        or len(row) - first < 2
        or not all(d.absent for d in row[first:])
        or not all(d.well for d in row[:first])
    ):
        return None
    last, lost = row[first - 1].name, row[first].name
    return f"nothing beyond {last} answers: the cable is open between {last} and {lost}"


def _address(more: Mapping[str, Any], device: Seen) -> int | None:
    """Where something answers that may be the device."""
    found = (one["value"] for one in more["others"] if (one["device"], one["kind"]) == (device.name, "address"))
    return next(found, None)


def _silent(bus: Mapping[str, Any], more: Mapping[str, Any], device: Seen) -> Finding:
    if bus["driver"].startswith("ble"):
        text = f"{device.title} is not heard: its battery, or too far away."
        return failure("devices", "device-silent", text, f"lamppost tail '{device.name}/*'", device.name)
    if other := _address(more, device):
        text = f"{device.title} does not answer, and address {other}, which is nobody's, does: one of them is wrong."
        return failure(
            "devices",
            "wrong-unit",
            text,
            f"sudoedit /etc/lamppost/lamppost.toml  # address = {other} for {device.name}",
            device.name,
        )
    alone = "" if len(bus["devices"]) == 1 else "; the others on the bus do"
    text = f"{device.title} does not answer{alone}: its power, its own wires, or its address."
    return failure(
        "devices",
        "device-silent",
        text,
        f"lamppost read {device.name}  # while its power and wires are checked",
        device.name,
    )


def _double(bus: str, device: Seen) -> Finding:
    text = f"More than one answer comes from {device.title} on bus {bus}: two devices have this address."
    return failure(
        "devices", "duplicate-address", text, f"disconnect {device.name}, and see who still answers", device.name
    )


def _unsteady(bus: str, more: Mapping[str, Any], seen: Sequence[Seen]) -> Iterator[Finding]:
    """Lines and devices that answer, and not always."""
    noisy = [device for device in seen if device.recent.count("BadAnswer") >= MANY]
    if noisy and more["port"] and len(noisy) == len(seen):
        text = (
            f"Bus {bus}: answers come damaged, {noisy[0].recent.count('BadAnswer')} of the last {len(noisy[0].recent)}."
        )
        yield warning(
            "devices", "line-noise", text, "check that 120 ohms end the cable on both sides, and its shield", bus
        )
        noisy = []
    for device in seen:
        missing = device.recent.count("NoAnswer") + (device.recent.count("BadAnswer") if device in noisy else 0)
        if device.well and missing >= MANY:
            text = f"{device.title} left {missing} of the last {len(device.recent)} questions without a good answer."
            yield warning("devices", "device-flaky", text, f"lamppost tail '{device.name}/*'", device.name)


def _values(more: Mapping[str, Any]) -> Iterator[Finding]:
    for one in more["swapped"]:
        names = ", ".join(point.partition("/")[2] for point in one["points"][:3])
        text = f"{one['device']}: its numbers make sense only with their words swapped ({names})."
        remedy = f'order = "{one["order"]}" for these points in the configuration or profile of {one["device"]}'
        yield failure("values", "swapped-words", text, remedy, one["device"])
