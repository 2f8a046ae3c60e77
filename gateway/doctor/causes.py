"""Which findings are only consequences of others, and are not told beside them."""

from collections.abc import Sequence

from gateway.doctor.finding import Finding, Level

LINK = (
    "certificate-missing", "certificate-expired", "dns", "proxy", "no-route", "broker-down", "wrong-ca", "wrong-name",
    "not-yet-valid", "broker-certificate-expired", "certificate-refused", "tls", "login-refused", "mqtt", "acl",
    "link-down", "wrong-key", "no-ack",
)  # fmt: skip
"""What keeps everything from the platform, and the platform's time from us."""
DISK = ("disk-full", "disk-refuses", "disk-stalls")
_UNDELIVERED = ("clock-unset", "backlog", "buffer-full")
_CAUSES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(LINK, _UNDELIVERED),
    **dict.fromkeys(DISK, ("disk-refuses", "disk-stalls", "no-ack", *_UNDELIVERED)),
    "certificate-expired": ("certificate-refused", "tls", "mqtt", "link-down", *_UNDELIVERED),
    "clock-wrong": (
        "not-yet-valid", "broker-certificate-expired", "certificate-expired", "certificate-early",
        "certificate-refused", *_UNDELIVERED,
    ),
    "config": ("service-stopped", "stale-config"),
    "buffer-damaged": ("service-stopped",),
}  # fmt: skip
"""What follows from a fault, wherever it is."""


def causes(findings: Sequence[Finding]) -> list[Finding]:
    """The findings without those that follow from another of them; independent ones stay, side by side."""
    present = {finding.fault for finding in findings if finding.level is not Level.OK}
    followed = {fault for cause in present for fault in _CAUSES.get(cause, ()) if fault != cause}
    return [finding for finding in findings if finding.fault not in followed]
