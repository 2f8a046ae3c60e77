"""A proxy that logs people in elsewhere (OpenID Connect, say) and vouches for their names."""

import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from collector.errors import SetupFault
from collector.files import read_bounded

SECRET_HEADER = "x-lamppost-proxy"  # noqa: S105 - the name of it
SECRET_LEAST, SECRET_MOST = 32, 256


@dataclass(frozen=True, slots=True)
class Proxy:
    """Believed when it comes from `address` and says `secret`; the person's name is in `header`."""

    header: str
    secret: bytes
    address: ipaddress.IPv4Address | ipaddress.IPv6Address

    @classmethod
    def load(cls, header: str, path: Path, address: str) -> "Proxy":
        """With the secret in a file; raises SetupFault or FileFault."""
        secret = read_bounded(path, SECRET_MOST).strip()
        if len(secret) < SECRET_LEAST:
            raise SetupFault(f"{path}: a secret has at least {SECRET_LEAST} bytes")
        try:
            return cls(header.lower(), secret, ipaddress.ip_address(address))
        except ValueError as error:
            raise SetupFault(f"{address} is not an IP address") from error

    def vouches(self, request: Request) -> str | None:
        """The name that it vouches for; None when it is not the proxy that asks."""
        secrets, names = request.headers.getlist(SECRET_HEADER), request.headers.getlist(self.header)
        if request.client is None or len(secrets) != 1 or len(names) != 1:
            return None
        known = hmac.compare_digest(secrets[0].encode("latin-1"), self.secret)
        try:
            return names[0] if known and ipaddress.ip_address(request.client.host) == self.address else None
        except ValueError:
            return None
