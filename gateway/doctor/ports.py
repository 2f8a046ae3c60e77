"""What keeps a bus from being open: the port, the adapter, the host."""

import errno
import grp
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.doctor.facts import Facts
from gateway.doctor.finding import Finding, failure, well

_ERRORS = {"ENOENT": "port-missing", "ENODEV": "port-missing", "ENXIO": "port-missing", "EACCES": "port-denied",
           "EPERM": "port-forbidden", "EAGAIN": "port-taken", "EBUSY": "port-taken", "EIO": "port-missing"}  # fmt: skip
"""By the errno of open(2), of the lock on it, or of a read: EIO is a port that hung up."""
_BY_TEXT = {
    "another program has it open": "port-taken",  # drivers.port says EAGAIN and EBUSY so
    **{os.strerror(getattr(errno, name)).lower(): fault for name, fault in _ERRORS.items()},
}
"""By what a driver says, which is the kernel's words for most."""
_PULL = "ls -l /dev/serial/by-id; sudo dmesg | tail"


def ports(facts: Facts) -> Iterator[Finding]:
    """The buses that are not open, and why."""
    state = facts.status
    if state is None:
        yield from _stopped(facts)
        return
    for bus in state["buses"]:
        if bus["up"]:
            yield well("ports", f"Bus {bus['id']} is open.")
        elif bus["error"].startswith("lent"):
            yield well("ports", f"Bus {bus['id']} is {bus['error']}.")
        elif bus["error"]:
            yield _closed(facts, bus)


def _stopped(facts: Facts) -> Iterator[Finding]:
    for bus, found in facts.seen.get("ports", {}).items():
        if found["error"]:
            fault = _ERRORS.get(found["error"], "bus-down")
            yield _port(facts, bus, found["path"], fault, os.strerror(getattr(errno, found["error"])).lower())
        elif facts.holders.get(bus):
            yield _port(facts, bus, found["path"], "port-taken", "")
        else:
            yield well("ports", f"{found['path']} can be opened by {facts.seen_by}.")


def _closed(facts: Facts, bus: dict[str, Any]) -> Finding:
    """Why the running agent has no such bus, by the words of its driver."""
    name, error = bus["id"], bus["error"]
    path = facts.seen["buses"][name]["port"]
    if bus["driver"].startswith("ble"):
        return _adapter(name, error)
    if path:
        fault = next((fault for text, fault in _BY_TEXT.items() if text in error), "")
        return _port(facts, name, path, fault or ("port-missing" if " is gone" in error else "bus-down"), error)
    if error.startswith("no connection to"):
        host = error.removeprefix("no connection to ").partition(": ")[0].rpartition(":")[0].strip("[]")
        return failure("ports", "host-unreachable", f"Bus {name}: {error}.", f"ping -c 3 {host}", name)
    return failure("ports", "bus-down", f"Bus {name} is down: {error}.", "sudo journalctl -u lamppost -e", name)


def _adapter(bus: str, error: str) -> Finding:
    if " off" in error:
        return failure("adapter", "adapter-off", f"Bus {bus}: {error}.", "bluetoothctl power on", bus)
    if "BlueZ" in error or "D-Bus" in error:
        return failure("adapter", "bluez-stopped", f"Bus {bus}: {error}.", "sudo systemctl start bluetooth", bus)
    return failure("adapter", "adapter-missing", f"Bus {bus}: {error}.", "bluetoothctl list", bus)


def _port(facts: Facts, bus: str, path: str, fault: str, error: str) -> Finding:
    if fault == "port-taken":
        who = ", ".join(facts.holders.get(bus, ())) or "another program"
        remedy = f"sudo fuser -v {path}  # then stop it"
        return failure("ports", fault, f"Bus {bus}: {who} has {path} open.", remedy, bus)
    if fault == "port-denied":
        group, opens = _group(path)
        if not opens:
            text = f"Bus {bus}: {facts.seen_by} may not open {path}, which is for no group but root's."
            return failure("ports", fault, text, f"sudo chgrp dialout {path} && sudo chmod 660 {path}", bus)
        text = f"Bus {bus}: {facts.seen_by} may not open {path}, which is for the group {group}."
        return failure(
            "ports", fault, text, f"sudo usermod -aG {group} lamppost && sudo systemctl restart lamppost", bus
        )
    if fault == "port-forbidden":
        text = f"Bus {bus}: the service may not open {path}: its unit lists the devices that it may (DeviceAllow)."
        return failure("ports", fault, text, "systemctl cat lamppost | grep DeviceAllow", bus)
    if fault == "port-missing":
        return failure(
            "ports", fault, f"Bus {bus}: there is no port {path}: it is unplugged, or has another name.", _PULL, bus
        )
    return failure("ports", "bus-down", f"Bus {bus} is down: {error}.", "sudo journalctl -u lamppost -e", bus)


def _group(path: str) -> tuple[str, bool]:
    """The group of a port, and whether being in it opens the port; root's is for nobody else."""
    try:
        found = Path(path).stat()
        opens = found.st_gid != 0 and found.st_mode & 0o060 == 0o060
        return grp.getgrgid(found.st_gid).gr_name, opens
    except OSError:
        return "dialout", True
    except KeyError:
        return str(found.st_gid), opens
