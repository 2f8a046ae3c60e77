"""Packs a support bundle: one archive, with a manifest of what is in it and of what could not be had."""

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway import VERSION
from gateway.bundle.hide import scrubbed
from gateway.bundle.parts import PARTS, Sources, clean

MANIFEST = "manifest.json"


def pack(config: Path, run_dir: Path, target: Path, tell: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Write the archive, for its owner alone; returns the manifest. Whatever is broken, the rest is packed.

    `tell` hears each part before it is looked at: its name, how many are done, and of how many. Raises `OSError` when
    the archive cannot be written.
    """
    sources = Sources(config, run_dir)
    missing: dict[str, str] = {}
    with _noted("configuration", missing):
        sources.read()
    found: dict[str, bytes] = {}
    for number, (name, part) in enumerate(PARTS.items()):
        tell(name, number, len(PARTS))
        with _noted(name, missing):
            found[name] = clean(part(sources), name, sources)
    manifest = {
        "version": VERSION,
        "made_utc_ms": time.time_ns() // 1_000_000,
        "files": [
            {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in found.items()
        ],
        "missing": [
            {"name": name, "why": scrubbed(why, sources.known)} for name, why in missing.items()
        ],
    }  # fmt: skip
    _write(target, {MANIFEST: (json.dumps(manifest, indent=1) + "\n").encode(), **found})
    return manifest


@contextmanager
def _noted(name: str, missing: dict[str, str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the box is broken, that is why somebody packs this
        missing[name] = f"{type(error).__name__}: {error}"[:500]


def _write(target: Path, files: dict[str, bytes]) -> None:
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        part.touch(mode=0o600)
        with tarfile.open(part, "w:gz") as archive:
            for name, data in files.items():
                entry = tarfile.TarInfo(f"lamppost-support/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
