"""`lamppost status`"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import json_option, plain, print_json, print_table, run_dir_option
from gateway.cli.words import ago, aside, link, oldest, period, size, span
from gateway.control.client import Client
from gateway.control.sockets import status_socket
from gateway.control.status_order import badness, point_badness

_FROM = {
    "system": "the system's, by a time server",
    "platform": "by the platform's signed time",
    "gnss": "by a GNSS receiver",
    "held": "known before the agent was restarted",
    "none": "nobody told the time since the box was switched on",
}


NARROW = 110
"""Columns: with less, cells of the whole table would be cut, and of a device only what tells most is shown."""
SPARE = 4
"""Lines of a screen that the shell's prompt and the remarks take."""


@click.command("status")
@click.option("--all", "everything", is_flag=True, help="Every device and point, on more than one screen.")
@run_dir_option
@json_option
def command(everything: bool, run_dir: Path, as_json: bool) -> None:
    """Show the running agent: link, buffer, clock, buses, devices, points.

    On a terminal it is one screen, and what is not well comes first; elsewhere, and with --all, it is everything.
    """
    with Client(status_socket(run_dir)) as client:
        status = client.call("status")
    if as_json:
        print_json(status)
        return
    whole = everything or not sys.stdout.isatty()
    _show(status, None if whole else shutil.get_terminal_size())


def _show(status: dict[str, Any], screen: os.terminal_size | None = None) -> None:
    """`screen` None: all of it."""
    narrow = screen is not None and screen.columns < NARROW
    head = [plain(line) for line in _head(status)]
    for line in head:
        click.echo(line)
    devices = [(bus, device) for bus in status["buses"] for device in bus["devices"]]
    points = status["points"]
    if screen is not None:
        taken = sum(-(-len(line) // screen.columns) for line in head)
        devices, points = _fitting(devices, points, max(screen.lines - taken - SPARE, 4))
    click.echo()
    _devices(devices, narrow=narrow, one_line=screen is not None)
    click.echo()
    values = [("" if p["value"] is None else p["value"], p["unit"], p["quality"], ago(p["age_s"])) for p in points]
    rows = [(point["id"], *row) for point, row in zip(points, values, strict=True)]
    print_table("", ("point", "value>", "unit", "quality", "age s>"), rows, one_line=screen is not None)
    left = (sum(len(bus["devices"]) for bus in status["buses"]) - len(devices), len(status["points"]) - len(points))
    if any(left):
        click.echo(f"... {left[0]} devices and {left[1]} points more, none of them worse: lamppost status --all")


def _devices(rows: list[Any], *, narrow: bool, one_line: bool) -> None:
    if narrow:
        told = [(d["id"], d["state"], ago(d["heard_s"]), d["last_error"] or bus["error"]) for bus, d in rows]
        print_table("", ("device", "state", "heard s>", "last error"), told, one_line=one_line)
        return
    print_table(
        "",
        ("bus", "", "device", "state", "for s>", "heard s>", "every s>", "answers>", "failures>", "last error"),
        [
            (bus["id"], "up" if bus["up"] else f"down: {bus['error']}", d["id"], d["state"], d["since_s"],
             ago(d["heard_s"]), period(d["period"]), d["answers"], d["failures"], d["last_error"])
            for bus, d in rows
        ],
        one_line=one_line,
    )  # fmt: skip


def _head(status: dict[str, Any]) -> Iterator[str]:
    clock = f"{status['clock']} ({_FROM[status['clock_from']]})"
    yield f"{status['gateway']} ({status['site']}), lamppost {status['version']}, clock {clock}"
    yield f"uplink  {link(status['uplink'])}"
    yield from _wire(status["uplink"])
    yield from _buffer(status["buffer"])
    yield from _commands(status["commands"])
    yield from _configuration(status["configuration"])
    if wrong := status["config_wrong"]:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        yield f"CONFIG  WRONG, the last one without mistakes runs: {wrong[0]}{more}"
    if status["stuck"]:
        yield f"STUCK   {', '.join(status['stuck'])}"


def _configuration(found: dict[str, Any]) -> Iterator[str]:
    where = "the gateway's own files" if found["source"] == "own" else f"number {found['number']}, from afar"
    yield f"config  {where} ({found['hash'][:12]})"
    if trial := found["trial"]:
        yield f"TRIAL   configuration {trial['number']} has {trial['left_s']:.0f} s more to prove itself"
    last = found["last"]
    if last is not None and last["status"] != "kept":
        yield f"config  number {last['number']} was {last['status']}: {last['reason']}"


def _fitting(devices: list[Any], points: list[Any], room: int) -> tuple[list[Any], list[Any]]:
    """As many as fit, the worst first; the points get what the devices leave, and half of it at least."""
    rows = room - 4  # heads, and the lines between
    if len(devices) + len(points) <= rows:
        return devices, points
    devices = sorted(devices, key=lambda one: badness(one[1]["state"]))[: max(rows - len(points), rows // 2, 1)]
    return devices, sorted(points, key=lambda point: point_badness(point["quality"]))[: max(rows - len(devices), 1)]


def _wire(uplink: dict[str, Any] | None) -> Iterator[str]:
    """What the link costs, and what is known of the certificates, where there is something to say."""
    if uplink is None:
        return
    if uplink["refusal"]:
        yield f"        the broker REFUSES batches: {uplink['refusal']}"
    if uplink["wire"]["bytes_per_sample"] is not None:
        yield f"        {uplink['wire']['bytes_per_sample']:.2f} bytes a sample on the wire"
    if (meter := uplink["meter"]) is not None:
        limits = [
            f"{size(meter[name])} of {size(meter[f'{name}_limit'])} this {name}"
            for name in ("day", "month") if meter[f"{name}_limit"]
        ]  # fmt: skip
        held = "; ONLY CRITICAL batches go" if meter["only_critical"] else ""
        yield f"        {', '.join(limits) or 'quiet hours'}; a batch every {meter['batch_s']:g} s{held}"
    if uplink["dates_by"] == "floor":
        yield "        the clock is not set: the broker's certificate was judged without its dates"
    for one in uplink["certificates"]:
        if one["soon"]:
            yield f"        the certificate of the {one['what']} ENDS within two weeks (lamppost doctor)"


def _buffer(buffer: dict[str, Any]) -> Iterator[str]:
    held, history, ledger, memory = buffer["held"], buffer["history"], buffer["ledger"], buffer["memory"]
    fill = f"{size(buffer['bytes'])} of {size(buffer['limit'])} ({100 * buffer['bytes'] / buffer['limit']:.0f} %)"
    waiting = f"{held['batches']} batches ({held['samples']} samples) wait for the platform"
    yield f"buffer  {fill}, {buffer['committed']} samples committed"
    yield f"        a power cut loses at most the last {buffer['loss_window_s']:g} s of samples"
    yield f"        {waiting}{oldest(held['oldest'])}"
    if history["batches"]:
        yield f"        {history['batches']} delivered batches are kept ({span(history['keep_s'])}; lamppost export)"
    if ledger["waiting"]:
        yield f"        {ledger['waiting']} entries of the ledger wait for the next batch"
    if held["refused"]:
        yield f"        {held['refused']} batches SET ASIDE: refused, too large or damaged (lamppost queue)"
    yield from _made_room(buffer["made_room"])
    for one in buffer["salvage"]:
        word = f"{one['waiting']} batches wait" if one["done"] else "being salvaged"
        saved = f"{one['samples']} samples saved, {one['lost']} known lost"
        yield f"        {aside(one)} {one['file']}: {word}; {saved}"
    if memory["given_up"]:
        yield f"        {memory['given_up']} samples GIVEN UP while the disk took nothing; they are in the ledger"
    yield from _disk(buffer)
    yield from _card(buffer["card"])


def _commands(commands: dict[str, Any]) -> Iterator[str]:
    if commands["remote"]:
        ring = "no keyring yet" if commands["keyring"] is None else f"keyring {commands['keyring']}"
        waiting = "" if commands["open"] else ", none taken before the platform has acknowledged something"
        schedule = "" if commands["schedule"] is None else f", schedule {commands['schedule']}"
        yield f"orders  {ring}{schedule}{waiting}"
    for name, word in (("results", "told"), ("refused", "refused")):
        if commands[name]:
            yield f"        {word}: {', '.join(f'{count} {key}' for key, count in sorted(commands[name].items()))}"
    for lock in commands["locks"]:
        yield f"LOCKED  {lock['device']} by {lock['who']}: {lock['reason']}"


def _made_room(made: dict[str, int]) -> Iterator[str]:
    done = [
        f"{made[name]} samples {word}" for name, word in (("thinned", "thinned"), ("evicted", "EVICTED")) if made[name]
    ]
    if done:
        yield f"        FULL: {' and '.join(done)} since the start; they are in the ledger"


def _disk(buffer: dict[str, Any]) -> Iterator[str]:
    disk, memory = buffer["disk"], buffer["memory"]
    if buffer["error"]:
        waiting = f"{memory['samples']} samples wait in memory ({size(memory['bytes'])} of {size(memory['limit'])})"
        yield f"        DISK: {buffer['error']}; {waiting}"
    if disk["low"]:
        free, kept = size(disk["free"]), size(disk["keep_free"])
        yield f"        DISK: {free} free, {kept} are kept free: the buffer does not grow"


def _card(card: dict[str, Any]) -> Iterator[str]:
    if card["bytes_per_day"] is None:
        return
    who = "by this agent" if card["source"] == "process" else f"on {card['source']}, by all programs"
    line = f"card    {size(card['bytes_per_day'])} a day written {who} (seen for {span(card['seen_s'])})"
    if card["years"] is not None:
        line += f": {card['years']:g} years at its rated {card['endurance'] / 1e12:g} TB"
    yield line
