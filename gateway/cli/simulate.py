"""`lamppost simulate`"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.simulate.lives import Life, Plan, Signed

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("simulate")
@click.option("--gateways", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("--points", type=click.IntRange(1, 2000), default=50, show_default=True, help="Of each gateway.")
@click.option("--every", default="1s", show_default=True, help="How often they are read.")
@click.option("--batch", default="10s", show_default=True, help="How much is sealed at once.")
@click.option("--batches", type=click.IntRange(1), default=10, show_default=True, help="Of each gateway.")
@click.option("--site", default="load", show_default=True)
@click.option("--root", default="lamppost", show_default=True, help="The first part of every topic.")
@click.option("--keys", type=FILE, help="Write the public keys there first, for `gateways add`.")
@click.option("--write", "target", type=FILE, help="Sign into a file, and send nothing.")
@click.option("--replay", "source", type=FILE, help="Send what --write wrote, instead of signing anew.")
@click.option("--broker", help="mqtt://host:port")
@click.option("--rate", type=float, default=0.0, help="Batches a second over all; by default in real time.")
@click.option("--fast", is_flag=True, help="As fast as the broker takes them.")
@click.option("--json", "as_json", is_flag=True, help="The account as a JSON object.")
def command(
    gateways: int, points: int, every: str, batch: str, batches: int, site: str, root: str, keys: Path | None,
    target: Path | None, source: Path | None, broker: str | None, rate: float, *, fast: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make honest load for a platform: gateways with real keys, and batches in real chains.

    The account at the end tells what was sent, and how much of it the platform has acknowledged.
    """
    from config import parse_duration
    from gateway.simulate.lives import Plan, lives

    try:
        plan = Plan(points, parse_duration(every), parse_duration(batch), site, root)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if (broker is None) == (target is None) or (source is not None and target is not None):
        raise click.UsageError("either --broker, to send, or --write FILE")
    begin = time.time_ns() // 1_000_000 - batches * plan.batch_ms * (target is not None)
    made = [] if source is not None else lives(gateways, plan, begin)
    if keys is not None and made:
        keys.write_text("".join(life.public.to_json() + "\n" for life in made))
    if target is not None:
        from gateway.simulate import recorded

        count, samples = recorded.write(target, _messages(made, batches, None))
        _account({"batches": count, "samples": samples, "bytes": target.stat().st_size}, as_json=as_json)
        return
    pace = 0.0 if fast else rate or 1000 * gateways / plan.batch_ms
    _send(str(broker), plan, _messages(made, batches, source), pace, as_json=as_json)


def _messages(made: "list[Life]", batches: int, source: Path | None) -> "Iterator[Signed]":
    from gateway.simulate import recorded
    from gateway.simulate.lives import rounds

    return recorded.read(source) if source is not None else rounds(made, batches)


def _send(broker: str, plan: "Plan", messages: "Iterator[Signed]", pace: float, *, as_json: bool) -> None:
    from config import Broker
    from gateway.simulate.sending import PATIENCE_SECONDS, Sender, paced

    sender = Sender(Broker.parse(broker), plan.root, plan.site)
    start = time.monotonic()
    try:
        for message in paced(messages, pace):
            sender.send(message)
        sending = time.monotonic() - start
        sender.wait(PATIENCE_SECONDS)
    finally:
        sender.close()
    account = {"batches": sender.sent, "samples": sender.samples, "acknowledged": sender.acknowledged}
    _account({**account, "sending_s": round(sending, 3)}, as_json=as_json)


def _account(row: dict[str, float], *, as_json: bool) -> None:
    click.echo(json.dumps(row) if as_json else ", ".join(f"{name} {value:,}" for name, value in row.items()))
