"""`lamppost status`"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli.output import json_option, plain, print_json, print_table, run_dir_option
from gateway.client import Client
from gateway.sockets import status_socket

_FROM = {
    "system": "the system's, by a time server",
    "platform": "by the platform's signed time",
    "gnss": "by a GNSS receiver",
    "held": "known before the agent was restarted",
    "none": "nobody told the time since the box was switched on",
}


@click.command("status")
@run_dir_option
@json_option
def command(run_dir: Path, as_json: bool) -> None:
    """Show the running agent: link, buffer, clock, buses, devices, points."""
    with Client(status_socket(run_dir)) as client:
        status = client.call("status")
    if as_json:
        print_json(status)
    else:
        _show(status)


def _show(status: dict[str, Any]) -> None:
    clock = f"{status['clock']} ({_FROM[status['clock_from']]})"
    click.echo(plain(f"{status['gateway']} ({status['site']}), lamppost {status['version']}, clock {clock}"))
    lines = _link(status["uplink"]), *_buffer(status["buffer"]), *_commands(status["commands"])
    for line in (*lines, *_configuration(status["configuration"])):
        click.echo(plain(line))
    if status["stuck"]:
        click.echo(plain(f"STUCK   {', '.join(status['stuck'])}"))
    click.echo()
    devices = [(bus, device) for bus in status["buses"] for device in bus["devices"]]
    print_table(
        "",
        ("bus", "", "device", "state", "for s>", "heard s>", "every s>", "answers>", "failures>", "last error"),
        [
            (bus["id"], "up" if bus["up"] else f"down: {bus['error']}", d["id"], d["state"], d["since_s"],
             _seconds(d["heard_s"]), _period(d["period"]), d["answers"], d["failures"], d["last_error"])
            for bus, d in devices
        ],
    )  # fmt: skip
    click.echo()
    print_table(
        "",
        ("point", "value>", "unit", "quality", "age s>"),
        [
            (p["id"], "" if p["value"] is None else p["value"], p["unit"], p["quality"], _seconds(p["age_s"]))
            for p in status["points"]
        ],
    )


def _period(period: dict[str, float | None] | None) -> str:
    """The achieved period of the wanted one."""
    if period is None:
        return ""
    median = period["median_s"]
    return f"{'-' if median is None else f'{median:.2f}'} of {period['wanted_s']:g}"


def _configuration(found: dict[str, Any]) -> Iterator[str]:
    where = "the gateway's own files" if found["source"] == "own" else f"number {found['number']}, from afar"
    yield f"config  {where} ({found['hash'][:12]})"
    if trial := found["trial"]:
        yield f"TRIAL   configuration {trial['number']} has {trial['left_s']:.0f} s more to prove itself"
    last = found["last"]
    if last is not None and last["status"] != "kept":
        yield f"config  number {last['number']} was {last['status']}: {last['reason']}"


def _link(uplink: dict[str, Any] | None) -> str:
    if uplink is None:
        return "uplink  none configured: everything stays in the buffer"
    state = f"up to {uplink['broker']}" if uplink["up"] else f"DOWN: {uplink['error'] or 'connecting'}"
    ack = (
        "nothing acknowledged yet" if uplink["last_ack_s"] is None else f"acknowledged {uplink['last_ack_s']:.0f} s ago"
    )
    return f"uplink  {state} for {uplink['since_s']} s, {ack}, {uplink['in_flight']} in flight"


def _buffer(buffer: dict[str, Any]) -> Iterator[str]:
    held, history, ledger, memory = buffer["held"], buffer["history"], buffer["ledger"], buffer["memory"]
    size = f"{_mb(buffer['bytes'])} of {_mb(buffer['limit'])} ({100 * buffer['bytes'] / buffer['limit']:.0f} %)"
    waiting = f"{held['batches']} batches ({held['samples']} samples) wait for the platform"
    yield f"buffer  {size}, {buffer['committed']} samples committed"
    yield f"        a power cut loses at most the last {buffer['loss_window_s']:g} s of samples"
    yield f"        {waiting}{_oldest(held['oldest'])}"
    if history["batches"]:
        yield f"        {history['batches']} delivered batches are kept ({_span(history['keep_s'])}; lamppost export)"
    if ledger["waiting"]:
        yield f"        {ledger['waiting']} entries of the ledger wait for the next batch"
    if held["refused"]:
        yield f"        {held['refused']} batches SET ASIDE: refused, too large or damaged (lamppost queue)"
    yield from _made_room(buffer["made_room"])
    for one in buffer["salvage"]:
        word = f"{one['waiting']} batches wait" if one["done"] else "being salvaged"
        yield f"        DAMAGED {one['file']}: {word}; {one['samples']} samples saved, {one['lost']} known lost"
    if memory["given_up"]:
        yield f"        {memory['given_up']} samples GIVEN UP while the disk took nothing; they are in the ledger"
    yield from _disk(buffer)
    yield from _card(buffer["card"])


def _commands(commands: dict[str, Any]) -> Iterator[str]:
    if commands["remote"]:
        ring = "no keyring yet" if commands["keyring"] is None else f"keyring {commands['keyring']}"
        waiting = "" if commands["open"] else ", none taken before the platform has acknowledged something"
        yield f"orders  {ring}{waiting}"
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
        waiting = f"{memory['samples']} samples wait in memory ({_mb(memory['bytes'])} of {_mb(memory['limit'])})"
        yield f"        DISK: {buffer['error']}; {waiting}"
    if disk["low"]:
        free, kept = _mb(disk["free"]), _mb(disk["keep_free"])
        yield f"        DISK: {free} free, {kept} are kept free: the buffer does not grow"


def _card(card: dict[str, Any]) -> Iterator[str]:
    if card["bytes_per_day"] is None:
        return
    who = "by this agent" if card["source"] == "process" else f"on {card['source']}, by all programs"
    line = f"card    {_mb(card['bytes_per_day'])} a day written {who} (seen for {_span(card['seen_s'])})"
    if card["years"] is not None:
        line += f": {card['years']:g} years at its rated {card['endurance'] / 1e12:g} TB"
    yield line


def _oldest(oldest: dict[str, Any] | None) -> str:
    if oldest is None:
        return ""
    return (
        ", the oldest from before this boot"
        if oldest["age_s"] is None
        else f", the oldest {_span(oldest['age_s'])} old"
    )


def _mb(size: float) -> str:
    return f"{size / 1e6:.2f} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"


def _span(seconds: float) -> str:
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"
