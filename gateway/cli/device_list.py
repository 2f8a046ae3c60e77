"""`lamppost device list` and `show`"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.output import config_option, json_option, plain, print_json, print_table, run_dir_option

if TYPE_CHECKING:
    from config import Config, Device


@click.command("list")
@config_option
@run_dir_option
@json_option
def list_(config: Path, run_dir: Path, as_json: bool) -> None:
    """List the configured devices, with their state where the agent runs."""
    from gateway.setup import installation

    found = installation.read(config).config
    states = _states(run_dir)
    rows = [_row(found, device, states.get(device.id)) for device in found.devices.values()]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "bus", "driver", "address", "profile", "state")
    print_table("", (*columns, "points>"), [[_said(row[key]) for key in (*columns, "points")] for row in rows])


@click.command("show")
@click.argument("device")
@config_option
@run_dir_option
@json_option
def show(device: str, config: Path, run_dir: Path, as_json: bool) -> None:
    """Show DEVICE: where it is, its points, how it does, and the meters that it was."""
    from gateway.setup import installation

    found = installation.read(config).config
    if device not in found.devices:
        raise click.UsageError(f"no device {device!r} in {config}")
    one = found.devices[device]
    told = _row(found, one, _states(run_dir).get(device)) | _more(found, one)
    if as_json:
        print_json(told)
        return
    for key in ("id", "asset_id", "bus", "driver", "address", "profile", "every_s", "order", "state", "file"):
        if told[key] not in (None, ""):
            click.echo(plain(f"{key:<9} {told[key]}"))
    print_table(
        "",
        ("point", "unit", "every s>", ""),
        [(p["name"], p["unit"], _said(p["every_s"]), " ".join(p["notes"])) for p in told["points"]],
    )
    for event in told["replacements"]:
        word = "withdrawn" if event["withdrawn"] else f"{event['final']} -> {event['start']} {event['unit']}"
        click.echo(plain(f"replaced: {event['point']}: {word} ({event['who']}: {event['why']})"))


def _row(config: "Config", device: "Device", live: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": device.id, "bus": device.bus, "driver": config.buses[device.bus].speaks,
        "address": _address(device.options.get("address")), "profile": device.profile, "order": device.order,
        "asset_id": device.asset_id, "state": None if live is None else live["state"], "points": len(device.points),
    }  # fmt: skip


def _more(config: "Config", device: "Device") -> dict[str, Any]:
    from gateway.control import replaced
    from gateway.errors import FileDamaged

    events: list[dict[str, Any]] = []
    with suppress(OSError, FileDamaged):  # the store's folder is the daemon's
        events = [e.json() for e in replaced.load(replaced.beside(config.buffer.path)) if e.device == device.id]
    return {
        "every_s": None if device.every is None else device.every / 1000,
        "location": device.location, "labels": device.labels, "file": config.where(f"devices.{device.id}"),
        "replacements": events,
        "points": [
            {
                "name": point.name, "unit": point.unit, "every_s": None if point.every is None else point.every / 1000,
                "notes": [word for word, is_so in (
                    (point.priority, point.priority != "normal"), ("counter", point.counter is not None),
                    ("writable", point.writable is not None), ("public", point.public),
                ) if is_so],
            }
            for point in device.points.values()
        ],
    }  # fmt: skip


def _states(run_dir: Path) -> dict[str, dict[str, Any]]:
    from gateway.control.client import Client
    from gateway.control.sockets import status_socket
    from gateway.errors import NotAllowed, NotRunning

    try:
        with Client(status_socket(run_dir)) as client:
            status = client.call("status")
    except (NotRunning, NotAllowed):
        return {}
    return {device["id"]: device for bus in status["buses"] for device in bus["devices"]}


def _address(value: object) -> int | str | None:
    return value if isinstance(value, int | str) or value is None else str(value)


def _said(value: object) -> object:
    return "" if value is None else value
