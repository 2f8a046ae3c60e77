"""Where the page listens: an address of this box that only the neighbourhood reaches."""

import fcntl
import ipaddress
import socket
import struct

from gateway.errors import SetupFailed

SIOCGIFADDR = 0x8915
"""Gives the IPv4 address of an interface (netdevice(7)); struct ifreq has 40 bytes, the address at 20."""


def interfaces() -> dict[str, str]:
    """The IPv4 address of each interface that has one."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("40s", name.encode()[:15]))
            except OSError:  # it has none
                continue
            found[name] = socket.inet_ntoa(answer[20:24])
    return found


def choose(address: str | None, interface: str | None) -> str:
    """The address to listen on, which must be named; raises `SetupFailed` for none, and for one the world reaches."""
    known = interfaces()
    if interface is not None:
        if interface not in known:
            raise SetupFailed(f"interface {interface} has no IPv4 address; there are: {_list(known)}", "ip address")
        address = known[interface]
    if address is None:
        raise SetupFailed(f"say where to listen: --interface or --address; there are: {_list(known)}")
    try:
        found = ipaddress.ip_address(address)
    except ValueError as error:
        raise SetupFailed(f"{address} is not an IP address") from error
    if found.is_unspecified or not (found.is_private or found.is_link_local or found.is_loopback):
        raise SetupFailed(f"{address} is not an address of a private network, a hotspot or a cable")
    return str(found)


def is_loopback(address: str) -> bool:
    """Whether none but this machine reaches it."""
    return ipaddress.ip_address(address).is_loopback


def bound(address: str, port: int) -> socket.socket:
    """A socket that listens there; raises `SetupFailed`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address, port))
    except OSError as error:
        made.close()
        raise SetupFailed(f"cannot listen on {address} port {port}: {error.strerror}", "--port") from error
    return made


def netloc(address: str, port: int) -> str:
    """Address and port as in a URL (RFC 3986, 3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _list(known: dict[str, str]) -> str:
    return ", ".join(f"{name} ({address})" for name, address in known.items()) or "none"
