"""The broker's configuration that is shipped lets each gateway speak and hear as itself only."""

import queue
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.authority import Authority
from tests.conftest import ROOT
from tests.mosquitto import Mosquitto, free_port

SHIPPED = ROOT / "systemd" / "mosquitto"
NOT_AUTHORIZED = 135  # MQTT 5, 2.4: reason code
ANSWER_S = 10.0


class Peer:
    """An MQTT 5 client with a certificate; every answer of the broker is waited for."""

    def __init__(
        self, port: int, ca: Path, cert: Path, key: Path, identifier: str = "", user: str = "", will: str = ""
    ) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        self._answers: queue.Queue[list[int]] = queue.Queue()
        self._connected: queue.Queue[bool] = queue.Queue()
        self.lost = False
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, identifier, protocol=paho.MQTTv5)
        client.tls_set(str(ca), str(cert), str(key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        client.on_connect = lambda *_: self._connected.put(True)
        client.on_disconnect = self._gone
        client.on_message = lambda _c, _u, message: self.heard.put(message.topic)
        client.on_publish = lambda _c, _u, _mid, code, _p: self._answers.put([code.value])
        client.on_subscribe = lambda _c, _u, _mid, codes, _p: self._answers.put([code.value for code in codes])
        if user:
            client.username_pw_set(user, "x")
        if will:
            client.will_set(will, b"x", qos=1)
        client.connect("127.0.0.1", port)
        client.loop_start()
        if not self._connected.get(timeout=ANSWER_S):
            client.loop_stop()
            raise ConnectionError("the broker refuses")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _gone(self, *_: Any) -> None:
        self.lost = True
        self._connected.put(False)

    def drop(self) -> None:
        """Be gone without a word, so that the broker tells the will."""
        self._client.loop_stop()
        sock = self._client.socket()
        assert sock is not None
        sock.close()

    def ends(self) -> bool:
        """Whether the broker ends the session."""
        return not self._connected.get(timeout=ANSWER_S)

    def publish(self, topic: str, *, retain: bool = False) -> int:
        """The broker's reason code."""
        self._client.publish(topic, b"x", qos=1, retain=retain)
        return self._answers.get(timeout=ANSWER_S)[0]

    def subscribe(self, topic: str) -> int:
        """The broker's reason code."""
        self._client.subscribe(topic, qos=1)
        return self._answers.get(timeout=ANSWER_S)[0]


Join = Callable[..., Peer]


@pytest.fixture
def authorities(tmp_path: Path) -> dict[str, Authority]:
    """Of the gateways, and of the platform."""
    return {"gateways": Authority(tmp_path, "gateways-ca"), "platform": Authority(tmp_path, "platform-ca")}


@pytest.fixture
def ports() -> dict[str, int]:
    """The two listeners' ports."""
    return {"gateways": free_port(), "platform": free_port()}


@pytest.fixture
def join(
    tmp_path: Path, program: Callable[[str, str], str], authorities: dict[str, Authority], ports: dict[str, int]
) -> Iterator[Join]:
    """`join(name, authority="gateways", port=authority, ...)`: connects to a broker that is configured so."""
    cert, key = authorities["platform"].issue("broker")
    text = (SHIPPED / "lamppost.conf").read_text()
    text = text.replace("8883", f"{ports['gateways']} 127.0.0.1").replace("8884", f"{ports['platform']} 127.0.0.1")
    for name, path in (
        ("gateways-ca.pem", authorities["gateways"].file), ("platform-ca.pem", authorities["platform"].file),
        ("broker.pem", cert), ("broker.key", key), ("lamppost.acl", SHIPPED / "lamppost.acl"),
    ):  # fmt: skip
        text = text.replace(f"/etc/mosquitto/{name}", str(path))
    broker = Mosquitto(
        tmp_path, program("mosquitto", "mosquitto"), port=ports["platform"]
    )  # opened last: once it accepts, both do
    broker._config.write_text(f"user root\n{text}")
    broker.start()

    def joined(name: str, authority: str = "gateways", port: str = "", **more: Any) -> Peer:
        files = authorities[authority].issue(name)
        return Peer(ports[port or authority], authorities["platform"].file, *files, **more)

    try:
        yield joined
    finally:
        broker.kill()


def test_a_gateway_cannot_speak_or_hear_as_another(join: Join) -> None:
    with join("gw-0001") as gateway, join("gw-0002") as other, join("collector", "platform") as collector:
        assert collector.subscribe("lamppost/v1/+/+/batch") == 1
        assert other.subscribe("lamppost/v1/nord/gw-0002/ack") == 1
        for topic in ("gw-0002/batch", "gw-0002/status", "gw-0002/ack", "gw-0002/command", "gw-0001/ack"):
            assert gateway.publish(f"lamppost/v1/nord/{topic}") == NOT_AUTHORIZED, topic
        assert gateway.publish("lamppost/v1/nord/gw-0001/batch") in (0, 16)  # 16: nobody listens
        assert collector.heard.get(timeout=ANSWER_S) == "lamppost/v1/nord/gw-0001/batch"
        assert collector.publish("lamppost/v1/nord/gw-0002/ack") in (0, 16)
        assert other.heard.get(timeout=ANSWER_S) == "lamppost/v1/nord/gw-0002/ack"
        assert collector.heard.empty()


@pytest.mark.parametrize("topic", ["#", "lamppost/v1/+/+/ack", "lamppost/v1/nord/gw-0002/ack", "lamppost/v1/+/+/batch"])
def test_whatever_a_gateway_subscribes_it_hears_only_its_own(join: Join, topic: str) -> None:
    with (
        join("gw-0001") as gateway,
        join("gw-0002") as other,
        join("collector", "platform") as collector,
    ):
        gateway.subscribe(topic)
        other.publish("lamppost/v1/nord/gw-0002/batch")
        collector.publish("lamppost/v1/nord/gw-0002/ack")
        collector.publish("lamppost/v1/nord/gw-0002/command")
        gateway.subscribe("lamppost/v1/nord/gw-0001/ack")
        collector.publish("lamppost/v1/nord/gw-0001/ack")
        assert gateway.heard.get(timeout=ANSWER_S) == "lamppost/v1/nord/gw-0001/ack"


def test_a_gateway_cannot_take_the_session_of_another(join: Join) -> None:
    with join("gw-0002", identifier="lamppost-gw-0002") as other:
        for identifier in ("gw-0002", "lamppost-gw-0002"):
            with join("gw-0001", identifier=identifier):
                assert other.publish("lamppost/v1/nord/gw-0002/status") in (0, 16)
        assert not other.lost


def test_the_platforms_listener_is_not_for_gateways(join: Join) -> None:
    with pytest.raises(OSError):
        join("collector", "gateways", "platform")


def test_it_is_the_list_that_the_page_on_commands_explains() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    rules = re.findall(r"```acl\n(.*?)```", page, re.DOTALL)[0]
    assert (SHIPPED / "lamppost.acl").read_text().partition("\n")[2] == rules


def test_no_roundabout_subscription_hears_what_is_not_its_own(join: Join) -> None:
    with join("gw-0001") as gateway, join("gw-0002") as other, join("collector", "platform") as collector:
        for topic in ("$share/x/lamppost/v1/+/+/batch", "$share/x/#", "$SYS/#", "$SYS/broker/uptime", "$CONTROL/#"):
            gateway.subscribe(topic)
        other.publish("lamppost/v1/nord/gw-0002/batch")
        collector.publish("lamppost/v1/nord/gw-0002/command")
        gateway.subscribe("lamppost/v1/nord/gw-0001/ack")
        collector.publish("lamppost/v1/nord/gw-0001/ack")
        assert gateway.heard.get(timeout=ANSWER_S) == "lamppost/v1/nord/gw-0001/ack"


def test_a_name_of_wildcards_hears_and_says_nothing(join: Join) -> None:
    """Our authority gives no such name; one of somebody else's might."""
    with join("gw-0002") as other, join("collector", "platform") as collector:
        collector.subscribe("lamppost/v1/+/+/batch")
        for name in ("+", "#", "gw-0002/batch", "+/gw-0002", "%u", "%c", "lamppost", "gw-0002 "):
            with join(name, identifier="x") as odd:
                for topic in ("lamppost/v1/+/+/command", "lamppost/v1/nord/gw-0002/command", "#"):
                    odd.subscribe(topic)
                collector.publish("lamppost/v1/nord/gw-0002/command")
                assert odd.publish("lamppost/v1/nord/gw-0002/batch") == NOT_AUTHORIZED, name
                assert odd.heard.empty(), name
        other.publish("lamppost/v1/nord/gw-0002/batch")
        assert collector.heard.get(timeout=ANSWER_S) == "lamppost/v1/nord/gw-0002/batch"
        assert collector.heard.empty()


def test_neither_a_will_nor_a_user_name_nor_retaining_makes_it_another(join: Join) -> None:
    with join("collector", "platform") as collector:
        collector.subscribe("lamppost/v1/+/+/status")
        collector.subscribe("lamppost/v1/+/+/batch")
        topic = "lamppost/v1/nord/gw-0002/status"
        with (
            suppress(ConnectionError, OSError),  # mosquitto refuses the connection for such a will, or drops the will
            join("gw-0001", user="gw-0002", will=topic) as gateway,
        ):
            assert gateway.publish("lamppost/v1/nord/gw-0002/batch", retain=True) == NOT_AUTHORIZED
            gateway.drop()
        with join("gw-0001", user="collector") as gateway:
            assert gateway.publish("lamppost/v1/nord/gw-0001/command", retain=True) == NOT_AUTHORIZED
            gateway.publish("lamppost/v1/nord/gw-0001/batch")
        assert collector.heard.get(timeout=ANSWER_S) == "lamppost/v1/nord/gw-0001/batch"
        assert collector.heard.empty()


def test_the_collectors_side_can_end_a_gateways_session(
    join: Join, authorities: dict[str, Authority], ports: dict[str, int]
) -> None:
    platform = authorities["platform"]
    cert, key = platform.issue("collector")
    with join("gw-0001") as gateway, join("gw-0002") as other:
        words = (
            "--broker",
            f"mqtts://127.0.0.1:{ports['platform']}",
            "--ca",
            platform.file,
            "--cert",
            cert,
            "--cert-key",
            key,
        )
        done = subprocess.run(
            [sys.executable, "-m", "collector", "gateways", "cut", "gw-0001", *map(str, words)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert gateway.ends()
        assert not other.lost
