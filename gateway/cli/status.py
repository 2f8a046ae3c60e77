"""`lamppost status`"""

from pathlib import Path
from typing import Any

import click

from gateway.cli.output import json_option, plain, print_json, print_table, run_dir_option
from gateway.client import Client
from gateway.sockets import status_socket


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
    click.echo(plain(f"{status['gateway']} ({status['site']}), lamppost {status['version']}, clock {status['clock']}"))
    for line in (_link(status["uplink"]), *_buffer(status["buffer"])):
        click.echo(plain(line))
    if status["stuck"]:
        click.echo(plain(f"STUCK   {', '.join(status['stuck'])}"))
    click.echo()
    devices = [(bus, device) for bus in status["buses"] for device in bus["devices"]]
    print_table(
        "",
        ("bus", "", "device", "state", "for s>", "heard s>", "answers>", "failures>", "last error"),
        [
            (bus["id"], "up" if bus["up"] else f"down: {bus['error']}", d["id"], d["state"], d["since_s"],
             _seconds(d["heard_s"]), d["answers"], d["failures"], d["last_error"])
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


def _link(uplink: dict[str, Any] | None) -> str:
    if uplink is None:
        return "uplink  none configured: everything stays in the buffer"
    state = f"up to {uplink['broker']}" if uplink["up"] else f"DOWN: {uplink['error'] or 'connecting'}"
    ack = (
        "nothing acknowledged yet" if uplink["last_ack_s"] is None else f"acknowledged {uplink['last_ack_s']:.0f} s ago"
    )
    return f"uplink  {state} for {uplink['since_s']} s, {ack}, {uplink['in_flight']} in flight"


def _buffer(buffer: dict[str, Any]) -> tuple[str, ...]:
    held = buffer["held"]
    size = f"{buffer['bytes'] / 1e6:.2f} of {buffer['limit'] / 1e6:.0f} MB"
    waiting = f"{held['batches']} batches ({held['samples']} samples) wait for the platform"
    lines = [
        f"buffer  {size}, {buffer['committed']} samples committed, {waiting}",
        f"        a power cut loses at most the last {buffer['loss_window_s']:g} s",
    ]
    if held["refused"]:
        lines.append(f"        {held['refused']} batches REFUSED by the platform (lamppost queue)")
    for one in buffer["salvage"]:
        word = f"{one['waiting']} batches wait" if one["done"] else "being salvaged"
        lines.append(f"        DAMAGED {one['file']}: {word}; {one['samples']} samples saved, {one['lost']} known lost")
    if buffer["error"]:
        lines.append(f"        DISK: {buffer['error']}; samples wait in memory")
    return tuple(lines)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"
