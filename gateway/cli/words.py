"""Numbers of a status in words, for every verb that shows them."""

from typing import Any


def size(number: float) -> str:
    """Bytes."""
    return f"{number / 1e6:.2f} MB" if number < 1e8 else f"{number / 1e6:.0f} MB"


def span(seconds: float) -> str:
    """A time that something took."""
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(value: float | None) -> str:
    """Seconds since something; "never" for None."""
    return "never" if value is None else f"{value:.1f}"


def period(found: dict[str, float | None] | None) -> str:
    """The achieved period of the wanted one."""
    if found is None:
        return ""
    median = found["median_s"]
    return f"{'-' if median is None else f'{median:.2f}'} of {found['wanted_s']:g}"


def link(uplink: dict[str, Any] | None) -> str:
    """The state of the link, in one line."""
    if uplink is None:
        return "none configured: everything stays in the buffer"
    state = f"up to {uplink['broker']}" if uplink["up"] else f"DOWN: {uplink['error'] or 'connecting'}"
    ack = (
        "nothing acknowledged yet" if uplink["last_ack_s"] is None else f"acknowledged {uplink['last_ack_s']:.0f} s ago"
    )
    return f"{state} for {span(uplink['since_s'])}, {ack}, {uplink['in_flight']} in flight"


def oldest(found: dict[str, Any] | None) -> str:
    """Of the oldest sample that waits; begins with a comma."""
    if found is None:
        return ""
    return (
        ", the oldest from before this boot" if found["age_s"] is None else f", the oldest {span(found['age_s'])} old"
    )


def aside(one: dict[str, Any]) -> str:
    """Why a buffer was set aside: the card is on another board, or the file is damaged."""
    return "MOVED" if one["moved"] else "DAMAGED"


def trouble(status: dict[str, Any]) -> list[str]:
    """What somebody should look at, the worst first; `lamppost doctor` says why."""
    buffer, found = status["buffer"], []
    found += [f"STUCK: {', '.join(status['stuck'])}"] if status["stuck"] else []
    found += [f"DISK: {buffer['error']}"] if buffer["error"] else []
    found += ["DISK: nearly full; the buffer does not grow"] if buffer["disk"]["low"] else []
    found += [f"GIVEN UP: {buffer['memory']['given_up']} samples"] if buffer["memory"]["given_up"] else []
    found += [f"EVICTED: {buffer['made_room']['evicted']} samples"] if buffer["made_room"]["evicted"] else []
    found += [f"{aside(one)}: {one['file']}" for one in buffer["salvage"]]
    found += [f"SET ASIDE: {buffer['held']['refused']} batches"] if buffer["held"]["refused"] else []
    found += [f"LOCKED: {lock['device']}" for lock in status["commands"]["locks"]]
    return found
