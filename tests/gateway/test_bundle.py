"""The support bundle: no secret in it, whichever field or line held one; a manifest that proves it; any state.

The fields are found through the models, so that one that is added tomorrow is planted with a canary as well.
"""

import hashlib
import json
import os
import tarfile
import types
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from config.errors import HIDDEN, secret
from config.models import Config
from drivers import registry
from drivers.base import Options
from gateway.bundle.hide import SHOWN, hidden, scrub, scrubbed, shown
from gateway.bundle.pack import MANIFEST
from gateway.bundle.parts import PARTS
from gateway.commands import pushed
from gateway.commands.pushed import Push
from gateway.setup.driver_options import _variants
from tests.gateway.test_cli import run, well

CANARY = "canary-{}-s3cr3t"
PASSWORD = "Canary9PasswordOfTheBroker"  # noqa: S105 - that is what it is
LOG = """\
2026-11-23T10:00:00 gw lamppost[1]: INFO gateway.agent: running: 2 buses, 12 points
2026-11-23T10:00:01 gw lamppost[1]: ERROR x: https://anna:canary-url@example.org/a?token=canary-query failed
2026-11-23T10:00:02 gw lamppost[1]: password=canary-pass, api_key: "canary key", 'secret': 'canary secret'
2026-11-23T10:00:03 gw lamppost[1]: Authorization: Bearer canary-bearer123 (session canary-none)
2026-11-23T10:00:04 gw lamppost[1]: got eyJhbGciOiJIUzI1NiJ9.canaryjwt.canarysig and {password}
2026-11-23T10:00:05 gw lamppost[1]: -----BEGIN PRIVATE KEY-----
2026-11-23T10:00:05 gw lamppost[1]: canarypem1
2026-11-23T10:00:05 gw lamppost[1]: -----END PRIVATE KEY-----
2026-11-23T10:00:06 gw lamppost[1]: the key is canary0123456789abcdef0123456789abcdef
2026-11-23T10:00:07 gw lamppost[1]: {field} was said
2026-11-23T10:00:08 gw lamppost[1]: tag <script>\x1b[2J=cmd
""".replace("(session canary-none)", "")


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all that its fields are made of."""
    seen: set[type[BaseModel]] = set()
    rest: list[Any] = [model]
    while rest:
        one = rest.pop()
        if isinstance(one, type) and issubclass(one, BaseModel):
            if one not in seen:
                seen.add(one)
                yield one
                rest.extend(field.annotation for field in one.model_fields.values())
        elif get_origin(one) is not None or isinstance(one, types.UnionType | type(Union[int, str])):  # noqa: UP007
            rest.extend(get_args(one))


def every_model() -> dict[type[BaseModel], None]:
    """Of the configuration, and of each driver's bus, device and point, in all their variants."""
    found = dict.fromkeys(models(Config))
    for name in registry.installed():
        kind = registry.load(name)
        for options in (kind.BusOptions, kind.DeviceOptions, kind.PointOptions):
            for _, variant in _variants(options):
                assert issubclass(variant, Options)
                found |= dict.fromkeys(models(variant))
    return found


FIELDS = sorted({name for model in every_model() for name in model.model_fields})


def test_the_models_are_found() -> None:
    assert {"password_file", "key_file", "username", "authority", "server_name", "labels", "asset_id"} <= set(FIELDS)
    assert len(FIELDS) > 60


@pytest.mark.parametrize("name", FIELDS)
def test_a_text_in_any_field_is_hidden_unless_its_key_is_allowed(name: str) -> None:
    canary = CANARY.format(name)
    for value in (canary, [canary], {"x": canary}, {"x": [canary]}, f"mqtts://anna:{canary}@broker.example"):
        for table in ({"uplink": {name: value}}, {"devices": {"a": {name: value, "points": {"b": {name: value}}}}},
                      {"buses": {"x": {name: value}}}, {name: value}):  # fmt: skip
            text = json.dumps(shown(table))
            if name not in SHOWN or "@" in str(value):
                assert canary not in text, text
            if name not in SHOWN:
                assert canary not in scrub(f"somebody said {canary}.", hidden(table))


@pytest.mark.parametrize("name", ["password", "sim_pin", "access-code", "psk", "login_code", "token"])
def test_numbers_with_such_a_name_are_hidden(name: str) -> None:
    for value in (1234, Decimal("12.34"), "1234s"):
        assert shown({"uplink": {name: value}}) == {"uplink": {name: HIDDEN}}


def test_what_is_allowed_is_no_secret_by_its_name() -> None:
    assert not [name for name in SHOWN if secret(name, "")]
    assert "every" in FIELDS
    table = {"devices": {"m1": {"every": "10s", "address": 3, "bus": "panel", "labels": {"who": "anna"}}}}
    assert shown(table) == {"devices": {"m1": {"every": "10s", "address": 3, "bus": "panel", "labels": HIDDEN}}}


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20,
))  # fmt: skip
def test_anything_is_scrubbed_to_json_that_steers_no_terminal(value: object) -> None:
    text = json.dumps(scrubbed(value), ensure_ascii=False)
    assert all(c.isprintable() for c in text)
    shown({"uplink": {"a": value}, "devices": value})
    hidden({"uplink": {"a": value}, "devices": value})


BROKEN = (
    "[gateway]\nid = \"gw-1\"\nnonsense = 'canary-broken-1'\n[uplink]\nbrokers = ['mqtt://a:canary-b@c']\npin = 4711\n"
)
GOOD = """\
[gateway]
id = "gw-1"
site = "test"
key = "batch.key"
[buffer]
path = "buffer.db"
[uplink]
brokers = ["mqtt://broker.example"]
acknowledge = "broker"
username = "canary-user"
password_file = "password"
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = 1
[devices.lamp]
bus = "panel"
address = 7
asset_id = "canary-asset"
labels = { note = "canary-label" }
points.level = { table = "holding", register = 12, type = "uint16" }
"""
AFAR = """\
[devices.lamp2]
bus = "panel"
address = 8
asset_id = "canary-afar"
"""


def unpacked(archive: Path) -> dict[str, str]:
    """The texts in an archive; every one is in the manifest with its hash."""
    with tarfile.open(archive) as opened:
        found = {m.name: opened.extractfile(m).read() for m in opened.getmembers()}  # type: ignore[union-attr]
    files = {name.removeprefix("lamppost-support/"): data for name, data in found.items()}
    manifest = json.loads(files[MANIFEST])
    named = {one["name"]: (one["sha256"], one["bytes"]) for one in manifest["files"]}
    assert named == {n: (hashlib.sha256(d).hexdigest(), len(d)) for n, d in files.items() if n != MANIFEST}
    assert set(named) | {one["name"] for one in manifest["missing"]} >= set(PARTS)
    return {name: data.decode() for name, data in files.items()}


@pytest.mark.parametrize(("text", "id_"), [(GOOD, "good"), (BROKEN, "broken"), ("\x00[[", "no toml"), (None, "none")])
def test_no_secret_comes_out_whatever_the_box_is_like(
    tmp_path: Path, run_dir: Path, text: str | None, id_: str
) -> None:
    config = tmp_path / "lamppost.toml"
    if text is not None:
        config.write_text(text)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    if id_ == "good":
        push = Push(7, "", "", (("afar.toml", AFAR),), "anna", "", "k")
        pushed.keep(pushed.beside(tmp_path / "buffer.db"), pushed.State(7, push))
    journal = tmp_path / "bin" / "journalctl"
    journal.parent.mkdir()
    said = LOG.replace("{password}", PASSWORD).replace("{field}", "canary-asset, canary-user, canary-label")
    said += "2026-11-23T10:00:09 gw lamppost[1]: mqtt://anna:canary@p/ss@example.org failed\n"
    said += "2026-11-23T10:00:09 gw lamppost[1]: from afar: canary-afar was said\n" * (id_ == "good")
    (tmp_path / "log").write_text(said)
    journal.write_text(f"#!/bin/sh\nexec cat {tmp_path / 'log'}\n")
    journal.chmod(0o755)
    out = tmp_path / "out.tar.gz"
    path = f"{journal.parent}:{os.environ['PATH']}"
    done = run("support-bundle", "-o", out, "-c", config, "--run-dir", run_dir, "--json", PATH=path)
    manifest = json.loads(well(done))
    assert manifest["file"] == str(out)
    assert out.stat().st_mode & 0o777 == 0o600
    files = unpacked(out)
    everything = "\n".join([*files.values(), done.stdout, done.stderr])
    assert "status.json" in {one["name"] for one in manifest["missing"]}  # no agent runs
    assert "running: 2 buses, 12 points" in files["log.txt"]
    assert "\x1b" not in everything
    assert "p/ss@" not in everything
    if id_ == "good":
        assert PASSWORD not in everything
        assert '"host": "127.0.0.1"' in files["config.json"]
        assert "from afar: afar.toml" in files["config.json"]
    if id_ in ("good", "broken"):
        assert '"id": "gw-1"' in files["config.json"]
        assert "4711" not in files["config.json"]
        left = [line for line in everything.splitlines() if "canary" in line]
        assert left == ["2026-11-23T10:00:07 gw lamppost[1]: canary-asset, canary-user, canary-label was said"] * (
            id_ == "broken"  # nothing says there that these are secrets
        )
