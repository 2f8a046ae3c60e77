"""docs/commands.md does what it says: its commands are run in order, its access list is given to a real broker."""

import re
import shlex
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from buffer import cose
from buffer.command import Command
from buffer.keyring import Keyring
from buffer.keys import PublicKey
from tests.collector.commanding import answer, call, describe_results
from tests.collector.maker import Bench, Gateway
from tests.collector.running import until
from tests.collector.test_command_verbs import Listener
from tests.conftest import ROOT
from tests.mosquitto import Mosquitto

PAGE = ROOT / "docs" / "commands.md"
TEXT = PAGE.read_text()
SOURCE = re.findall(r"```toml\n(\[\[entry\]\].*?)```", TEXT, re.DOTALL)[0]
STEPS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
ACL = re.findall(r"```acl\n(.*?)```", TEXT, re.DOTALL)[0]
STREAM = "00112233445566778899aabbccddeeff"


def test_it_takes_fourteen_commands_and_all_files_are_there() -> None:
    assert len(STEPS) == 14
    assert not [link for link in re.findall(r"\]\(([^)#:]+)\)", TEXT) if not (PAGE.parent / link).exists()]


def obey(listener: Listener, bench: Bench, gateway: Gateway) -> None:
    """Do as a gateway does: take the keyring, verify the command by it, tell of it in the chain."""
    ring = Keyring.read(bytes(listener.next().payload), PublicKey.load(Path("authority.json")))
    message = bytes(listener.next().payload)
    envelope = cose.read(message)
    key = ring.find(envelope.kid, "command", 0)
    command = Command.read(envelope, key)
    assert key.covers("nord", command.gateway, *command.writes[0].point.split("/"))
    bench.take(answer(gateway, command.number, who=command.who, why=command.why, key=key.name))


def test_the_page_from_the_first_key_to_the_audit(
    bench: Bench, gateway: Gateway, mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAMPPOST_COLLECTOR_DATABASE", str(bench.database.path))
    bench.take(describe_results(gateway))
    call("key", "new", "acknowledge.key")
    Path("main-street.toml").write_text(SOURCE)
    listener = Listener(mosquitto.port)
    there = threading.Thread(target=obey, args=(listener, bench, gateway))
    there.start()
    try:
        for step in STEPS:
            step = step.replace(STREAM, gateway.stream.hex()).replace("2027-12-31", "never")
            program, *words = shlex.split(step.replace("mqtts://broker.example:8883", mosquitto.url))
            target = next((word[1:] for word in words if word.startswith(">")), None)
            out, error = call(*(word for word in words if not word.startswith(">")), text="y\n")
            assert program == "lamppost-collector"
            if target is not None:
                Path(target).write_text(out)
            if words[:2] == ["command", "relay"]:
                assert "verified" in out, error
        assert "lamp7/level = 40" in out
        assert "Anna Berg" in out
    finally:
        there.join()
        listener.close()


class User:
    """A client of the broker with a name."""

    def __init__(self, port: int, name: str, *topics: str) -> None:
        self.heard: list[str] = []
        self.answers: list[int] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.username_pw_set(name)
        self._client.on_message = lambda _client, _data, message: self.heard.append(message.topic)
        self._client.on_publish = lambda _client, _data, _mid, code, _properties: self.answers.append(code.value)
        subscribed: list[bool] = []
        self._client.on_subscribe = lambda *_: subscribed.append(True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        for topic in topics:
            self._client.subscribe(topic, qos=1)
        until(lambda: len(subscribed) == len(topics), "subscribed")

    def may_publish(self, topic: str) -> bool:
        """Whether the broker takes it."""
        count = len(self.answers)
        self._client.publish(topic, b"x", qos=1)
        until(lambda: len(self.answers) > count, "an answer")
        return self.answers[-1] < 0x80

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def test_the_access_list(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    file = tmp_path / "acl"
    file.write_text(ACL)
    file.chmod(0o600)
    broker = make_mosquitto(f"acl_file {file}")
    mine, other = "lamppost/v1/nord/gw-0017", "lamppost/v1/nord/gw-0018"
    collector = User(broker.port, "collector", "$share/lamppost/lamppost/v1/+/+/batch")
    gateway = User(broker.port, "gw-0017", f"{mine}/command", f"{mine}/ack", f"{other}/command", f"{mine}/batch")
    try:
        allowed = {name: gateway.may_publish(f"{mine}/{name}") for name in ("batch", "status", "ack", "command")}
        assert allowed == {"batch": True, "status": True, "ack": False, "command": False}
        assert not gateway.may_publish(f"{other}/batch")
        until(lambda: collector.heard == [f"{mine}/batch"], "the batch")
        for topic in (f"{other}/command", f"{mine}/ack", f"{mine}/command"):
            assert collector.may_publish(topic)
        assert not collector.may_publish(f"{mine}/batch")
        until(lambda: len(gateway.heard) >= 2, "what is for the gateway")
        assert sorted(gateway.heard) == [f"{mine}/ack", f"{mine}/command"]
    finally:
        collector.close()
        gateway.close()
