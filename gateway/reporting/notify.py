"""Tell systemd how the service is (sd_notify(3)); silent when nobody asked."""

import os
import socket


def notify(state: str) -> bool:
    """Send `state` (`READY=1`, `WATCHDOG=1` ...) to $NOTIFY_SOCKET; False when there is none or it is gone."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket begins with a zero byte
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watchdog_interval() -> float | None:
    """Seconds between signs of life: half of $WATCHDOG_USEC, as sd_watchdog_enabled(3) advises; None: not asked."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not usec.isdigit() or pid != str(os.getpid()):
        return None
    return int(usec) / 2_000_000
