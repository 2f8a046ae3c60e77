"""Certificates and keys change while the agent runs, and nothing is lost."""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from buffer.batch import decode
from buffer.cose import Kind
from buffer.keys import SigningKey
from ext import unpack
from tests.authority import Authority
from tests.conftest import ROOT
from tests.gateway.conftest import run_dir as _run_dir
from tests.gateway.process import Lone
from tests.integration.harness import GATEWAY, RUNNING, SITE, Rig
from tests.mosquitto import Mosquitto, free_port

run_dir = _run_dir
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SHORT_S = 8
"""Enough for an agent to start on a loaded machine."""


async def test_a_running_agent_takes_a_renewed_certificate_at_its_next_connection(
    tmp_path: Path, run_dir: Path, make_mosquitto: Callable[..., Mosquitto]
) -> None:
    authority = Authority(tmp_path, "platform")
    cert, key = authority.issue("broker")
    mine, private = authority.issue("gateway", timedelta(seconds=SHORT_S))
    ends = x509.load_pem_x509_certificate(mine.read_bytes()).not_valid_after_utc.timestamp()
    port = free_port()
    broker = await asyncio.to_thread(
        make_mosquitto, f"listener {port} 127.0.0.1", f"cafile {authority.file}", f"certfile {cert}", f"keyfile {key}",
        "require_certificate true",
    )  # fmt: skip

    def linked(connections: int) -> Callable[[dict[str, Any]], bool]:
        return lambda status: status["uplink"]["up"] and status["uplink"]["connections"] >= connections

    async with Lone(tmp_path, run_dir) as lone:
        await lone.start(
            f'brokers = ["mqtts://127.0.0.1:{port}"]\nacknowledge = "broker"\n'
            f'tls = {{ ca = "{authority.file}", cert = "{mine}", key = "{private}" }}'
        )
        before = (await lone.until(linked(1)))["uplink"]["connections"]
        await asyncio.sleep(
            max(ends - time.time(), 0) + 0.1
        )  # the end of a certificate's life is a matter of the clock
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        status = await lone.until(lambda status: not status["uplink"]["up"] and status["uplink"]["error"])
        assert status["uplink"]["connections"] == before  # the old one is really not taken any more
        fresh, _ = await asyncio.to_thread(_renewed, authority, private)
        await asyncio.to_thread(fresh.replace, mine)
        await lone.until(linked(before + 1))


def _renewed(authority: Authority, private: Path) -> tuple[Path, Path]:
    """A certificate of a day, and its key in the place of the old one."""
    cert, key = authority.issue("renewed")
    key.replace(private)
    return cert, private


async def test_a_new_key_under_load_loses_nothing(tmp_path: Path) -> None:
    """Batches of the old key and of the new one are all taken: the old key vouches for the new one meanwhile."""
    async with Rig(tmp_path) as rig:
        old = await asyncio.to_thread(SigningKey.load, rig.folder / "batch.key")
        log = str(tmp_path / "devices.ndjson")
        words = [sys.executable, "-m", "drivers.simulated", "--no-mast", "--no-p1", "--log", log]
        devices = await rig.children.start("devices", words)
        assert devices.stdout is not None
        port = json.loads(await asyncio.wait_for(devices.stdout.readline(), 30))["modbus"]
        url = await _serve(rig)
        await rig.start_agent(CONFIG.format(port=port), batch="300ms", heard=True)
        await rig.until_rows(lambda rows: len(rows) > 20, "samples by the old key")
        await asyncio.to_thread(_known_there, rig, url)
        await asyncio.to_thread(_call, "gateway", "enroll", "--new-key", "--keys", str(rig.folder))
        before = len(await asyncio.to_thread(rig.rows))
        await rig.until_rows(lambda rows: len(rows) > before + 20, "samples by the old key, after the new one is known")
        assert await rig.stop_agent() == 0
        await rig.start_agent()
        new = await asyncio.to_thread(SigningKey.load, rig.folder / "batch.key")
        assert new.kid != old.kid
        await rig.until(lambda: new.kid in _signers(rig, old, new), "batches by the new key")
        await rig.children.stop("devices")
        await rig.settle()
        signed = await asyncio.to_thread(_signers, rig, old, new)
        assert signed[old.kid] > 20
        assert signed[new.kid] > 1
        of_devices = sum(signed.values()) - len(await asyncio.to_thread(rig.rows, RUNNING))
        rows = await rig.until_rows(lambda rows: len(rows) >= of_devices, "all samples")
        assert len(rows) == of_devices, "each sample of each batch is there once"
        batches = {(row.point, row.utc_ms, row.batch) for row in rows}  # one that is late may be next to one in time
        assert set(Counter(batch[:2] for batch in batches).values()) == {1}, "no sample is in two batches"
        numbers = [row[0] for row in await asyncio.to_thread(rig.query, "SELECT number FROM batches ORDER BY number")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert await asyncio.to_thread(rig.query, "SELECT * FROM refused") == []


CONFIG = """\
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
[devices]
meter = {{ bus = "panel", address = 1, profile = "eastron-sdm630", every = "100ms" }}
"""


def _signers(rig: Rig, *keys: SigningKey) -> Counter[bytes]:
    """How many samples each key has signed in the stored batches."""
    found: Counter[bytes] = Counter()
    for (message,) in rig.query("SELECT bytes FROM batches"):
        for key in keys:
            if key.kid in message[:24]:
                batch = decode(message, key.public(GATEWAY, SITE, "batch"))
                if batch.header.kind is Kind.BATCH:
                    found[key.kid] += sum(1 for _ in unpack(batch.blocks))
    return found


def _call(module: str, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def _serve(rig: Rig) -> str:
    """An enrolment server on the collector's database; its URL."""
    folder, port = rig.folder, free_port()
    await asyncio.to_thread(_call, "collector", "ca", "init", str(folder / "ca"))
    cert, key = str(folder / "server.pem"), str(folder / "server.key")
    files = ("--cert", cert, "--key", key)
    await asyncio.to_thread(_call, "collector", "ca", "server", str(folder / "ca"), "127.0.0.1", *files)
    words = [
        "-m", "collector", "enroll-server", "--listen", f"127.0.0.1:{port}", "--cert", cert, "--cert-key", key,
        "--ca", str(folder / "ca"), "--authority", str(folder / "authority.json"), "--database", str(rig.database),
    ]  # fmt: skip
    await rig.children.start("enrol", [sys.executable, *words])
    return f"https://127.0.0.1:{port}"


def _known_there(rig: Rig, url: str) -> None:
    """What a gateway keeps that was enrolled by a token there."""
    ca = x509.load_pem_x509_certificate((rig.folder / "ca" / "ca.pem").read_bytes())
    known = {"gateway": GATEWAY, "site": SITE, "brokers": [], "root": "lamppost", "url": url}
    known["ca_sha256"] = ca.fingerprint(hashes.SHA256()).hex()
    (rig.folder / "enrolment.json").write_text(json.dumps(known))
