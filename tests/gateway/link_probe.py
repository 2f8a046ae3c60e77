"""One link and what becomes of it, for a process in a network of its own: python -m tests.gateway.link_probe URL MS."""

import asyncio
import json
import sys
import time

from config import Broker, Uplink
from gateway.clock import AgentClock
from gateway.errors import LinkError
from gateway.uplink.transport import Connector, Will


async def main(url: str, keepalive_ms: int) -> None:
    """Say when a link is up, and when and why it is not, again and again."""
    uplink = Uplink(brokers=(Broker.parse(url),), acknowledge="broker").model_copy(update={"keepalive": keepalive_ms})
    connector = Connector(uplink, "probe", AgentClock(bytes(16)))
    while True:
        try:
            async with connector.link(Will("t/status", b"{}")) as link:
                say(up=True)
                while not link.silent():  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.02)
            say(up=False, why="silent")
        except LinkError as error:
            say(up=False, why=str(error))
            await asyncio.sleep(0.2)


def say(**words: object) -> None:
    sys.stdout.write(json.dumps({"at": time.monotonic(), **words}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
