"""The ground that all stands on: the service, the configuration, clock, disk, card, buffer, certificates."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.doctor.facts import Facts, Service
from gateway.doctor.finding import Finding, failure, warning, well
from gateway.gnss import EARLIEST_MS
from gateway.polling.load import load

SOON_MS = 30 * 86_400_000
"""Time to get a certificate renewed by people who are asked..."""
SOON_PART = 3
"""... but one that is made anew by a machine, and ends soon always, has less than a third of its life left."""
FULL = 1_000_000
"""Bytes: with less free, no file can be said to grow."""
CARD_YEARS = 1.0
REBOOTED = "sudo systemctl restart lamppost"
RELOADED = "sudo systemctl reload lamppost"


def service(facts: Facts) -> Iterator[Finding]:
    """Whether the agent runs and answers."""
    if facts.service is Service.RUNS:
        stuck = ", ".join(facts.seen["status"]["stuck"])
        if stuck:
            yield failure("service", "service-stuck", f"The agent makes no progress: {stuck}.", REBOOTED)
        else:
            yield well("service", "The agent runs and answers.")
    elif facts.service is Service.STUCK:
        yield failure("service", "service-stuck", f"The agent runs and does not answer: {facts.why}.", REBOOTED)
    elif facts.service is Service.DENIED:
        remedy = "sudo usermod -aG lamppost-view $USER  # then log in again"
        yield failure("service", "not-allowed", f"This user may not ask the agent: {facts.why}.", remedy)
    else:
        yield failure("service", "service-stopped", "The agent does not run.", "sudo systemctl start lamppost")


def configuration(facts: Facts) -> Iterator[Finding]:
    """What `lamppost check` would say, and whether what runs is what is written."""
    if facts.forbidden:
        if facts.service is not Service.DENIED:
            text = f"This user may not read {facts.config}, and no agent says what it finds."
            yield failure("configuration", "not-allowed", text, "sudo lamppost doctor")
        return
    problems = list(facts.problems)
    if problems:
        first, more = problems[0], f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        where = ": ".join(filter(None, (str(first.file), first.path)))
        text = f"The configuration is wrong: {where}: {first.message}{more}.{_kept(facts)}"
        yield failure("configuration", "config", text, f"sudo lamppost check -c {facts.config}", where)
    message, remedy = facts.missing
    if message:
        text = f"A file of the configuration is missing or wrong: {message}.{_kept(facts)}"
        yield failure("configuration", "config", text, remedy)
    changed = facts.seen.get("changed", [])
    for file in changed:
        yield _stale(facts, file)
    last = (facts.status or {}).get("configuration", {}).get("last")
    if last is not None and last["status"] != "kept":
        text = f"Configuration {last['number']} from afar was {last['status']}: {last['reason']}."
        yield warning("configuration", "taken-back", text, "lamppost config show")
    wrong = facts.status["config_wrong"] if facts.status is not None else []
    if wrong and not problems and not message and not changed:  # who looks sees no mistake, the agent does
        yield failure(
            "configuration", "config", f"The configuration is wrong: {wrong[0]}.{_kept(facts)}", "sudo lamppost check"
        )
    if not problems and not message and not changed and not wrong:
        yield well("configuration", "The configuration has no mistakes.")


def _kept(facts: Facts) -> str:
    """What the agent does about a wrong configuration."""
    kept = facts.status is not None and facts.status["config_wrong"]
    return " The agent runs the last one without mistakes." if kept else ""


def _stale(facts: Facts, file: str) -> Finding:
    own = Path(file).resolve().parent in (facts.config.resolve().parent, facts.config.resolve().parent / "conf.d")
    fault, what = (
        ("stale-config", "The configuration") if own and _is_config(facts, file) else ("stale-profile", "A profile")
    )
    text = f"{what} was changed after the agent had read it: {file}."
    return failure("configuration", fault, text, RELOADED, file)


def _is_config(facts: Facts, file: str) -> bool:
    return Path(file).resolve() == facts.config.resolve() or Path(file).parent.name == "conf.d"


def loads(facts: Facts) -> Iterator[Finding]:
    """Whether each bus can carry what is asked of it."""
    asked: dict[str, float | None] = {}
    if facts.status is not None:
        asked = {bus["id"]: bus["planned"] for bus in facts.status["buses"]}
    elif facts.installation is not None:
        asked = {driver.setup.bus.id: load(driver).share for driver in facts.installation.drivers}
    for bus, share in asked.items():
        if share is not None and share > 1:
            text = f"Bus {bus} is asked for more than it can carry: {share:.1f} s of every second."
            yield failure(
                "buses",
                "bus-overload",
                text,
                "sudo lamppost check  # then longer periods (every) or a faster line",
                bus,
            )


def clock(facts: Facts) -> Iterator[Finding]:
    """Whether the box knows the time."""
    system = facts.seen.get("system_utc_ms")
    if system is not None and system < EARLIEST_MS:
        date = datetime.fromtimestamp(system / 1000, UTC).date()
        yield failure("clock", "clock-wrong", f"The clock of this box says {date}.", "timedatectl status")
    state = facts.status
    if state is not None and state["clock"] == "unset":
        text = "Nobody has told the time since the box was switched on: samples wait for their dates."
        yield warning("clock", "clock-unset", text, "timedatectl set-ntp true")
    elif state is not None:
        yield well("clock", f"The time is known ({state['clock']}, by {state['clock_from']}).")


def disk(facts: Facts) -> Iterator[Finding]:
    """Whether samples can be kept."""
    state = facts.status
    if state is None:
        yield from _disk_stopped(facts)
        return
    buffer = state["buffer"]
    found, error = buffer["disk"], buffer["error"]
    if found["low"] or (found["free"] is not None and found["free"] < FULL):
        text = f"The disk is full: {_mb(found['free'])} free on the file system of {buffer['path']}."
        yield failure(
            "disk", "disk-full", text, f"sudo du -xh --max-depth=2 / | sort -h | tail; df -h {buffer['path']}"
        )
    elif error:
        fault = "disk-stalls" if found["state"] == "stalls" else "disk-refuses"
        yield failure("disk", fault, f"The disk takes nothing: {error}.", "sudo dmesg | tail")
    else:
        yield well("disk", f"{_mb(found['free'])} are free, the buffer takes {_mb(buffer['bytes'])}.")
    yield from _buffer(buffer)


def _disk_stopped(facts: Facts) -> Iterator[Finding]:
    found = facts.seen.get("disk")
    if found is None or facts.installation is None:
        return
    config = facts.installation.config.buffer
    if found["error"]:
        yield failure(
            "disk", "disk-refuses", f"The folder of the buffer: {found['error']}.", f"ls -ld {config.path.parent}"
        )
    elif found["free"] < max(config.keep_free, FULL):
        text = f"The disk is full: {_mb(found['free'])} free on the file system of {config.path}."
        yield failure("disk", "disk-full", text, f"df -h {config.path.parent}")
    elif not found["writable"]:
        text = f"The folder of the buffer cannot be written by {facts.seen_by}: {config.path.parent}."
        yield failure("disk", "disk-refuses", text, f"sudo chown lamppost: {config.path.parent}")
    else:
        yield well("disk", f"{_mb(found['free'])} are free.")
    if facts.store:
        yield failure(
            "buffer", "buffer-damaged", f"The buffer is damaged: {facts.store}.", "sudo systemctl start lamppost"
        )


def _buffer(buffer: dict[str, Any]) -> Iterator[Finding]:
    for one in buffer["salvage"]:
        saved = f"{one['samples']} samples saved, {one['lost']} known lost, {one['waiting']} batches wait"
        remedy = f"lamppost status  # when none wait: sudo rm {Path(buffer['path']).with_name(one['file'])}"
        if one["moved"]:
            text = f"This card was on another board before; its buffer is set aside as {one['file']}: {saved}."
            yield warning("buffer", "board-changed", text, remedy, one["file"])
        else:
            text = f"The buffer was damaged and set aside as {one['file']}: {saved}."
            yield failure("buffer", "buffer-damaged", text, remedy, one["file"])
    made = buffer["made_room"]
    if made["thinned"] or made["evicted"]:
        text = f"The buffer is full: {made['thinned']} samples were thinned, {made['evicted']} given up."
        yield warning("buffer", "buffer-full", text, "lamppost queue")
    if buffer["held"]["refused"]:
        text = f"{buffer['held']['refused']} batches are set aside: the platform or the broker does not take them."
        yield warning("buffer", "set-aside", text, "lamppost queue")
    years = buffer["card"]["years"]
    if years is not None and years < CARD_YEARS:
        yield warning("card", "card-worn", f"At this rate the card lasts {years:g} years.", "lamppost status")


def certificates(facts: Facts) -> Iterator[Finding]:
    """The dates of our own; the broker's are seen when it is connected to."""
    now = facts.seen.get("system_utc_ms", 0)
    for one in facts.seen.get("certificates", []):
        path = one["path"]
        show = f"openssl x509 -noout -dates -in {path}"
        if one["error"]:
            yield failure("certificates", "certificate-missing", f"{path}: {one['error']}.", f"ls -l {path}", path)
        elif one["until_utc_ms"] < now:
            text = f"A certificate of this gateway ended on {_date(one['until_utc_ms'])}: {path}."
            yield failure("certificates", "certificate-expired", text, show, path)
        elif one["from_utc_ms"] > now:
            text = f"A certificate of this gateway is not valid before {_date(one['from_utc_ms'])}: {path}."
            yield failure("certificates", "certificate-early", text, "timedatectl status", path)
        elif one["until_utc_ms"] - now < min(SOON_MS, (one["until_utc_ms"] - one["from_utc_ms"]) // SOON_PART):
            text = f"A certificate of this gateway ends on {_date(one['until_utc_ms'])}: {path}."
            yield warning("certificates", "certificate-soon", text, show, path)
        else:
            yield well("certificates", f"{path} is valid until {_date(one['until_utc_ms'])}.")
    yield from _brokers_certificate(facts)


def _brokers_certificate(facts: Facts) -> Iterator[Finding]:
    """What the running daemon was shown, and by what it judged the dates."""
    uplink = None if facts.status is None else facts.status["uplink"]
    if uplink is None:
        return
    for one in uplink.get("certificates", ()):
        if one["what"] == "broker" and one["soon"]:
            text = f"The broker's certificate ends on {_date(one['until_utc_ms'])}."
            yield warning("certificates", "broker-certificate-soon", text, "tell the platform", uplink["broker"])
    if uplink.get("dates_by") == "floor":
        text = "The clock is not set: the broker's certificate was judged without its dates."
        yield warning("certificates", "dates-unknown", text, "timedatectl status")


def _date(utc_ms: int) -> str:
    return datetime.fromtimestamp(utc_ms / 1000, UTC).date().isoformat()


def _mb(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.0f} MB"
