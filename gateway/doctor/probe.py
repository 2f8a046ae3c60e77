"""What only the service's own eyes see: ports, brokers, certificates, the disk. Runs in the daemon or as its user."""

import errno
import fcntl
import json
import os
import stat
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.doctor.net import Target, attempt

ALL_S = 9.0
"""A name server that never answers holds a thread longer; what is known by then is told."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to look at. `ports`: bus and device file."""

    ports: dict[str, str] = field(default_factory=dict)
    brokers: tuple[Target, ...] = ()
    certificates: tuple[str, ...] = ()
    buffer: str = ""


def examine(plan: Plan) -> dict[str, Any]:
    """The findings as JSON (docs/cli-json.md); never raises `OSError`. Blocks for `ALL_S` at most."""
    return {
        "ports": {bus: port(path) for bus, path in plan.ports.items()},
        "brokers": brokers(plan.brokers),
        "certificates": [certificate(path) for path in plan.certificates],
        "disk": disk(plan.buffer) if plan.buffer else None,
        "system_utc_ms": time.time_ns() // 1_000_000,
    }


def port(path: str) -> dict[str, Any]:
    """Whether a port can be opened by this process, alone: {"path", "error", "group"}; "error" is an errno's name."""
    found: dict[str, Any] = {"path": path, "error": "", "group": None}
    try:
        found["group"] = Path(path).stat().st_gid
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        return found | {"error": errno.errorcode.get(error.errno or 0, "EIO")}
    try:
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        found["error"] = errno.errorcode.get(error.errno or 0, "EIO")
    finally:
        os.close(descriptor)
    return found


def brokers(targets: Sequence[Target]) -> list[dict[str, Any]]:
    """A try of each, side by side; one that takes too long has no answer."""
    pool = ThreadPoolExecutor(max(len(targets), 1))
    trying = [pool.submit(attempt, target) for target in targets]
    deadline, found = time.monotonic() + ALL_S, []
    for target, one in zip(targets, trying, strict=True):
        try:
            found.append(one.result(max(deadline - time.monotonic(), 0)))
        except TimeoutError:
            found.append({"url": target.url, "fault": "dns", "error": "no answer to the look-up of its name"})
    pool.shutdown(wait=False, cancel_futures=True)
    return found


def certificate(path: str) -> dict[str, Any]:
    """{"path", "from_utc_ms", "until_utc_ms", "error"} of that certificate of a PEM file that ends last."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        all_of_it = load_pem_x509_certificates(Path(path).read_bytes())
        found = max(all_of_it, key=lambda one: one.not_valid_after_utc)
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else "no PEM certificate"
        return {"path": path, "from_utc_ms": None, "until_utc_ms": None, "error": why}
    dates = (found.not_valid_before_utc, found.not_valid_after_utc)
    begins, ends = (int(date.timestamp() * 1000) for date in dates)
    return {"path": path, "from_utc_ms": begins, "until_utc_ms": ends, "error": ""}


def disk(path: str) -> dict[str, Any]:
    """{"free", "writable"} of the folder that the buffer is in."""
    folder = Path(path).parent
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return {"free": None, "writable": False, "error": os.strerror(error.errno or errno.EIO).lower()}
    return {"free": found.f_bavail * found.f_frsize, "writable": os.access(folder, os.W_OK), "error": ""}


def dump(plan: Plan) -> str:
    """The plan as one line, for a process of another user."""
    return json.dumps(asdict(plan))


def parse(text: str) -> Plan:
    """The plan that `dump` wrote."""
    raw = json.loads(text)
    brokers_ = tuple(Target(**one | {"proxy": one["proxy"] and tuple(one["proxy"])}) for one in raw["brokers"])
    return Plan(raw["ports"], brokers_, tuple(raw["certificates"]), raw["buffer"])


if __name__ == "__main__":
    json.dump(examine(parse(sys.stdin.read())), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # a look-up of a name may hang in a thread for long
