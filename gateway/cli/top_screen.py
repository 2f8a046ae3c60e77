"""The lines of `lamppost top`: made of two statuses and the size of the screen, nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.cli.output import plain
from gateway.cli.terminal import BOLD, PLAIN, REVERSE
from gateway.cli.words import link, oldest, period, size, trouble
from gateway.control.status_order import badness

Status = dict[str, Any]
Row = dict[str, Any]

SORTS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "b": ("worst", lambda row: (badness(row["state"]), -row["fail_s"], row["id"])),
    "n": ("name", lambda row: row["id"]),
    "r": ("rate", lambda row: (-row["rate"], row["id"])),
    "e": ("errors", lambda row: (-row["failures"], row["id"])),
    "h": ("heard", lambda row: (-(float("inf") if row["heard_s"] is None else row["heard_s"]), row["id"])),
}
"""Key, name and order of each way to sort the devices."""
HELP = "q quit  p pause  sort: b worst n name r rate e errors h heard  j k scroll"
BUSES_SHARE = 3
"""The buses take at most a third of the screen; the devices the rest."""


@dataclass(slots=True)
class View:
    """What the person at the keys chose."""

    sort: str = "b"
    paused: bool = False
    top: int = 0
    """Devices that are scrolled away."""

    def press(self, keys: str) -> bool:
        """Take the keys; False to leave. Arrows come as ESC [ A and ESC [ B."""
        for key in keys.replace("\x1b[A", "k").replace("\x1b[B", "j").replace("\x1bOA", "k").replace("\x1bOB", "j"):
            if key in "qQ\x03\x04":
                return False
            if key in "pP ":
                self.paused = not self.paused
            elif key in SORTS:
                self.sort, self.top = key, 0
            elif key in "jk":
                self.top = max(self.top + (1 if key == "j" else -1), 0)
        return True


def lines(status: Status, before: Status, view: View, columns: int, height: int, *, stale: str = "") -> list[str]:
    """At most `height` lines of at most `columns` characters; `stale` says why there is nothing newer."""
    head = _head(status, before, view, stale, columns)
    buses = _table(_BUSES, [_bus(bus) for bus in status["buses"]], columns)
    room = max(height // BUSES_SHARE, 3)
    buses = buses if len(buses) <= room else [*buses[: room - 1], _more(len(buses) - room + 1, "buses")]
    left = height - len(head) - len(buses) - 2
    devices = sorted(_devices(status, before), key=SORTS[view.sort][1])
    view.top = min(view.top, max(len(devices) - (left - 2), 0))
    shown = devices[view.top : view.top + max(left - 2, 1)]
    table = _table(_device_heads(devices, columns), [_device(row) for row in shown], columns)
    hidden = len(devices) - len(shown)
    table += [_more(hidden, "devices")] if hidden else []
    body = [*head, *buses, "", *table]
    body += [""] * (height - len(body) - 1)
    return [*body[: height - 1], REVERSE + _cut(HELP, columns).ljust(columns) + PLAIN]


def waiting(why: str, columns: int, height: int) -> list[str]:
    """The screen while no agent has answered yet."""
    body = [_cut(plain(f"no state yet: {why}"), columns), *[""] * height]
    return [*body[: height - 1], REVERSE + _cut(HELP, columns).ljust(columns) + PLAIN]


def _head(status: Status, before: Status, view: View, stale: str, columns: int) -> list[str]:
    when = datetime.fromtimestamp(status["utc_ms"] / 1000, UTC).astimezone()
    state = "  PAUSED" if view.paused else f"  NO ANSWER: {stale}" if stale else ""
    buffer, old = status["buffer"], before["buffer"]
    seconds = _seconds(status, before)
    samples = (buffer["samples"] - old["samples"]) / seconds
    held = buffer["held"]
    told = [
        (
            f"{status['gateway']} ({status['site']})  {when:%H:%M:%S}  clock {status['clock']}"
            f"  sort {SORTS[view.sort][0]}{state}"
        ),
        f"link    {link(status['uplink'])}",
        (
            f"buffer  {size(buffer['bytes'])} of {size(buffer['limit'])}, {held['batches']} batches"
            f" ({held['samples']} samples) wait{oldest(held['oldest'])}"
        ),
        f"rates   {samples:.1f} samples/s, {_sent(status, before)}, {buffer['memory']['samples']} in memory",
    ]
    worries = trouble(status)
    told += [f"{worries[0]}{f' (and {len(worries) - 1} more)' if len(worries) > 1 else ''}"] if worries else []
    first, *others = (_cut(plain(line), columns) for line in told)
    return [BOLD + first + PLAIN, *others, ""]


def _sent(status: Status, before: Status) -> str:
    now, old = status["uplink"], before["uplink"]
    if now is None or old is None:
        return "nothing sent"
    seconds = _seconds(status, before)
    rate, batches = (now["sent_bytes"] - old["sent_bytes"]) / seconds, (now["sent"] - old["sent"]) / seconds
    return f"{max(batches, 0) * 60:.0f} batches/min ({max(rate, 0) / 1000:.1f} kB/s) sent"


def _seconds(status: Status, before: Status) -> float:
    passed: float = (status["utc_ms"] - before["utc_ms"]) / 1000
    return max(passed, 0.001)


Heads = tuple[tuple[str, int], ...]
"""Heads and widths of a table; 0 takes the rest of the line."""
_BUSES: Heads = (("bus", 14), ("driver", 11), ("", 4), ("busy", 5), ("plan", 5), ("missed", 6), ("", 0))
_NAME_MIN, _NAME_MAX = 12, 32


def _device_heads(rows: Sequence[Row], columns: int) -> Heads:
    """Names are as wide as they need to be, where the screen has the room."""
    longest = max((len(row["id"]) for row in rows), default=0)
    name = max(min(longest, _NAME_MAX, _NAME_MIN + columns - 80), _NAME_MIN)
    return (
        ("device", name), ("bus", 7), ("state", 7), ("heard s", 7), ("every s", 10), ("ans/s", 5), ("err/s", 5),
        ("errors", 6), ("last error", 0),
    )  # fmt: skip


def _bus(bus: Row) -> list[str]:
    state = "up" if bus["up"] else "DOWN"
    return [bus["id"], bus["driver"], state, _share(bus["busy"]), _share(bus["planned"]),
            "" if bus["missed"] is None else str(bus["missed"]), bus["error"]]  # fmt: skip


def _devices(status: Status, before: Status) -> list[Row]:
    old = {device["id"]: device for bus in before["buses"] for device in bus["devices"]}
    seconds = _seconds(status, before)
    found = []
    for bus in status["buses"]:
        for device in bus["devices"]:
            was = old.get(device["id"], device)
            rates = {name: max(device[key] - was[key], 0) / seconds for name, key in _RATES}
            found.append(device | rates | {"bus": bus["id"]})
    return found


_RATES = (("rate", "answers"), ("fail_s", "failures"))


def _device(row: Row) -> list[str]:
    heard = "never" if row["heard_s"] is None else f"{row['heard_s']:.1f}"
    return [row["id"], row["bus"], row["state"], heard, period(row["period"]), f"{row['rate']:.1f}",
            f"{row['fail_s']:.1f}", str(row["failures"]), row["last_error"]]  # fmt: skip


def _table(heads: Heads, rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    told = [BOLD + _row([name for name, _ in heads], heads, columns) + PLAIN]
    return told + [_row([plain(cell) for cell in row], heads, columns) for row in rows]


def _row(cells: Sequence[str], heads: Heads, columns: int) -> str:
    parts = [
        cell if not width else _cut(cell, width).ljust(width) for cell, (_, width) in zip(cells, heads, strict=True)
    ]
    return _cut(" ".join(parts), columns)


def _cut(text: str, columns: int) -> str:
    """No wider than `columns`: wide characters count twice (UAX 11)."""
    from rich.cells import set_cell_size

    return text if text.isascii() and len(text) <= columns else set_cell_size(text, columns).rstrip()


def _more(count: int, of: str) -> str:
    return f"... {count} {of} more"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"
