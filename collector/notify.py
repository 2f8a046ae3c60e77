"""What the service manager is told (sd_notify(3)): ready, alive, stopping. Silent where there is none."""

import os
import socket


def notify(state: str) -> None:
    """Send one state, such as `READY=1`, to the socket in NOTIFY_SOCKET; never fails."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path[0] == "@" else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:
            return  # the manager is gone or slow: it will see no sign of life and act on that


def watchdog_seconds() -> float | None:
    """Return how often to say WATCHDOG=1: half of WATCHDOG_USEC, when it is meant for this process."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000
