"""A broker for the demo: mosquitto where it is installed, else amqtt in a process of its own."""

import asyncio
import logging
import shutil
import sys
from pathlib import Path

MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
"""


def mosquitto() -> str | None:
    """The path of mosquitto, which Debian keeps out of a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def command(folder: Path, port: int) -> list[str]:
    """How to start the broker on `port` of this host."""
    binary = mosquitto()
    if binary is None:
        return [sys.executable, "-m", "gateway.demo.broker", str(port)]
    config = folder / "mosquitto.conf"
    config.write_text(MOSQUITTO_CONFIG.format(port=port))
    return [binary, "-c", str(config)]


async def _amqtt(port: int) -> None:
    from amqtt.broker import Broker  # type: ignore[import-untyped]

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(_amqtt(int(sys.argv[1])))
