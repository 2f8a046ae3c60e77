"""The agent's state as Prometheus' text format: every name of a metric stands here (docs/metrics.md says what for).

Format: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4; base units, counters in `_total`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.plain import plain

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABEL_MAX = 128
"""Characters of a label's value: no id or unit is longer, and what a device says cannot fill a scrape."""
CLOCK_STATES = ("synchronized", "holdover", "unset")
DEVICE_STATES = ("unknown", "online", "suspect", "offline")

Status = Mapping[str, Any]
"""What the verb `status` answers (docs/cli-json.md)."""
Labels = dict[str, object]
Found = tuple[Labels, float | None]
"""Labels and value of one series; a value that is not known is left out."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One name; `find` gives its series in a status."""

    name: str
    kind: str
    help: str
    find: Callable[[Status], Iterable[Found]]


def render(status: Status | None, *, points: bool = False) -> str:
    """The text for a scrape; None: the agent does not answer, which `lamppost_up 0` says. `points`: values as well."""
    lines = [*_lines(Metric("lamppost_up", GAUGE, UP, lambda _: [({}, float(status is not None))]), {})]
    if status is not None:
        for metric in METRICS + (POINTS if points else ()):
            lines += _lines(metric, status)
    return "\n".join(lines) + "\n"


def names() -> frozenset[str]:
    """Every name that `render` may say."""
    return frozenset(("lamppost_up", *(metric.name for metric in METRICS + POINTS)))


def label(value: object) -> str:
    """A label's value as the format wants it, on one line, with nothing in it that could steer a terminal."""
    return plain(str(value)[:LABEL_MAX]).replace("\\", "\\\\").replace('"', '\\"')


def _lines(metric: Metric, status: Status) -> Iterator[str]:
    rows = [(labels, value) for labels, value in metric.find(status) if value is not None]
    if not rows:
        return
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for labels, value in rows:
        inside = ",".join(f'{name}="{label(text)}"' for name, text in labels.items())
        yield f"{metric.name}{{{inside}}} {_number(value)}" if inside else f"{metric.name} {_number(value)}"


def _number(value: float) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


# ---- where the values are --------------------------------------------------------------------------------------------


def _at(*path: str) -> Callable[[Status], Iterable[Found]]:
    """The one value at a path; nothing where a part of it is null."""

    def find(status: Status) -> Iterator[Found]:
        found: Any = status
        for key in path:
            if found is None:
                return
            found = found[key]
        if found is not None:
            yield {}, found

    return find


def _bus(key: str) -> Callable[[Status], Iterable[Found]]:
    return lambda status: [({"bus": bus["id"], "driver": bus["driver"]}, bus[key]) for bus in status["buses"]]


def _devices(status: Status) -> Iterator[tuple[Labels, Mapping[str, Any]]]:
    for bus in status["buses"]:
        for device in bus["devices"]:
            yield {"bus": bus["id"], "device": device["id"]}, device


def _device(key: str) -> Callable[[Status], Iterable[Found]]:
    return lambda status: [(labels, device[key]) for labels, device in _devices(status)]


def _period(key: str) -> Callable[[Status], Iterable[Found]]:
    return lambda status: [(labels, one["period"][key]) for labels, one in _devices(status) if one["period"]]


def _device_states(status: Status) -> Iterator[Found]:
    for labels, device in _devices(status):
        for state in DEVICE_STATES:
            yield labels | {"state": state}, float(device["state"] == state)


def _device_errors(status: Status) -> Iterator[Found]:
    for labels, device in _devices(status):
        for kind, count in sorted(device["errors"].items()):
            yield labels | {"error": kind}, count


def _kinds(name: str, key: str) -> Callable[[Status], Iterable[Found]]:
    return lambda status: [({name: kind}, count) for kind, count in sorted(status["commands"][key].items())]


def _about(status: Status) -> Iterator[Found]:
    yield {key: status[key] for key in ("gateway", "site", "version")}, 1


def _clock(status: Status) -> Iterator[Found]:
    for state in CLOCK_STATES:
        yield {"state": state}, float(status["clock"] == state)


def _point(key: str) -> Callable[[Status], Iterable[Found]]:
    return lambda status: [(_name(point), _float(point[key])) for point in status["points"]]


def _good(status: Status) -> Iterator[Found]:
    for point in status["points"]:
        yield _name(point), float(point["quality"] == "good")


def _name(point: Mapping[str, Any]) -> Labels:
    device, _, name = point["id"].partition("/")
    return {"device": device, "point": name, "unit": point["unit"]}


def _float(value: object) -> float | None:
    """A number or truth value; what is told as text, a device's or one of too many digits, is none."""
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return None


GAUGE, COUNTER = "gauge", "counter"
UP = "1 while the agent answers, 0 when it does not."

METRICS = (
    Metric("lamppost_info", GAUGE, "Who the agent is; always 1.", _about),
    Metric("lamppost_time_seconds", GAUGE, "The agent's time, since 1970.",
           lambda status: [({}, status["utc_ms"] / 1000)]),
    Metric("lamppost_clock_state", GAUGE, "1 for the state that the clock is in.", _clock),
    Metric("lamppost_stuck_parts", GAUGE, "Parts of the agent that make no progress.",
           lambda status: [({}, len(status["stuck"]))]),
    Metric("lamppost_samples_total", COUNTER, "Samples taken since the start.", _at("buffer", "samples")),
    Metric("lamppost_strangers_total", COUNTER, "Messages heard that no configured device claims.",
           lambda status: [({}, sum(status["strangers"].values()))]),
    # the buffer
    Metric("lamppost_committed_samples_total", COUNTER, "Samples that the disk has.", _at("buffer", "committed")),
    Metric("lamppost_commits_total", COUNTER, "Commits to the disk.", _at("buffer", "commits")),
    Metric("lamppost_sealed_batches_total", COUNTER, "Batches sealed.", _at("buffer", "sealed")),
    Metric("lamppost_buffer_bytes", GAUGE, "What the buffer takes on the disk.", _at("buffer", "bytes")),
    Metric("lamppost_buffer_limit_bytes", GAUGE, "What it may take.", _at("buffer", "limit")),
    Metric("lamppost_buffer_fault", GAUGE, "1 while the disk takes nothing or cannot be read.",
           lambda status: [({}, float(bool(status["buffer"]["error"])))]),
    Metric("lamppost_held_batches", GAUGE, "Batches that wait for the platform.", _at("buffer", "held", "batches")),
    Metric("lamppost_held_samples", GAUGE, "Samples in them.", _at("buffer", "held", "samples")),
    Metric("lamppost_held_bytes", GAUGE, "Bytes of them.", _at("buffer", "held", "bytes")),
    Metric("lamppost_held_oldest_age_seconds", GAUGE, "Age of the oldest sample that waits.",
           _at("buffer", "held", "oldest", "age_s")),
    Metric("lamppost_set_aside_batches", GAUGE, "Batches refused, too large or damaged.",
           _at("buffer", "held", "refused")),
    Metric("lamppost_salvaged_files", GAUGE, "Damaged buffers that were set aside.",
           lambda status: [({}, sum(not one["moved"] for one in status["buffer"]["salvage"]))]),
    Metric("lamppost_thinned_samples_total", COUNTER, "Samples thinned for room.",
           _at("buffer", "made_room", "thinned")),
    Metric("lamppost_evicted_samples_total", COUNTER, "Samples evicted for room.",
           _at("buffer", "made_room", "evicted")),
    Metric("lamppost_memory_bytes", GAUGE, "Samples in memory that the disk does not have.",
           _at("buffer", "memory", "bytes")),
    Metric("lamppost_memory_limit_bytes", GAUGE, "What they may take.", _at("buffer", "memory", "limit")),
    Metric("lamppost_given_up_samples_total", COUNTER, "Samples given up while the disk took nothing.",
           _at("buffer", "memory", "given_up")),
    Metric("lamppost_disk_free_bytes", GAUGE, "Free on the buffer's file system.", _at("buffer", "disk", "free")),
    Metric("lamppost_disk_size_bytes", GAUGE, "Size of that file system.", _at("buffer", "disk", "size")),
    Metric("lamppost_disk_low", GAUGE, "1 while less is free than keep_free.", _at("buffer", "disk", "low")),
    Metric("lamppost_card_written_bytes_total", COUNTER, "Bytes written to the card as far as it was watched.",
           _at("buffer", "card", "written_bytes")),
    Metric("lamppost_card_life_years", GAUGE, "Years that the card lasts at this rate.",
           _at("buffer", "card", "years")),
    # the uplink
    Metric("lamppost_uplink_up", GAUGE, "1 while there is a link to a broker.", _at("uplink", "up")),
    Metric("lamppost_uplink_connections_total", COUNTER, "Connections made.", _at("uplink", "connections")),
    Metric("lamppost_uplink_sent_batches_total", COUNTER, "Batches sent, resent ones too.", _at("uplink", "sent")),
    Metric("lamppost_uplink_sent_bytes_total", COUNTER, "Bytes of them.", _at("uplink", "sent_bytes")),
    Metric("lamppost_uplink_in_flight_batches", GAUGE, "Batches that are on their way.", _at("uplink", "in_flight")),
    Metric("lamppost_uplink_acknowledged_batches_total", COUNTER, "Batches acknowledged.",
           _at("uplink", "acknowledged")),
    Metric("lamppost_uplink_bad_acknowledgements_total", COUNTER, "Acknowledgements that were not believed.",
           _at("uplink", "bad_acks")),
    Metric("lamppost_uplink_acknowledgement_age_seconds", GAUGE, "Since the last acknowledgement.",
           _at("uplink", "last_ack_s")),
    # buses and devices
    Metric("lamppost_bus_up", GAUGE, "1 while the bus is open.", _bus("up")),
    Metric("lamppost_bus_busy_ratio", GAUGE, "Part of the last minute that the bus was busy.", _bus("busy")),
    Metric("lamppost_bus_planned_ratio", GAUGE, "Part of its time that the plan takes.", _bus("planned")),
    Metric("lamppost_bus_missed_periods_total", COUNTER, "Periods in which a read had no turn.", _bus("missed")),
    Metric("lamppost_device_state", GAUGE, "1 for the state that the device is in.", _device_states),
    Metric("lamppost_device_answers_total", COUNTER, "Usable answers.", _device("answers")),
    Metric("lamppost_device_failures_total", COUNTER, "Tries in vain.", _device("failures")),
    Metric("lamppost_device_errors_total", COUNTER, "What went wrong, by kind.", _device_errors),
    Metric("lamppost_device_heard_age_seconds", GAUGE, "Since the device was heard.", _device("heard_s")),
    Metric("lamppost_device_period_wanted_seconds", GAUGE, "Its shortest configured period.", _period("wanted_s")),
    Metric("lamppost_device_period_median_seconds", GAUGE, "What came of it lately.", _period("median_s")),
    # commands
    Metric("lamppost_command_results_total", COUNTER, "Results of commands by status.", _kinds("status", "results")),
    Metric("lamppost_commands_refused_total", COUNTER, "Commands refused by reason.", _kinds("reason", "refused")),
    Metric("lamppost_locks", GAUGE, "Devices that a technician has locked.",
           lambda status: [({}, len(status["commands"]["locks"]))]),
)  # fmt: skip

POINTS = (
    Metric("lamppost_point_value", GAUGE, "The last value; texts and what has none are left out.", _point("value")),
    Metric("lamppost_point_good", GAUGE, "1 while its quality is good.", _good),
    Metric("lamppost_point_age_seconds", GAUGE, "Since the last sample.", _point("age_s")),
)
