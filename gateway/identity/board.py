"""The board that this runs on: what is printed into it, where the hardened service may read it too.

Serial numbers in /sys/class/dmi are root's alone, and /proc/device-tree is hidden by ProcSubset=pid: neither is used,
so that the service and a hand that starts the agent see the same board.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from buffer.board import ADDRESS, SERIAL, print_of

ROOT = Path("/")
SERIAL_NUMBER = "sys/firmware/devicetree/base/serial-number"  # Devicetree Specification 0.4, 3.2
INTERFACES = "sys/class/net"
MAX_INTERFACES = 1024  # a board has a few; containers and bridges come on top
MAX_BYTES = 256  # of a file read: a serial number of a Raspberry Pi has 17
ETHERNET = "1"  # ARPHRD_ETHER, linux/if_arp.h; of Wi-Fi too
PERMANENT = "0"  # NET_ADDR_PERM, linux/netdevice.h: not made up at the start and not set by a program
OWN_BUSES = frozenset({"pci", "platform", "sdio", "amba"})
"""What is on the board itself: USB comes and goes, and a virtual machine's addresses may change with each start."""
NOT_UNIQUE = 0x03  # IEEE 802, 8.2: of the first octet the bits "locally administered" and "group"


def read() -> frozenset[str]:
    """The prints of this board; empty when nothing that can be read is its own for ever."""
    found = {print_of(ADDRESS, address) for address in _addresses(ROOT / INTERFACES)}
    serial = _text(ROOT / SERIAL_NUMBER)
    if len(set(serial)) > 1:  # all zeros: nobody has written one
        found.add(print_of(SERIAL, serial))
    return frozenset(found)


def _addresses(folder: Path) -> Iterator[str]:
    with suppress(OSError):
        for one in islice(folder.iterdir(), MAX_INTERFACES):
            if _is_own(one) and (address := _text(one / "address")) and _is_unique(address):
                yield address


def _is_own(interface: Path) -> bool:
    wanted = {"type": ETHERNET, "addr_assign_type": PERMANENT}
    bus = interface / "device" / "subsystem"
    return all(_text(interface / name) == value for name, value in wanted.items()) and bus.resolve().name in OWN_BUSES


def _is_unique(address: str) -> bool:
    try:
        octets = bytes.fromhex(address.replace(":", ""))
    except ValueError:
        return False
    return len(octets) == 6 and any(octets) and not octets[0] & NOT_UNIQUE


def _text(path: Path) -> str:
    """What a small file says; "" when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("ascii", "replace").strip("\0\n ")
    except OSError:
        return ""
